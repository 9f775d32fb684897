/**
 * The simulation: whole clusters under faults, in one process and in simulated time, one per seed. SIM_SEEDS=200 runs
 * the first 200 seeds, SIM_SEED=7 only one, with its trace; `scripts/sim` runs a thousand.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { treeSeed } from "../seeds.ts";
import { comparableTrace, runSeed } from "./run.ts";
import { addOutcome, failureText, noTotals, totalsText } from "./totals.ts";

const alone = process.env["SIM_SEED"];
const count = process.env["SIM_SEEDS"];
const seeds = alone !== undefined ? [Number(alone)] : count !== undefined ? first(Number(count)) : seedsOfTree(6);
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
      expect(outcome.answers.answers).toBeGreaterThan(0);
    },
    10 * minutes,
  );
});

test.skipIf(alone !== undefined)(
  "the same seed gives the same run",
  async () => {
    const traces: (readonly string[])[] = [];
    while (traces.length < 2) traces.push(comparableTrace(await runSeed(6)));
    expect(traces[1]).toEqual(traces[0]);
  },
  10 * minutes,
);

function first(length: number): number[] {
  return Array.from({ length }, (_, index) => index + 1);
}

/** As many that stay as others. */
function seedsOfTree(length: number): number[] {
  return [...first(length), ...first(length).map((index) => treeSeed + index)];
}
