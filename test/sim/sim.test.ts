/**
 * The simulation: whole clusters under faults, in one process and in simulated time, one per seed. SIM_SEEDS=200 runs
 * more seeds, SIM_SEED=7 only one, with its trace; `scripts/sim` runs a thousand.
 */
import { expect, test } from "bun:test";
import { regressions } from "./regressions.ts";
import { runSeed, type Outcome } from "./run.ts";
import { addOutcome, failureText, noTotals, totalsText } from "./totals.ts";

const alone = process.env["SIM_SEED"];
const count = Number(process.env["SIM_SEEDS"] ?? 100);
const seeds = alone === undefined ? Array.from({ length: count }, (_, index) => index + 1) : [Number(alone)];
const minutes = 60_000;

async function mustHold(all: readonly number[]): Promise<void> {
  const totals = noTotals();
  for (const seed of all) {
    const outcome = await runSeed(seed);
    addOutcome(totals, outcome);
    if (alone !== undefined) process.stdout.write(`${outcome.trace.join("\n")}\n`);
    if (outcome.failure !== undefined) throw new Error(failureText(outcome), { cause: outcome.failure });
  }
  process.stdout.write(`${totalsText(totals)}\n`);
}

test(
  `${seeds.length} clusters lose nothing, answer nothing wrong and agree in the end`,
  () => mustHold(seeds),
  (10 + count / 10) * minutes,
);

test.skipIf(alone !== undefined || regressions.length === 0)(
  "seeds that once failed",
  () => mustHold(regressions),
  10 * minutes,
);

test.skipIf(alone !== undefined)(
  "the same seed gives the same run",
  async () => {
    for (const seed of [3, 14]) {
      const traces: (readonly string[])[] = [];
      while (traces.length < 2) traces.push(comparable(await runSeed(seed)));
      expect(traces[1]).toEqual(traces[0]);
    }
  },
  2 * minutes,
);

/** The trace without its random parts: names of directories and requests, sizes, real time. */
function comparable({ trace }: Outcome): readonly string[] {
  return trace.map((line) =>
    line
      .replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, "#")
      .replaceAll(/ostiary-sim-\w+/g, "#")
      .replace(/\d+ bytes in \d+ ms/, "#")
      .replace(/unpacked in \d+ ms and checked in \d+ ms/, "#"),
  );
}
