/**
 * Runs the simulation of `test/sim`: whole clusters under random faults from seeds, in simulated time. There are as many
 * processes as processors.
 */
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Child } from "../test/harness/child-process.ts";
import type { Downtime } from "../test/sim/downtime.ts";
import type { DowntimePlan } from "../test/sim/downtime-process.ts";
import type { SeedMessage, SeedsPlan } from "../test/sim/seeds-process.ts";
import { addTotals, noTotals, totalsText } from "../test/sim/totals.ts";

const usage = `scripts/sim [--seeds N] [--first N] [--parallel N] [--failover | --downtime]

  --seeds N     how many seeds (default 1000)
  --first N     the first of them (default 1)
  --parallel N  how many processes at a time (default: one for each processor)
  --failover    a lease chooses the primary with every seed (default: with three of ten)
  --downtime    measures instead for how long the cluster accepts no writes, in ms of simulated time, when the primary is
                lost, restarted or replaced, each with every seed and without other faults

One seed with its whole trace: SIM_SEED=7 bun test test/sim`;

/** How many seeds lie between two lines about the progress. */
const reportEvery = 25;

interface Run {
  readonly seeds: number;
  readonly first: number;
  readonly parallel: number;
}

async function simulate(run: Run, failover: boolean): Promise<number> {
  const { seeds } = run;
  const totals = noTotals();
  const take = ({ totals: more, failure }: SeedMessage): void => {
    addTotals(totals, more);
    if (failure !== undefined) process.stdout.write(`${failure}\n`);
    if (totals.runs % reportEvery === 0)
      process.stderr.write(`${totals.runs} of ${seeds} seeds, ${totals.failures} failed\n`);
  };
  const planOf = (share: DowntimePlan): SeedsPlan => ({ ...share, failover });
  await inProcesses(run, "seeds-process.ts", planOf, take);
  process.stdout.write(`${totalsText(totals)}\n`);
  return totals.failures === 0 ? 0 : 1;
}

async function measure(run: Run): Promise<number> {
  const measured = new Map<string, number[]>();
  const take = ({ change, ms }: Downtime): void => {
    const known = measured.get(change) ?? [];
    measured.set(change, known);
    known.push(ms);
  };
  await inProcesses(run, "downtime-process.ts", (share) => share, take);
  for (const [change, ms] of measured) process.stdout.write(`${downtimeText(change, ms)}\n`);
  return 0;
}

function downtimeText(change: string, ms: readonly number[]): string {
  const ascending = ms.toSorted((one, other) => one - other);
  const at = (share: number): string => {
    const index = Math.min(ascending.length - 1, Math.floor(share * ascending.length));
    return String(Math.round(ascending[index] ?? 0));
  };
  return `${change}: median ${at(0.5)}, p90 ${at(0.9)}, p99 ${at(0.99)}, worst ${at(1)} ms`;
}

/** Divides the seeds among processes. */
async function inProcesses<Message>(
  { seeds, first, parallel }: Run,
  script: string,
  planOf: (share: DowntimePlan) => unknown,
  take: (message: Message) => void,
): Promise<void> {
  const last = first + seeds - 1;
  const children = Array.from({ length: Math.min(parallel, seeds) }, (_, index) => {
    const plan = planOf({ first: first + index, last, step: parallel });
    return new Child<Message>(join(import.meta.dirname, "../test/sim", script), plan, take);
  });
  for (const status of await Promise.all(children.map(({ exited }) => exited)))
    if (status !== 0) throw new Error(`a process of the simulation ended with status ${status}`);
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
      downtime: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  const run: Run = {
    seeds: numberOf("seeds", values.seeds, 1000),
    first: numberOf("first", values.first, 1),
    parallel: numberOf("parallel", values.parallel, availableParallelism()),
  };
  if (values.help) process.stdout.write(`${usage}\n`);
  else process.exitCode = await (values.downtime ? measure(run) : simulate(run, values.failover));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
