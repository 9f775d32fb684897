/**
 * Runs checks and tests in three tiers; `scripts/testing/stages.ts` lists them. Each check and each test counts as one.
 * The end of the output has each failure with its last lines and, as the last line, the totals. The status is 0 only if
 * nothing failed and something passed. Nothing runs a second time: a test that fails once has failed.
 */
import * as Bun from "bun";
import { existsSync, mkdirSync, openSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { paint } from "../src/cli/color.ts";
import { treeSeed } from "../test/seeds.ts";
import { builtBinary, projectRoot } from "./built-binary.ts";
import { progressDirectory, readProgress, recordOutcome } from "./testing/full-progress.ts";
import { endRuns, runTests, type Result } from "./testing/run.ts";
import { minutesOfArea, stages, type Stage, type Tier, tierOf } from "./testing/stages.ts";
import { installTools } from "./test-tools.ts";

const usage = `scripts/test [--integration | --full] [NAME ...] [options]

  scripts/test                  checks, and the strongest tests of each area: at most 5 minutes on two cores, with
                                nothing but npm or Bun
  scripts/test --integration    the other tests of each area, and those that need brokers, databases, a browser, Deno
                                or containers: at most 15 minutes. As root on Debian it installs these programs
  scripts/test --full           everything else, area by area, for hours: long random runs, chaos, siege, all releases.
                                An area that has passed runs again only after a change, or if it is named

  NAME             a stage or an area of the tier, or a test file of any tier
  --test PATTERN   only the tests whose names match the regular expression; needs a NAME
  --parallel N     how many stages run at a time (default: 1 or 3 more than processors, at most 5; 1 with --full)
  --background     return immediately; the output goes to a file
  --status         which areas of --full have passed, and how long they took
  --help           show this, and the names of all stages`;

const laneMax = 5;
/** How many more stages run than there are processors, because tests of nodes and of other programs often wait. */
const waiting = { default: 1, integration: 3 };
const minute = 60_000;
/** A stage that hangs fails then. */
const stageTimeoutMs: Readonly<Record<Tier, number>> = {
  default: 10 * minute,
  integration: 30 * minute,
  full: 60 * minute,
};

interface Request {
  readonly tier: Tier;
  readonly names: readonly string[];
  readonly pattern: string | undefined;
  readonly lanes: number;
}

class UsageError extends Error {}

async function main(words: readonly string[]): Promise<number> {
  const { values, positionals } = parse(words);
  if (values.help) {
    console.log(`${usage}\n${describeStages()}`);
    return 0;
  }
  if (values.integration && values.full) throw new UsageError("--integration and --full are two runs");
  const tier = values.integration ? "integration" : values.full ? "full" : "default";
  if (values.status) {
    console.log(describeProgress());
    return 0;
  }
  const lanes = Number(
    values.parallel ?? (tier === "full" ? 1 : Math.min(availableParallelism() + waiting[tier], laneMax)),
  );
  if (!Number.isInteger(lanes) || lanes < 1) throw new UsageError("--parallel must be a whole number from 1 on");
  const request: Request = { tier, names: positionals, pattern: values.test, lanes };
  if (request.pattern !== undefined && request.names.length === 0) throw new UsageError("--test needs a NAME");
  const { files, groups, earlier } = select(request);
  if (values.background) return runInBackground(words);

  const startMs = performance.now();
  const results = [...(await runFiles(files, request)), ...(await runStages(groups, request))];
  return report(results, request, earlier, (performance.now() - startMs) / 1000);
}

function parse(words: readonly string[]) {
  try {
    return parseArgs({
      args: [...words],
      allowPositionals: true,
      options: {
        integration: { type: "boolean", default: false },
        full: { type: "boolean", default: false },
        test: { type: "string" },
        parallel: { type: "string" },
        background: { type: "boolean", default: false },
        status: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** The files and the stages that the names mean; without names, all stages of the tier that have not passed. */
function select({ tier, names }: Request) {
  const isFile = (name: string): boolean => name.endsWith(".test.ts") && existsSync(resolve(name));
  const files = names.filter(isFile).map((name) => relative(projectRoot, resolve(name)));
  const wanted = names.filter((name) => !isFile(name));
  const known = stages[tier].flat();
  const unknown = wanted.filter((name) => !known.some((stage) => stage.name === name || stage.area === name));
  if (unknown.length > 0) {
    const elsewhere = Object.entries(stages).filter(([, groups]) =>
      groups.flat().some((stage) => unknown.includes(stage.name) || unknown.includes(stage.area)),
    );
    const hint = elsewhere.map(([other]) => (other === "default" ? "without a flag" : `with --${other}`)).join(" or ");
    throw new UsageError(
      `no such stage, area or file: ${unknown.join(", ")}${hint === "" ? "" : `; there is one ${hint}`}`,
    );
  }
  const progress = tier === "full" && names.length === 0 ? readProgress() : {};
  const earlier = Object.fromEntries(Object.entries(progress).filter(([, { failed }]) => failed === 0));
  const isWanted = ({ name, area }: Stage): boolean =>
    names.length === 0 ? earlier[area] === undefined : wanted.includes(name) || wanted.includes(area);
  const groups = stages[tier].map((group) => group.filter(isWanted)).filter(({ length }) => length > 0);
  return { files, groups, earlier };
}

/** Runs the files one after another, and shows all of their output. */
async function runFiles(files: readonly string[], { pattern }: Request): Promise<readonly Result[]> {
  const results: Result[] = [];
  await installTools(files.filter((path) => tierOf(path) !== "default"));
  for (const file of files) {
    const timeoutMs = stageTimeoutMs[tierOf(file)];
    results.push(await runTests(file, [file], { pattern, timeoutMs, isShown: true }));
  }
  return results;
}

async function runStages(groups: readonly (readonly Stage[])[], request: Request): Promise<readonly Result[]> {
  if (groups.length === 0) return [];
  if (request.tier !== "default") await installTools(groups.flat().flatMap(({ files }) => files));
  // No test has the time to build it.
  if (!groups.flat().some(({ name }) => name === "build")) await builtBinary();
  console.log(`seeds: those that stay, and ${treeSeed} from this tree`);
  const results: Result[] = [];
  for (const group of groups) {
    const startMs = performance.now();
    const ofGroup = await runGroup(group, request);
    results.push(...ofGroup);
    // A group of --full is an area.
    const [{ area } = { area: "" }] = group;
    const isWhole = request.tier === "full" && request.pattern === undefined && group.length === areaSize(area);
    if (isWhole && !recordOutcome(area, { ...add(ofGroup), seconds: secondsSince(startMs) }))
      console.log(`   files have changed since the start, so the next run repeats ${area}`);
  }
  return results;
}

const areaSize = (area: string): number => stages.full.flat().filter((stage) => stage.area === area).length;

/** Each lane runs one stage after another. */
async function runGroup(group: readonly Stage[], request: Request): Promise<readonly Result[]> {
  const results: Result[] = [];
  const waiting = group.values();
  const lane = async (): Promise<void> => {
    for (const stage of waiting) results.push(await runStage(stage, request));
  };
  await Promise.all(Array.from({ length: request.lanes }, lane));
  return results;
}

async function runStage({ name, run }: Stage, { tier, pattern }: Request): Promise<Result> {
  const startMs = performance.now();
  const result = await run({ pattern, timeoutMs: stageTimeoutMs[tier] });
  const times = `${secondsSince(startMs).toFixed(1)} s, ${result.processorSeconds.toFixed(1)} s of a processor`;
  console.log(`   ${name.padEnd(nameWidth)}  ${describe(result)}  (${times})`);
  for (const failure of result.failures) console.log(`      ${paint("stdout", "red", "failed:")} ${failure.name}`);
  return result;
}

const nameWidth = Math.max(...Object.values(stages).flatMap((groups) => groups.flat().map(({ name }) => name.length)));

function report(results: readonly Result[], request: Request, earlier: Outcomes, seconds: number): number {
  for (const { name, lines } of results.flatMap(({ failures }) => failures)) {
    console.log(`\n${paint("stdout", "red", "failed:")} ${name}`);
    for (const line of lines) console.log(`   ${line}`);
  }
  for (const line of describeSkips(results.flatMap(({ skips }) => skips))) console.log(line);
  const passedEarlier = Object.keys(earlier).join(", ");
  if (passedEarlier !== "") console.log(`\npassed earlier, with the same files, and counted below: ${passedEarlier}`);
  const sum = add([...results, ...Object.values(earlier)]);
  console.log(`\n${describeRest(request)}it took ${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`);
  console.log(describe(sum));
  return sum.failed === 0 && sum.passed > 0 ? 0 : 1;
}

const shownSkipsMax = 30;

function describeSkips(skips: readonly string[]): readonly string[] {
  const shown = skips.slice(0, shownSkipsMax).map((name) => `   ${name}`);
  const more = skips.length > shownSkipsMax ? [`   and ${skips.length - shownSkipsMax} more`] : [];
  return skips.length === 0 ? [] : ["\nskipped, since something is missing that they need:", ...shown, ...more];
}

/** Lines that name the stages which this run left out. */
function describeRest({ tier, names }: Request): string {
  if (tier === "full" || names.length > 0) return "";
  const namesOf = (of: Tier): string => [...new Set(stages[of].flat().map(({ area }) => area))].join(", ");
  const full = `not run: scripts/test --full (${namesOf("full")})\n`;
  if (tier === "integration") return full;
  return `not run: scripts/test --integration (${namesOf("integration")}),\n         which has the tests that need a broker, a database, a browser, Deno or containers\n${full}`;
}

function describeStages(): string {
  const areas = Object.entries(minutesOfArea).map(([area, minutes]) => `${area} ${minutes}`);
  const described = Object.entries(stages)
    .map(([tier, groups]) => {
      const lines = groups.flat().map(({ name, area, description }) => {
        const isOfArea = area === name ? "" : ` (area ${area})`;
        return `  ${name.padEnd(nameWidth)}  ${description}${isOfArea}`;
      });
      return `\n${tier === "default" ? "by default" : `--${tier}`}:\n${lines.join("\n")}`;
    })
    .join("\n");
  return `${described}\n\nthe areas of --full, with about the minutes that they take on two cores:\n  ${areas.join(", ")}`;
}

/** What the runs of `--full` have shown about the present tree. */
function describeProgress(): string {
  const outcomes = readProgress();
  return [...new Set(stages.full.flat().map(({ area }) => area))]
    .map((area) => {
      const outcome = outcomes[area];
      const said = outcome === undefined ? "not run" : `${describe(outcome)}  (${outcome.seconds.toFixed(0)} s)`;
      return `${area.padEnd(nameWidth)}  ${said}`;
    })
    .join("\n");
}

/** Starts the same command as a process that goes on when the terminal is closed. */
function runInBackground(words: readonly string[]): number {
  mkdirSync(progressDirectory, { recursive: true });
  const path = join(progressDirectory, "output.txt");
  const output = openSync(path, "w");
  const command = [process.execPath, import.meta.filename, ...words.filter((word) => word !== "--background")];
  const child = Bun.spawn(command, { stdin: "ignore", stdout: output, stderr: output, detached: true });
  child.unref();
  console.log(`runs as process ${child.pid}; its output is in ${relative(process.cwd(), path)}`);
  return 0;
}

type Outcomes = Readonly<Record<string, Counts>>;
type Counts = Pick<Result, "passed" | "failed" | "skipped">;

function add(results: readonly Counts[]): Counts {
  const sum = (key: keyof Counts): number => results.reduce((total, result) => total + result[key], 0);
  return { passed: sum("passed"), failed: sum("failed"), skipped: sum("skipped") };
}

const secondsSince = (startMs: number): number => (performance.now() - startMs) / 1000;

function describe({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed${skipped === 0 ? "" : `, ${skipped} skipped`}`;
}

for (const [signal, status] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
  ["SIGHUP", 129],
] as const)
  process.once(signal, () => void endRuns().finally(() => process.exit(status)));

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  console.error(`${error.message}\n\n${usage}`);
  process.exitCode = 2;
}
