/** Seeds that once found a bug. */
import { expect, test } from "bun:test";
import { runSeed } from "./run.ts";
import { failureText } from "./totals.ts";

const regressions = [154, 176, 329, 730, 738, 851, 2053, 5692, 20_323, 20_378];

test.each(regressions)(
  "seed %d, which once failed",
  async (seed) => {
    const outcome = await runSeed(seed);
    expect(outcome.failure === undefined ? "" : failureText(outcome)).toBe("");
  },
  600_000,
);
