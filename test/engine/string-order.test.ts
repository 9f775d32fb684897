/** Strings sort by their UTF-8 bytes, as in SQLite, with each of the sort functions. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { compareStrings, sortStrings } from "../../src/engine/query/string-order.ts";
import { seededRuns } from "../seeds.ts";

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

test.each(seededRuns(20_251, 2000))("any two strings, with seed $seed", ({ seed, runs }) => {
  fc.assert(
    fc.property(text, text, (left, right) =>
      expect(Math.sign(compareStrings(left, right))).toBe(Math.sign(byBytes(left, right))),
    ),
    { numRuns: runs, seed },
  );
});

test.each(seededRuns(20_251, 1000))(
  "any number of strings, with and without characters beyond the basic plane, with seed $seed",
  ({ seed, runs }) => {
    const plain = fc.array(fc.oneof(fc.string(), fc.constantFrom("\ud7ff", "\ue000", "\uffff", "ä")));
    fc.assert(
      fc.property(fc.oneof(fc.array(text), plain), (texts) =>
        expect(sortStrings([...texts])).toEqual(texts.toSorted(byBytes)),
      ),
      { numRuns: runs, seed },
    );
  },
);
