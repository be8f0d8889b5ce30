// pass-js: images added once as buffers, a pass for each serial number.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { Template } from "@walletpass/pass-js";
import { turns } from "./turns.mjs";

const fixture = process.argv[2];
const text = (name) => readFileSync(`${fixture}/${name}`, "utf8");
const { coupon, formatVersion, ...fields } = JSON.parse(text("coupon.pass/pass.json"));
const template = new Template("coupon", { ...fields, coupon });
template.setCertificate(text("certificate.pem"));
template.setPrivateKey(text("key.pem"));
for (const file of readdirSync(`${fixture}/coupon.pass`)) {
  const image = /^(icon|logo|strip)(@([23]x))?\.png$/.exec(file);
  if (image) await template.images.add(image[1], readFileSync(`${fixture}/coupon.pass/${file}`), image[3]);
}
let made = 0;
const one = () => template.createPass({ serialNumber: `pass-${made++}` }).asBuffer();
writeFileSync(`${fixture}/pass-js.pkpass`, await one());
await turns(async (count) => {
  for (let i = 0; i < count; i++) await one();
});
