/**
 * Random histories: all engines run the same steps, and each answer is compared with the oracle's. `HISTORY_STEPS` is
 * the minimum number of steps, and `HISTORY_SEED` the seed of the first history. Each history has the next seed, so a
 * failing history is the first one with its own seed. A failure is shrunk and printed as a file for
 * `test/histories/cases/`, which `histories.test.ts` replays.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { parseHistory, printHistory } from "../histories/history.ts";
import { openNodes, type Nodes } from "../histories/nodes.ts";
import { replay } from "../histories/replay.ts";
import { emptyCounts, type HistoryCounts } from "../histories/history-counts.ts";
import { faults } from "./history-faults.ts";
import { drawnHistory, plansOf, policiesOf, type Drawn } from "./history-plans.ts";

const steps = Number(process.env["HISTORY_STEPS"] ?? 5000);
const seed = Number(process.env["HISTORY_SEED"] ?? 20_252);

test(
  `${steps} steps from seed ${seed} on`,
  async () => {
    const counts = emptyCounts();
    const failure = await firstFailure(steps, counts);
    console.log(`from seed ${seed} on:`, JSON.stringify(counts));
    if (failure) throw new Error(await tell(failure));
    if (steps >= 5000) expectShares(counts);
  },
  600_000 + steps * 100,
);

/** Steps that test nothing must be rare, and every kind of step must occur. */
function expectShares(counts: HistoryCounts): void {
  expect(counts.tooLarge).toBeLessThan(counts.asks / 10);
  expect(counts.positive).toBeGreaterThan(counts.questions / 5);
  const { closures, overturned, cached } = counts;
  expect(cached.later).toBeGreaterThan(counts.cacheable / 2);
  expect(cached.immediately).toBeGreaterThan(counts.cacheable);
  expect(closures.filled).toBeGreaterThan(counts.steps / 10);
  const rare = [
    counts.refused,
    counts.undone,
    counts.policies,
    counts.unusedFacts,
    counts.cleared,
    counts.wildcardFacts,
  ];
  const ways = [closures.deep, closures.cyclic, closures.abandoned, counts.detours, counts.cuts, counts.withContext];
  const causes = [overturned.write, overturned.policy, overturned.clear, overturned.clock];
  for (const count of [...rare, ...ways, ...causes]) expect(count).toBeGreaterThan(counts.steps / 2500);
}

test.each(faults)(
  "that %s is detected",
  async (_, open) => {
    const counts = emptyCounts();
    const found = await firstFailure(5000, counts, open, { endOnFailure: true });
    console.log(`found after ${counts.steps} steps: ${found?.problem.split("\n")[0]}`);
    expect(found).toBeDefined();
  },
  600_000,
);

test("a printed history can be read", async () => {
  for (const drawn of fc.sample(drawnHistory, { numRuns: 3, seed })) {
    const policies = policiesOf(drawn);
    const { steps } = await replay(policies, plansOf(drawn), emptyCounts());
    const text = printHistory({ name: "drawn", policies, steps });
    const read = parseHistory(text);
    expect(printHistory(read)).toBe(text);
    const plans = read.steps.map((step) => () => [step]);
    expect((await replay(read.policies, plans, emptyCounts())).problems).toEqual([]);
  }
}, 60_000);

interface Failure {
  readonly seed: number;
  readonly smallest: Drawn;
  readonly problem: string;
}

class Disagreement extends Error {}

async function firstFailure(
  stepsMin: number,
  counts: HistoryCounts,
  open: () => Nodes = openNodes,
  options: { readonly endOnFailure?: boolean } = {},
): Promise<Failure | undefined> {
  const property = fc.asyncProperty(drawnHistory, async (drawn) => {
    const { problems } = await replay(policiesOf(drawn), plansOf(drawn), counts, open);
    if (problems.length > 0) throw new Disagreement(problems.join("\n"));
  });
  for (let next = seed; counts.steps < stepsMin; next += 1) {
    const { counterexample, errorInstance } = await fc.check(property, { ...options, numRuns: 1, seed: next });
    if (counterexample === null) continue;
    return { seed: next, smallest: counterexample[0], problem: String(errorInstance) };
  }
  return undefined;
}

async function tell({ seed, smallest, problem }: Failure): Promise<string> {
  const { steps } = await replay(policiesOf(smallest), plansOf(smallest), emptyCounts());
  const file = printHistory({ name: `found by seed ${seed}`, policies: policiesOf(smallest), steps });
  return `the engines and the oracle differ: ${problem}\n\n${file}`;
}
