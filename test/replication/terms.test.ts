/** Terms order the epochs of primaries. They are counters, and depend on no clock. */
import { expect, test } from "bun:test";
import { firstTerm, isSameFailover, nextFailoverTerm, nextStartTerm } from "../../src/store/log/terms.ts";

test("starts of one primary never come before its successor", () => {
  let term = firstTerm;
  const successor = nextFailoverTerm(term);
  for (let starts = 0; starts < 1000; starts++) {
    term = nextStartTerm(term);
    expect(isSameFailover(term, firstTerm)).toBe(true);
  }
  expect(term).toBeLessThan(successor);
  expect(isSameFailover(successor, firstTerm)).toBe(false);
  // Earlier versions used times in ms.
  const [before, after] = [1_795_000_000_000, nextFailoverTerm(1_795_000_000_000)];
  expect([after > before, isSameFailover(before, after)]).toEqual([true, false]);
});
