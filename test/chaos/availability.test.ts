/** Waits for writes are counted while writes should be possible, and only then. */
import { describe, expect, test } from "bun:test";
import { availabilityOf, type AvailabilityChange } from "./availability.ts";

const possible = (atMs: number): AvailabilityChange => ({ atMs, isPossible: true });
const impossible = (atMs: number): AvailabilityChange => ({ atMs, isPossible: false });
const every = (fromMs: number, toMs: number): number[] =>
  Array.from({ length: (toMs - fromMs) / 100 }, (_, index) => fromMs + index * 100);

describe("a wait", () => {
  test("is none while writes are acknowledged continuously", () => {
    const figures = availabilityOf([possible(0)], every(0, 10_000), 10_000);
    expect(figures).toEqual({
      possibleMs: 10_000,
      waits: 0,
      medianMs: 0,
      worstMs: 0,
      worstFromMs: 0,
      longestWithoutMs: 100,
    });
  });

  test("begins with the last acknowledged write", () => {
    const times = [...every(0, 2000), ...every(7000, 10_000)];
    expect(availabilityOf([possible(0)], times, 10_000)).toMatchObject({ waits: 1, worstMs: 5100 });
  });

  test("begins when writes become possible", () => {
    const times = [...every(0, 2000), ...every(7000, 10_000)];
    const turns = [possible(0), impossible(1950), possible(4000)];
    expect(availabilityOf(turns, times, 10_000)).toMatchObject({
      possibleMs: 7950,
      waits: 1,
      worstMs: 3000,
      worstFromMs: 4000,
      longestWithoutMs: 5100,
    });
  });

  test("begins again at the next fault", () => {
    const times = [...every(0, 2000), ...every(7000, 10_000)];
    const turns = [possible(0), possible(1950), possible(4000)];
    expect(availabilityOf(turns, times, 10_000)).toMatchObject({ waits: 2, worstMs: 3000, medianMs: 3000 });
  });

  test("counts even if no write ends it", () => {
    expect(availabilityOf([possible(0)], every(0, 2000), 10_000)).toMatchObject({ waits: 1, worstMs: 8100 });
    expect(availabilityOf([possible(0)], [], 10_000)).toMatchObject({ worstMs: 10_000 });
  });
});
