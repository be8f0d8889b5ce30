// passkit-generator: its documented way to make many of one template, `PKPass.from` a pass.
import { readFileSync, writeFileSync } from "node:fs";
import { PKPass } from "passkit-generator";
import { turns } from "./turns.mjs";

const fixture = process.argv[2];
const pem = (name) => readFileSync(`${fixture}/${name}.pem`);
const template = await PKPass.from({
  model: `${fixture}/coupon.pass`,
  certificates: { wwdr: pem("wwdr"), signerCert: pem("certificate"), signerKey: pem("key") },
});
let made = 0;
const one = async () => {
  const pass = await PKPass.from(template, { serialNumber: `pass-${made++}` });
  return pass.getAsBuffer();
};
writeFileSync(`${fixture}/passkit-generator.pkpass`, await one());
await turns(async (count) => {
  for (let i = 0; i < count; i++) await one();
});
