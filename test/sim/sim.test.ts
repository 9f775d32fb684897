/**
 * The simulation: whole clusters under faults, in one process and in simulated time, one per seed. SIM_SEEDS=200 runs
 * the first 200 seeds, SIM_SEED=7 only one, with its trace; `scripts/sim` runs a thousand.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { treeSeed } from "../seeds.ts";
import { comparableTrace, runSeed, type Outcome } from "./run.ts";
import { addOutcome, failureText, noTotals, totalsText } from "./totals.ts";

const alone = process.env["SIM_SEED"];
const count = process.env["SIM_SEEDS"];
const seeds = alone !== undefined ? [Number(alone)] : count !== undefined ? first(Number(count)) : fewSeeds();
const minutes = 60_000;
const totals = noTotals();

afterAll(() => void process.stdout.write(`${totalsText(totals)}\n`));

describe("a cluster loses nothing, answers nothing wrong and agrees in the end", () => {
  test.each(seeds)(
    "with seed %d",
    async (seed) => {
      const outcome = await runSeed(seed);
      addOutcome(totals, outcome);
      if (alone !== undefined) process.stdout.write(`${outcome.trace.join("\n")}\n`);
      if (outcome.failure !== undefined) throw new Error(failureText(outcome), { cause: outcome.failure });
      expect(outcome.counts["questions answered and checked"]).toBeGreaterThan(0);
    },
    10 * minutes,
  );
});

test.skipIf(alone !== undefined)(
  "the same seed gives the same run",
  async () => {
    const outcomes: Outcome[] = [];
    while (outcomes.length < 2) outcomes.push(await runSeed(6));
    const [one, other] = outcomes.map(comparableTrace);
    expect(other).toEqual(one);
    expect(outcomes[0]?.failure).toBeUndefined();
  },
  10 * minutes,
);

function first(length: number): number[] {
  return Array.from({ length }, (_, index) => index + 1);
}

/** Five that stay, and six that change with the tree. */
function fewSeeds(): number[] {
  return [...first(5), ...first(6).map((index) => treeSeed + index)];
}
