/** Positions: the token that clients send back, and the chain hash over the log. */
import { expect, test } from "bun:test";
import { chainHash, chainHashes, formatToken, mintEpoch, parseToken } from "../../src/log/event/position.ts";
import { zeroHash } from "../../src/store/log/store-state.ts";
import { systemClock } from "../../src/util/clock.ts";

const row = { offset: 1, timeMs: 1000, kind: "clear", body: '{"kind":"clear"}', traceparent: null };

test("a token can be parsed after it was formatted", () => {
  const epoch = mintEpoch(systemClock);
  expect(parseToken(formatToken(epoch, 41))).toEqual({ epoch, offset: 41 });
  expect(formatToken(epoch, 41)).toMatch(/^[\x21-\x7e]+$/);
});

test.each([
  "",
  "1",
  "abc:1",
  "0123456789abcdef",
  "0123456789abcdef:",
  "0123456789abcdef:-1",
  "0123456789abcdef:1e3",
  "0123456789ABCDEF:1",
])("`%s` is not a token", (text) => {
  expect(() => parseToken(text)).toThrow("malformed");
});

test("the chain hash has 8 bytes and depends on every field and on all earlier rows", () => {
  const hash = chainHash(zeroHash, row);
  expect(hash).toMatch(/^[0-9a-f]{16}$/);
  const others = [
    { ...row, offset: 2 },
    { ...row, timeMs: 1001 },
    { ...row, kind: "keys" },
    { ...row, body: '{"kind":"clear" }' },
    { ...row, traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" },
  ];
  const hashes = new Set([hash, chainHash(hash, row), ...others.map((other) => chainHash(zeroHash, other))]);
  expect(hashes.size).toBe(others.length + 2);
  expect(chainHashes(zeroHash, [row, { ...row, offset: 2 }])).toEqual([hash, chainHash(hash, { ...row, offset: 2 })]);
});
