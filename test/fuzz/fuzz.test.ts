/**
 * Random policies, facts and questions: the engine, by statements and by the evaluator, is compared with the oracle.
 * `FUZZ_RUNS` sets the number of samples and `FUZZ_SEED` the seed. A failure is shrunk and printed as a case file for
 * `test/cases/regressions/`, which `cases.test.ts` replays.
 */
import { expect, test } from "bun:test";
import { quota, randomTestMs, seededRuns } from "../seeds.ts";
import { compareRandomly } from "./compare-randomly.ts";
import { randomSample } from "./differential.ts";

test.each(seededRuns(20_251, 60))(
  "$runs random policies with seed $seed",
  ({ seed, runs, isKnown }) => {
    const counts = compareRandomly(randomSample, { seed, runs });
    // Samples that test nothing must be rare. Each question counts twice, once for each strategy.
    expect(counts.answered).toBeGreaterThanOrEqual(quota(runs, 5, isKnown));
    expect(counts.positive).toBeGreaterThanOrEqual(quota(runs, 1.2, isKnown));
  },
  randomTestMs,
);
