/**
 * Random policies that mix global roles, wildcards, negation and equality: every list must be exact, and a list is
 * refused only if its answers can't be listed (`Oracle.isOpen`). Both strategies of the engine are compared with the
 * oracle. `FUZZ_RUNS` sets the number of policies and `FUZZ_SEED` the seed; each policy gets two to five lists.
 */
import { expect, test } from "bun:test";
import { quota, randomTestMs, seededRuns } from "../seeds.ts";
import { compareRandomly } from "./compare-randomly.ts";
import { openSample } from "./open-policy.ts";

test.each(seededRuns(20_251, 60))(
  "lists under $runs random policies with open answers, with seed $seed",
  ({ seed, runs, isKnown }) => {
    const counts = compareRandomly(openSample, { seed, runs });
    // Each list counts twice, once for each strategy.
    expect(counts.answered + counts.notEnumerable).toBeGreaterThanOrEqual(quota(runs, 3, isKnown));
    expect(counts.positive).toBeGreaterThanOrEqual(quota(runs, 1, isKnown));
    expect(counts.notEnumerable).toBeGreaterThanOrEqual(quota(runs, 0.1, isKnown));
  },
  randomTestMs,
);
