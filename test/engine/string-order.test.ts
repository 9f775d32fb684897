/** Strings sort by their UTF-8 bytes, as in SQLite, with each of the sort functions. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { compareStrings, sortStrings } from "../../src/engine/query/string-order.ts";

const byBytes = (left: string, right: string): number => Buffer.compare(Buffer.from(left), Buffer.from(right));
const near = fc.constantFrom(
  "",
  "a",
  "ab",
  "\u07ff",
  "\u0800",
  "\ud7ff",
  "\ue000",
  "\uffff",
  "😀",
  "\u{10000}",
  "\u{10ffff}",
);
const text = fc.oneof(
  fc.string(),
  fc.string({ unit: "grapheme" }),
  fc.array(near).map((parts) => parts.join("")),
);

test("any two strings", () => {
  fc.assert(
    fc.property(text, text, (left, right) =>
      expect(Math.sign(compareStrings(left, right))).toBe(Math.sign(byBytes(left, right))),
    ),
    { numRuns: 5000 },
  );
});

test("any number of strings, with and without characters beyond the basic plane", () => {
  const plain = fc.array(fc.oneof(fc.string(), fc.constantFrom("\ud7ff", "\ue000", "\uffff", "ä")));
  fc.assert(
    fc.property(fc.oneof(fc.array(text), plain), (texts) =>
      expect(sortStrings([...texts])).toEqual(texts.toSorted(byBytes)),
    ),
    { numRuns: 2000 },
  );
});
