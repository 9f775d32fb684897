/**
 * Random histories: all engines run the same steps, and each answer is compared with the oracle's. `HISTORY_STEPS` is
 * the number of steps, and `HISTORY_SEED` the seed of the first history. Each history has the next seed, so a failing
 * history is the first one with its own seed. A failure is shrunk and printed as a file for `test/histories/cases/`,
 * which `histories.test.ts` replays.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { parseHistory, printHistory } from "../histories/history.ts";
import { replay } from "../histories/replay.ts";
import { emptyCounts, type HistoryCounts } from "../histories/history-counts.ts";
import { quota, randomTestMs, seededRuns, treeSeed } from "../seeds.ts";
import { drawnHistory, plansOf, policiesOf } from "./history-plans.ts";
import { describeFailure, firstFailure } from "./search-histories.ts";

test.each(seededRuns(20_252, 1000, { seed: "HISTORY_SEED", runs: "HISTORY_STEPS" }))(
  "$runs steps from seed $seed on",
  async ({ seed, runs: steps, isKnown }) => {
    const counts = emptyCounts();
    const failure = await firstFailure(seed, steps, counts);
    console.log(`from seed ${seed} on:`, JSON.stringify(counts));
    if (failure) throw new Error(await describeFailure(failure));
    expectShares(counts, isKnown);
  },
  randomTestMs,
);

/** Steps that test nothing must be rare, and every kind of step must occur. */
function expectShares(counts: HistoryCounts, isKnown: boolean): void {
  const { steps, closures, overturned, cached } = counts;
  const frequent = [counts.asks, counts.positive, closures.filled, counts.withContext];
  const repeated = [counts.cacheable, cached.immediately, cached.later];
  const rare = [counts.undone, counts.wildcardFacts, counts.detours, counts.cuts, closures.deep, overturned.write];
  const rarest = [
    ...[counts.refused, counts.policies, counts.cleared, closures.cyclic, closures.abandoned],
    ...[overturned.policy, overturned.clear, overturned.clock, counts.unusedFacts],
  ];
  const least = (counted: readonly number[], rate: number): boolean =>
    counted.every((count) => count >= quota(steps, rate, isKnown && rate > 0.001));
  expect({
    frequent: least(frequent, 0.03),
    repeated: least(repeated, 0.5),
    rare: least(rare, 0.01),
    rarest: least(rarest, 0.001),
  }).toEqual({ frequent: true, repeated: true, rare: true, rarest: true });
}

test(
  "a printed history can be read",
  async () => {
    for (const drawn of fc.sample(drawnHistory, { numRuns: 1, seed: treeSeed })) {
      const policies = policiesOf(drawn);
      const { steps } = await replay(policies, plansOf(drawn), emptyCounts());
      const text = printHistory({ name: "drawn", policies, steps });
      const read = parseHistory(text);
      expect(printHistory(read)).toBe(text);
      const plans = read.steps.map((step) => () => [step]);
      expect((await replay(read.policies, plans, emptyCounts())).problems).toEqual([]);
    }
  },
  randomTestMs,
);
