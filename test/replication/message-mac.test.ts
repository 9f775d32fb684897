import { expect, test } from "bun:test";
import { createMessageMac } from "../../src/replication/transport/message-mac.ts";
import { hashKey } from "../../src/store/keys/api-keys.ts";

const mac = createMessageMac(hashKey("n_test_0123456789abcdef"));
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
  expect(createMessageMac(hashKey("n_test_another")).verify("a/ev", bytes(put))).toBe(false);
  for (let at = 0; at < put.length; at++) {
    const changed = put.slice(0, at) + (put[at] === "0" ? "1" : "0") + put.slice(at + 1);
    expect(mac.verify("a/ev", bytes(changed))).toBe(false);
  }
  for (const text of ["", "{}", message, put.slice(1), put.slice(0, -1), `${put} `, put + put])
    expect(mac.verify("a/ev", bytes(text))).toBe(false);
});
