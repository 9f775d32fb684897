/**
 * The stages of `scripts/test`, in three tiers. A test file says in its name to which tier it belongs:
 * `name.test.ts` runs by default, `name.integration.test.ts` with `--integration`, and `name.full.test.ts` with
 * `--full`. Its place below `test/` says to which area it belongs.
 */
import * as Bun from "bun";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../built-binary.ts";
import { treeSeed } from "../../test/seeds.ts";
import { looksForTool } from "../test-tools.ts";
import { runProgram, runTests, runTestsOnDeno, type Result, type RunOptions } from "./run.ts";

export type Tier = "default" | "integration" | "full";

export interface Stage {
  readonly name: string;
  /** What runs alone with `scripts/test --full AREA`: mostly the name. */
  readonly area: string;
  readonly description: string;
  /** The test files, by their paths; none for checks and long runs. */
  readonly files: readonly string[];
  run(options: RunOptions): Promise<Result>;
}

type Environment = Readonly<Record<string, string>>;

const bun = process.execPath;

/** By the first part of a path below `test/`. The areas that take longest come first, so that all lanes end together. */
const areas: readonly (readonly [name: string, description: string, parts: readonly string[]])[] = [
  ["replication", "log, replicas, brokers, snapshots, failover", ["replication", "runtime"]],
  ["http", "the API, its clients, metrics and traces", ["http", "client", "telemetry", "threads", "cases-over-http"]],
  ["hostile", "attacks of the threat model", ["hostile"]],
  ["system", "the built binary as a cluster of processes", ["e2e"]],
  ["local", "local authorization, and imports of other models", ["local", "import"]],
  ["environments", "several environments in one process", ["environments"]],
  ["console", "the web console", ["console"]],
  ["cli", "commands, settings, README, manual", ["cli", "config", "generate-types", "manual", "readme", "first-run"]],
  ["simulation", "whole clusters under faults, in simulated time", ["sim", "chaos", "siege", "harness"]],
  ["releases", "data and nodes of earlier releases", ["releases", "data-directories"]],
  ["packages", "packages, compose files, Kubernetes", ["packages", "kubernetes", "appliance", "compose"]],
  ["containers", "the image and the compose files, on Docker and on podman", ["containers"]],
  ["engine", "language, planner, evaluator, store", ["engine", "polar", "datalog", "store", "util"]],
  ["random", "random policies and histories against the oracle", ["fuzz", "histories", "oracle"]],
  ["cases", "each case file on engine, evaluator and oracle", ["cases"]],
  ["deno", "the runner of tests on Deno", ["deno"]],
  ["tidy", "rules for the source", ["tidy"]],
];

const script = (name: string, ...parameters: string[]) => [bun, join(projectRoot, "scripts", name), ...parameters];

const everyTestFile: readonly string[] = [...new Bun.Glob("test/**/*.test.ts").scanSync(projectRoot)].toSorted();

export const tierOf = (path: string): Tier =>
  path.endsWith(".integration.test.ts") ? "integration" : path.endsWith(".full.test.ts") ? "full" : "default";

/** The name of the area; undefined if the table above lacks it. */
function areaOf(path: string): string | undefined {
  const part = /^test\/([^/.]+)/.exec(path)?.[1] ?? "";
  return areas.find(([, , parts]) => parts.includes(part))?.[0];
}

const withoutArea = everyTestFile.filter((path) => areaOf(path) === undefined);
if (withoutArea.length > 0) throw new Error(`scripts/testing/stages.ts has no area for ${withoutArea.join(", ")}`);

const checks: readonly Stage[] = [
  check("build", "dist/ostiary with the web console", script("build.ts")),
  check("types", "types of src, test and scripts", [bun, "check", "--no-script"]),
  check("types-console", "types of the console", [bun, "check", "--no-script", "-p", "src/console/ui"]),
  check("format", "the formatter changes nothing", [bun, "fmt", "--check", "--no-script"]),
  check("lint", "oxlint", [bun, "x", "oxlint"]),
  check("unused", "knip finds no unused file, export or dependency", [bun, "x", "knip", "--no-progress"]),
];

