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
import { emptyTally, type Tally } from "../histories/tally.ts";
import { faults } from "./history-faults.ts";
import { drawnHistory, plansOf, policiesOf, type Drawn } from "./history-plans.ts";

const steps = Number(process.env["HISTORY_STEPS"] ?? 5000);
const seed = Number(process.env["HISTORY_SEED"] ?? 20_252);

test(
  `${steps} steps from seed ${seed} on`,
  async () => {
    const tally = emptyTally();
    const failure = await firstFailure(steps, tally);
    console.log(`from seed ${seed} on:`, JSON.stringify(tally));
    if (failure) throw new Error(await tell(failure));
    if (steps >= 5000) expectShares(tally);
  },
  600_000 + steps * 100,
);

/** Steps that test nothing must be rare, and every kind of step must occur. */
function expectShares(tally: Tally): void {
  expect(tally.tooLarge).toBeLessThan(tally.asks / 10);
  expect(tally.positive).toBeGreaterThan(tally.questions / 5);
  const { closures, overturned, remembered } = tally;
  expect(remembered.later).toBeGreaterThan(tally.memorable / 2);
  expect(remembered.atOnce).toBeGreaterThan(tally.memorable);
  expect(closures.filled).toBeGreaterThan(tally.steps / 10);
  const rare = [tally.refused, tally.undone, tally.policies, tally.orphaned, tally.cleared, tally.wildcardFacts];
  const ways = [closures.deep, closures.cyclic, closures.givenUp, tally.detours, tally.cuts, tally.withContext];
  const causes = [overturned.write, overturned.policy, overturned.clear, overturned.clock];
  for (const count of [...rare, ...ways, ...causes]) expect(count).toBeGreaterThan(tally.steps / 2500);
}

test.each(faults)(
  "that %s is detected",
  async (_, open) => {
    const tally = emptyTally();
    const found = await firstFailure(5000, tally, open, { endOnFailure: true });
    console.log(`found after ${tally.steps} steps: ${found?.problem.split("\n")[0]}`);
    expect(found).toBeDefined();
  },
  600_000,
);

test("a printed history can be read", async () => {
  for (const drawn of fc.sample(drawnHistory, { numRuns: 3, seed })) {
    const policies = policiesOf(drawn);
    const { steps } = await replay(policies, plansOf(drawn), emptyTally());
    const text = printHistory({ name: "drawn", policies, steps });
    const read = parseHistory(text);
    expect(printHistory(read)).toBe(text);
    const plans = read.steps.map((step) => () => [step]);
    expect((await replay(read.policies, plans, emptyTally())).problems).toEqual([]);
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
  tally: Tally,
  open: () => Nodes = openNodes,
  options: { readonly endOnFailure?: boolean } = {},
): Promise<Failure | undefined> {
  const property = fc.asyncProperty(drawnHistory, async (drawn) => {
    const { problems } = await replay(policiesOf(drawn), plansOf(drawn), tally, open);
    if (problems.length > 0) throw new Disagreement(problems.join("\n"));
  });
  for (let next = seed; tally.steps < stepsMin; next += 1) {
    const { counterexample, errorInstance } = await fc.check(property, { ...options, numRuns: 1, seed: next });
    if (counterexample === null) continue;
    return { seed: next, smallest: counterexample[0], problem: String(errorInstance) };
  }
  return undefined;
}

async function tell({ seed, smallest, problem }: Failure): Promise<string> {
  const { steps } = await replay(policiesOf(smallest), plansOf(smallest), emptyTally());
  const file = printHistory({ name: `found by seed ${seed}`, policies: policiesOf(smallest), steps });
  return `the engines and the oracle differ: ${problem}\n\n${file}`;
}
