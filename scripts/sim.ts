/**
 * Runs the simulation of `test/sim`: whole clusters under random faults from seeds, in simulated time. Each process
 * runs some of the seeds and ends, because memory grows with each run. There are as many processes as processors.
 */
import * as Bun from "bun";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { runSeed } from "../test/sim/run.ts";
import { addOutcome, addTotals, failureText, noTotals, totalsText, type Totals } from "../test/sim/totals.ts";

const usage = `scripts/sim [--seeds N] [--first N] [--parallel N] [--failover]

  --seeds N     how many seeds (default 1000)
  --first N     the first of them (default 1)
  --parallel N  how many processes at a time (default: one for each processor)
  --failover    a lease chooses the primary with every seed (default: with three of ten)

One seed with its whole trace: SIM_SEED=7 bun test test/sim`;

const seedsPerProcess = 25;

interface Piece {
  readonly first: number;
  readonly seeds: number;
  /** Whether all seeds use automatic failover. */
  readonly failover: boolean;
}

async function main({ seeds, first, failover }: Piece, parallel: number): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), "ostiary-simulations-"));
  process.once("exit", () => rmSync(directory, { recursive: true, force: true }));
  const pieces: Piece[] = [];
  for (let begin = first; begin < first + seeds; begin += seedsPerProcess)
    pieces.push({ first: begin, seeds: Math.min(seedsPerProcess, first + seeds - begin), failover });
  const totals = noTotals();
  const next = async (): Promise<void> => {
    for (let piece = pieces.shift(); piece !== undefined; piece = pieces.shift()) {
      addTotals(totals, await runInProcess(piece, join(directory, `${piece.first}.json`)));
      process.stderr.write(`${totals.runs} of ${seeds} seeds, ${totals.failures} failed\n`);
    }
  };
  await Promise.all(Array.from({ length: parallel }, next));
  process.stdout.write(`${totalsText(totals)}\n`);
  return totals.failures === 0 ? 0 : 1;
}

async function runInProcess({ first, seeds, failover }: Piece, result: string): Promise<Totals> {
  const options = [
    "--piece",
    result,
    "--first",
    `${first}`,
    "--seeds",
    `${seeds}`,
    ...(failover ? ["--failover"] : []),
  ];
  const child = Bun.spawn([process.execPath, import.meta.filename, ...options], {
    stdin: "ignore",
    stdout: "inherit",
    stderr: "inherit",
  });
  if ((await child.exited) !== 0) throw new Error(`the process for the seeds from ${first} on did not complete`);
  return JSON.parse(readFileSync(result, "utf8")) as Totals;
}

async function runPiece({ first, seeds, failover }: Piece, result: string): Promise<void> {
  const totals = noTotals();
  for (let seed = first; seed < first + seeds; seed++) {
    const outcome = await runSeed(seed, failover ? { failover } : undefined);
    addOutcome(totals, outcome);
    if (outcome.failure !== undefined) process.stdout.write(`${failureText(outcome)}\n`);
  }
  writeFileSync(result, JSON.stringify(totals));
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
      piece: { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  const seeds = numberOf("seeds", values.seeds, 1000);
  const first = numberOf("first", values.first, 1);
  const { failover } = values;
  if (values.help) process.stdout.write(`${usage}\n`);
  else if (values.piece === undefined)
    process.exitCode = await main(
      { seeds, first, failover },
      numberOf("parallel", values.parallel, availableParallelism()),
    );
  else {
    await runPiece({ first, seeds, failover }, values.piece);
    process.exit(0);
  }
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