const files = (pattern: RegExp): readonly string[] => everyTestFile.filter((path) => pattern.test(path));
const randomTests = files(/^test\/fuzz\/(?!.*faults)/);
/** Of these, the second tier runs a part with two threads, and `--full` all. */
const httpTests = files(/^test\/http\//);
const threadSample = files(
  /^test\/http\/(?:access-table|authorize|client-errors|event-stream|key-grants|keys|limits|list-pages|random-requests)\.test\./,
);
const localTests = files(/^test\/local\/(?:chains|differential|ids|servers)\./);
const randomModels = files(/\/(?:random-models|agreement)\./);
const randomImports = files(/\/(?:random-models|random-conditions|spicedb-equivalence|agreement)\./);
const randomHttp = files(
  /^test\/http\/(?:random-requests|paging|past-decisions|moments|property-facts)\.|^test\/environments\/comparison\./,
);

/** Tests of connections, threads, processes, files and SQLite. The others test code that is the same on each runtime. */
const denoSample = [
  ...files(/^test\/(?:cases|runtime\/.*)\.test\.ts$/),
  ...files(/^test\/http\/(?:access-table|event-stream|limits)\.test\./),
  ...files(/^test\/replication\/(?:replica|writer|embedded-broker|fallback|failover)\.test\./),
  ...files(/^test\/replication\/(?:fallback-files|snapshot-download)\./),
];

/** The default tier skips a part of them on a machine without openssl, fish, zsh or mandoc. */
const testsWithTools = everyTestFile.filter(
  (path) => tierOf(path) === "default" && looksForTool(readFileSync(join(projectRoot, path), "utf8")),
);

/** Not the seeds of the default tier. */
const otherSeed = String(treeSeed + 1);
const withOtherSeed = { FUZZ_SEED: otherSeed, HISTORY_SEED: otherSeed };

/** Random tests of the default tier with another seed, what it may skip, and a part of the tests on Deno. */
const longer: readonly Stage[] = [
  testsOnDeno("deno", "deno", "cases, runtime, and a part of the API and of replication on Deno", denoSample),
  tests("random-long", "random", "more random policies and histories", randomTests, withOtherSeed),
  tests("imports-long", "local", "more random models and types", randomModels, withOtherSeed),
  tests("http-threads", "http", "a part of the API with two threads", threadSample, { TEST_THREADS: "2" }),
  tests("programs", "programs", "what the default tier skips without openssl or other shells", testsWithTools),
];

const guard = longRun("speed", "speed", "a request and an event beside the fastest commit", "bench.ts", "--guard");

/** Without it, scenarios run with Mosquitto only. */
const everyBroker = { BROKERS: "all" };
const scenarios = files(/^test\/e2e\/(?:access|failure|mixed-runtimes|replication|stop)\.integration\./);

/** Runs of many minutes. */
const longest: readonly Stage[] = [
  longRun("seeds", "simulation", "1,000 simulated clusters", "sim.ts", "--seeds", "1000"),
  longRun("chaos", "replication", "five minutes of faults in a cluster of processes", "chaos.ts", "--seconds", "300"),
  longRun("failover", "replication", "the same with elections", "chaos.ts", "--failover", "etcd", "--seconds", "300"),
  longRun("siege", "siege", "ten minutes of attacks", "siege.ts", "--seconds", "600"),
  tests("http-long", "http", "longer random requests, pages and histories", randomHttp, {
    RANDOM_REQUESTS: "20000",
    PAGING_STEPS: "20000",
    PAST_DECISION_STEPS: "2000",
    MOMENT_STEPS: "5000",
    FUZZ_RUNS: "1000",
    ENVIRONMENT_STEPS: "1500",
  }),
  tests("threads-long", "http", "a million questions beside writes", files(/^test\/threads\//), {
    THREAD_STEPS: "5000",
    THREAD_QUESTIONS: "1000000",
  }),
  tests("http-threads-long", "http", "all of the API with two threads", httpTests, {
    TEST_THREADS: "2",
  }),
  tests("cases-over-http", "http", "every case file on nodes", files(/^test\/cases-over-http\./), { CASES: "all" }),
  tests("lists", "random", "lists under 20,000 random policies", files(/\/open-lists\./), { FUZZ_RUNS: "20000" }),
  tests("random-longest", "random", "thousands of random policies", randomTests, { FUZZ_FACTOR: "50" }),
  tests("imports-longest", "local", "hundreds of random models, also with SpiceDB itself", randomImports, {
    FUZZ_FACTOR: "6",
  }),
  tests("local-long", "local", "300 random policies for each database", localTests, {
    FUZZ_RUNS: "300",
    LOCAL_FULL: "1",
  }),
  tests("example", "local", "the issue tracker with a million issues", files(/^test\/local\/example\./), {
    EXAMPLE_ISSUES: "1000000",
  }),
  tests("console-facts", "console", "a million facts in the console", files(/^test\/console\/flows\/facts\./), {
    CONSOLE_FACTS: "1000000",
  }),
  tests("upgrade", "releases", "an upgrade with every broker", files(/\/mixed-versions\./), everyBroker),
  tests("brokers", "system", "scenarios of the second tier with every broker", scenarios, everyBroker),
  testsOnDeno("deno-http", "deno", "the API on Deno", httpTests),
  testsOnDeno("deno-replication", "deno", "replication on Deno", files(/^test\/replication\//)),
  testsOnDeno("deno-random", "deno", "random policies on Deno", files(/\/fuzz\.test/), { FUZZ_RUNS: "3000" }),
  testsOnDeno("deno-histories", "deno", "random histories on Deno", files(/^test\/fuzz\/history\./), {
    HISTORY_STEPS: "2000",
  }),
];

/** The groups run one after another, and the stages of a group concurrently. With `--full` each area is a group. */
export const stages: Readonly<Record<Tier, readonly (readonly Stage[])[]>> = {
  default: [checks, testsOf("default")],
  // Nothing may run beside the guard.
  integration: [[...longer, ...testsOf("integration")], [guard]],
  full: Object.values(Object.groupBy([...testsOf("full", everyBroker), ...longest], ({ area }) => area)).map(
    (group) => group ?? [],
  ),
};

/** The minutes that each area of `--full` took on two cores. None may take more than 60. */
export const minutesOfArea: Readonly<Record<string, number>> = {
  packages: 13,
  releases: 11,
  system: 10,
  containers: 8,
  hostile: 1,
  engine: 1,
  environments: 1,
  console: 7,
  simulation: 15,
  replication: 11,
  siege: 12,
  http: 5,
  random: 38,
  local: 24,
  deno: 21,
};
const untimed = [...new Set(stages.full.flat().map(({ area }) => area))].filter((area) => !(area in minutesOfArea));
if (untimed.length > 0) throw new Error(`scripts/testing/stages.ts has no minutes for ${untimed.join(", ")}`);

function check(name: string, description: string, command: readonly string[]): Stage {
  return { name, area: name, description, files: [], run: (options) => runProgram(name, command, options) };
}

/** A stage for each area that has files in the tier. */
function testsOf(tier: Tier, environment: Environment = {}): readonly Stage[] {
  return areas.flatMap(([name, description]) => {
    const files = everyTestFile.filter((path) => areaOf(path) === name && tierOf(path) === tier);
    return files.length === 0 ? [] : [tests(name, name, description, files, environment)];
  });
}

function tests(
  name: string,
  area: string,
  description: string,
  files: readonly string[],
  environment: Environment = {},
  runFiles: typeof runTests = runTests,
): Stage {
  return { name, area, description, files, run: (options) => runFiles(name, files, { environment, ...options }) };
}

function testsOnDeno(
  name: string,
  area: string,
  description: string,
  files: readonly string[],
  environment: Environment = {},
): Stage {
  return tests(name, area, description, files, environment, runTestsOnDeno);
}

/** A script that must end with status 0. Its output is shown immediately. */
function longRun(name: string, area: string, description: string, file: string, ...parameters: string[]): Stage {
  const command = script(file, ...parameters);
  return {
    name,
    area,
    description,
    files: [],
    run: (options) => runProgram(name, command, { isShown: true, ...options }),
  };
}
