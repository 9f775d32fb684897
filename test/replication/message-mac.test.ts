import { expect, test } from "bun:test";
import { createMessageMac } from "../../src/replication/transport/message-mac.ts";
import { hashKey } from "../../src/store/keys/api-keys.ts";
import { metrics } from "../../src/telemetry/metrics.ts";

const [key, newKey] = [hashKey("n_test_0123456789abcdef"), hashKey("n_test_fedcba9876543210")];
const mac = createMessageMac([key]);
const message = JSON.stringify({ v: 1, text: "Ünï" });
const bytes = (text: string): Uint8Array => Buffer.from(text);

test("an authenticated message is the same JSON object with one more member", () => {
  const { m, ...rest } = JSON.parse(mac.sign("a/ev", message)) as { m: string };
  expect(m).toMatch(/^[0-9a-f]{32}$/);
  expect(rest as unknown).toEqual({ v: 1, text: "Ünï" });
});

test("the MAC is valid only for this message at this topic under this key", () => {
  const put = mac.sign("a/ev", message);
  expect(mac.verify("a/ev", bytes(put))).toBe(true);
  expect(mac.verify("a/head", bytes(put))).toBe(false);
  expect(createMessageMac([hashKey("n_test_another")]).verify("a/ev", bytes(put))).toBe(false);
  for (let at = 0; at < put.length; at++) {
    const changed = put.slice(0, at) + (put[at] === "0" ? "1" : "0") + put.slice(at + 1);
    expect(mac.verify("a/ev", bytes(changed))).toBe(false);
  }
  for (const text of ["", "{}", message, put.slice(1), put.slice(0, -1), `${put} `, put + put])
    expect(mac.verify("a/ev", bytes(text))).toBe(false);
});

test("with two keys it is made with the first one, and is valid with each", async () => {
  const [adding, switched] = [createMessageMac([key, newKey]), createMessageMac([newKey, key])];
  const [old, made] = [mac.sign("a/ev", message), createMessageMac([newKey]).sign("a/ev", message)];
  expect(adding.sign("a/ev", message)).toBe(old);
  expect(switched.sign("a/ev", message)).toBe(made);
  const before = await usesOfSecondKey();
  for (const both of [adding, switched])
    for (const text of [old, made]) expect(both.verify("a/ev", bytes(text))).toBe(true);
  expect(await usesOfSecondKey()).toBe(before + 2);
  const other = createMessageMac([hashKey("n_test_another")]).sign("a/ev", message);
  for (const text of [other, `${old.slice(0, -4)}${made.slice(-4)}`, message, ""])
    for (const both of [adding, switched]) expect(both.verify("a/ev", bytes(text))).toBe(false);
  expect(await usesOfSecondKey()).toBe(before + 2);
  // A replay of a message of the old key is worth nothing once that key is removed.
  expect(createMessageMac([newKey]).verify("a/ev", bytes(old))).toBe(false);
});

async function usesOfSecondKey(): Promise<number> {
  const { values } = await metrics.nodeKeyPreviousUses.get();
  return values.filter(({ labels }) => labels.use === "message").reduce((sum, { value }) => sum + value, 0);
}
