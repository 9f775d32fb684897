/** Seeds that once found a bug. Those up to 1,000 run with `scripts/test --full simulation`. */
import { expect, test } from "bun:test";
import { runSeed } from "./run.ts";
import { failureText } from "./totals.ts";

const regressions = [2053, 5692, 20_323, 20_378];

test.each(regressions)(
  "seed %d, which once failed",
  async (seed) => {
    const outcome = await runSeed(seed);
    expect(outcome.failure === undefined ? "" : failureText(outcome)).toBe("");
  },
  600_000,
);
