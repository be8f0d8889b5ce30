// node-apn: one connection, a hundred pushes in flight.
import { readFileSync } from "node:fs";
import apn from "@parse/node-apn";
import { turns } from "./turns.mjs";

const IN_FLIGHT = 100;
const [, , fixture, port] = process.argv;
const pem = (name) => readFileSync(`${fixture}/${name}.pem`);
const provider = new apn.Provider({
  cert: pem("stand-in"),
  key: pem("stand-in-key"),
  ca: [pem("stand-in")],
  address: "127.0.0.1",
  port: Number(port),
  production: true,
  clientCount: 1,
});
const notification = new apn.Notification();
notification.topic = JSON.parse(readFileSync(`${fixture}/coupon.pass/pass.json`)).passTypeIdentifier;
notification.pushType = "alert";
notification.priority = 10;
// With exactly `{}` it sends no body at all.
notification.rawPayload = { aps: {} };
let made = 0;
const one = async () => {
  const { failed } = await provider.send(notification, (made++ % 4096).toString(16).padStart(64, "0"));
  if (failed.length > 0) throw new Error(JSON.stringify(failed));
};
await turns(async (count) => {
  let left = count;
  const lane = async () => {
    while (left-- > 0) await one();
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
});
