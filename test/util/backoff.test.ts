/** Delays between failed attempts. */
import { expect, test } from "bun:test";
import { backoffMs } from "../../src/util/backoff.ts";

const limits = { minMs: 100, maxMs: 1000 };

test("the delay doubles with each failure up to the maximum, and half of it is random", () => {
  const delays = [0, 1, 2, 3, 4, 50].map((failures) => backoffMs(failures, limits, 1));
  expect(delays).toEqual([100, 200, 400, 800, 1000, 1000]);
  expect(backoffMs(2, limits, 0)).toBe(200);
  expect(backoffMs(10_000, limits, 0.5)).toBe(750);
});
