/**
 * Runs the simulation of `test/sim`: whole clusters under random faults from seeds, in simulated time. There are as many
 * processes as processors.
 */
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Child } from "../test/harness/child-process.ts";
import type { SeedMessage, SeedsPlan } from "../test/sim/seeds-process.ts";
import { addTotals, noTotals, totalsText } from "../test/sim/totals.ts";

const usage = `scripts/sim [--seeds N] [--first N] [--parallel N] [--failover]

  --seeds N     how many seeds (default 1000)
  --first N     the first of them (default 1)
  --parallel N  how many processes at a time (default: one for each processor)
  --failover    a lease chooses the primary with every seed (default: with three of ten)

One seed with its whole trace: SIM_SEED=7 bun test test/sim`;

/** How many seeds lie between two lines about the progress. */
const reportEvery = 25;

async function main(seeds: number, first: number, parallel: number, failover: boolean): Promise<number> {
  const totals = noTotals();
  const take = ({ totals: more, failure }: SeedMessage): void => {
    addTotals(totals, more);
    if (failure !== undefined) process.stdout.write(`${failure}\n`);
    if (totals.runs % reportEvery === 0)
      process.stderr.write(`${totals.runs} of ${seeds} seeds, ${totals.failures} failed\n`);
  };
  const last = first + seeds - 1;
  const children = Array.from({ length: Math.min(parallel, seeds) }, (_, index) => {
    const plan: SeedsPlan = { first: first + index, last, step: parallel, failover };
    return new Child<SeedMessage>(join(import.meta.dirname, "../test/sim/seeds-process.ts"), plan, take);
  });
  for (const status of await Promise.all(children.map(({ exited }) => exited)))
    if (status !== 0) throw new Error(`a process of the simulation ended with status ${status}`);
  process.stdout.write(`${totalsText(totals)}\n`);
  return totals.failures === 0 ? 0 : 1;
}

function numberOf(name: string, text: string | undefined, standard: number): number {
  const number = Number(text ?? standard);
  if (!Number.isInteger(number) || number < 1)
    throw new Error(`--${name} must be a whole number from 1 on, not \`${text}\``);
  return number;
}

try {
  const { values } = parseArgs({
    options: {
      seeds: { type: "string" },
      first: { type: "string" },
      parallel: { type: "string" },
      failover: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  const seeds = numberOf("seeds", values.seeds, 1000);
  const first = numberOf("first", values.first, 1);
  const parallel = numberOf("parallel", values.parallel, availableParallelism());
  if (values.help) process.stdout.write(`${usage}\n`);
  else process.exitCode = await main(seeds, first, parallel, values.failover);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
