/** The samples of charts: gaps stay gaps, and a sample alone between gaps is a point. */
import { expect, test } from "bun:test";
import { isolatedSamples, latestSample, withGaps } from "../../src/console/ui/components/chart-data.ts";

test("missing samples are a gap in each line", () => {
  const times = [0, 10, 21, 80, 90, 99];
  const lines = [
    [1, 2, 3, 4, 5, 6],
    [1, null, 3, 4, null, 6],
  ];
  expect(withGaps({ times, lines })).toEqual({
    times: [0, 10, 21, 31, 80, 90, 99],
    lines: [
      [1, 2, 3, null, 4, 5, 6],
      [1, null, 3, null, 4, null, 6],
    ],
  });
  const whole = { times: [0, 10, 20, 31], lines: [[1, 2, 3, 4]] };
  expect(withGaps(whole)).toEqual(whole);
  for (const few of [[], [1], [1, 100]]) {
    const lines = [few.map(() => 1)];
    expect(withGaps({ times: few, lines })).toEqual({ times: few, lines });
  }
});

test("a sample is isolated if those before and after it are missing", () => {
  expect(isolatedSamples([1, null, 2, 3, null, null, 0, null, 4])).toEqual([0, 6, 8]);
  expect(isolatedSamples([7])).toEqual([0]);
  expect(isolatedSamples([null, null])).toEqual([]);
  expect(isolatedSamples([])).toEqual([]);
});

test("the latest sample is the last one with a value", () => {
  expect(
    latestSample([
      [1, 2, null, null],
      [1, null, 3, null],
    ]),
  ).toBe(2);
  expect(latestSample([[null, null]])).toBeUndefined();
  expect(latestSample([[], []])).toBeUndefined();
});
