import { createHmac } from "node:crypto";
import { expect, test } from "bun:test";
import { hmacWith } from "../../src/runtime/sha256.ts";

test("an HMAC equals that of node:crypto, at every call", () => {
  for (const keyBytes of [1, 32, 64, 65, 200]) {
    const key = Buffer.alloc(keyBytes, keyBytes);
    const hmac = hmacWith(key);
    for (const parts of [[], ["a"], ["ä\0", Buffer.from([0, 255])], ["x".repeat(100_000), "", "y"]])
      for (let time = 0; time < 2; time++) {
        const theirs = createHmac("sha256", key);
        for (const part of parts) theirs.update(part);
        expect(hmac(...parts)).toBe(theirs.digest("hex"));
      }
  }
});
