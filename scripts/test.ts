/**
 * Runs all checks and tests in stages: `scripts/test` runs all, `scripts/test unit http` only these. Each check and
 * each test counts as one. At the end it prints the names of failures and, as the last line, the totals. The status is
 * 0 only if nothing failed.
 */
import * as Bun from "bun";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { paint } from "../src/cli/color.ts";
import { projectRoot } from "./built-binary.ts";
import { installTools } from "./test-tools.ts";

const usage = `scripts/test [--full] [stage ...]

  --full   run what takes too long for every change as well: clusters with every release, lists under 20,000 random policies, ten minutes of siege, five of chaos, 1000 seeds of the simulation
  --help   show this, with the names of the stages`;

interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

interface Result extends Counts {
  /** The names of failed checks and tests. */
  readonly failures: readonly string[];
}

interface Stage {
  readonly name: string;
  readonly run: () => Promise<Result>;
}

const bun = process.execPath;
const minute = 60_000;
const upgrade = "test/releases/mixed-versions.test.ts";
const isSlowOfReleases = (path: string): boolean => /^test\/releases\/(?:all-versions|reproducible)\./.test(path);
const reports = mkdtempSync(join(tmpdir(), "ostiary-test-"));

/**
 * The lines run one after another. The stages of one line use one processor each and run concurrently, the longest
 * first.
 */
const stages: readonly (readonly Stage[])[] = [
  [check("types", [bun, "check", "--no-script"])],
  [check("format", [bun, "fmt", "--check", "--no-script"])],
  [check("lint", [bun, "x", "oxlint"])],
  [check("unused", [bun, "x", "knip", "--no-progress"])],
  [tests("tidy", (path) => path === "test/tidy.test.ts")],
  // Tests of the command line run the binary.
  [check("build", [bun, join(projectRoot, "scripts", "build.ts")])],
  [
    tests(
      "unit",
      (path) =>
        !/^test\/(?:tidy|cases)\.test\.ts$|^test\/(?:http|e2e|fuzz|hostile|import|releases|replication|sim)\//.test(
          path,
        ),
    ),
    tests("replication", (path) => path.startsWith("test/replication/")),
    tests("http", (path) => path.startsWith("test/http/")),
    tests("histories", (path) => path.startsWith("test/fuzz/") && path !== "test/fuzz/fuzz.test.ts"),
    tests("releases", (path) => path.startsWith("test/releases/") && path !== upgrade && !isSlowOfReleases(path)),
    tests("simulation", (path) => path.startsWith("test/sim/")),
    tests("random", (path) => path === "test/fuzz/fuzz.test.ts"),
    tests("imports", (path) => path.startsWith("test/import/")),
    tests("cases", (path) => path === "test/cases.test.ts"),
  ],
  [
    testsOnDeno("deno-http", isAboutHttp, { RANDOM_REQUESTS: "2000" }),
    testsOnDeno("deno-replication", (path) => path.startsWith("test/replication/")),
    testsOnDeno("deno-cases", (path) => /^test\/(?:cases|runtime\/.*)\.test\.ts$/.test(path)),
    testsOnDeno("deno-random", (path) => path === "test/fuzz/fuzz.test.ts", { FUZZ_RUNS: "1000" }),
    testsOnDeno("deno-histories", (path) => path === "test/fuzz/history.test.ts", { HISTORY_STEPS: "2000" }),
  ],
  // After the others, because they exhaust resources.
  [inParts(3, "hostile", (path) => path.startsWith("test/hostile/"), 3 * minute)],
  // Each scenario runs with the embedded broker and with Mosquitto.
  [tests("e2e", (path) => path.startsWith("test/e2e/") && path !== "test/e2e/containers.test.ts", true)],
  [tests("upgrade", (path) => path === upgrade, true)],
  [tests("containers", (path) => path === "test/e2e/containers.test.ts", true)],
];

/** Run with `--full`, or by name. */
const longStages: readonly (readonly Stage[])[] = [
  [tests("releases-all", isSlowOfReleases, true)],
  [tests("lists", (path) => path === "test/fuzz/open-lists.test.ts", true, 60 * minute, { FUZZ_RUNS: "20000" })],
  [longRun("siege", 30 * minute, "siege.ts", "--seconds", "600")],
  [longRun("chaos", 20 * minute, "chaos.ts", "--seconds", "300")],
  [longRun("failover", 20 * minute, "chaos.ts", "--failover", "etcd", "--seconds", "300")],
  [longRun("seeds", 60 * minute, "sim.ts", "--seeds", "1000")],
];

/** More than processors, because some stages wait much. */
const parallel = 3;

process.exitCode = await main(process.argv.slice(2));

async function main(words: readonly string[]): Promise<number> {
  const isFull = words.includes("--full");
  const wanted = words.filter((word) => word !== "--full");
  const all = [...stages, ...longStages];
  const names = all.flat().map(({ name }) => name);
  if (words.includes("--help")) {
    const list = (some: readonly (readonly Stage[])[]): string =>
      some
        .flat()
        .map(({ name }) => name)
        .join(", ");
    console.log(`${usage}\n\nstages: ${list(stages)}\nwith --full, or by name: ${list(longStages)}`);
    return 0;
  }
  const unknown = wanted.filter((name) => !names.includes(name));
  if (unknown.length > 0) {
    console.error(`no such stage: ${unknown.join(", ")}; there are ${names.join(", ")}`);
    return 2;
  }
  const longNames = longStages.flat().map(({ name }) => name);
  const isWanted = (name: string): boolean =>
    wanted.includes(name) || (longNames.includes(name) ? isFull : wanted.length === 0);
  if (["e2e", "upgrade", "containers", "hostile", ...longNames].some(isWanted)) await installTools();

  let sum: Counts = { passed: 0, failed: 0, skipped: 0 };
  const failures: string[] = [];
  for (const together of all.map((line) => line.filter(({ name }) => isWanted(name)))) {
    if (together.length === 0) continue;
    console.log(`── ${together.map(({ name }) => name).join(", ")}`);
    for (const result of await runAbreast(together)) {
      sum = {
        passed: sum.passed + result.passed,
        failed: sum.failed + result.failed,
        skipped: sum.skipped + result.skipped,
      };
      failures.push(...result.failures);
    }
  }
  rmSync(reports, { recursive: true, force: true });
  for (const failure of failures) console.log(`${paint("stdout", "red", "failed:")} ${failure}`);
  console.log(describe(sum));
  return sum.failed === 0 ? 0 : 1;
}

async function runAbreast(waiting: readonly Stage[]): Promise<readonly Result[]> {
  const results: Result[] = [];
  const left = waiting.values();
  const runner = async (): Promise<void> => {
    for (const stage of left) results.push(await runStage(stage));
  };
  await Promise.all(Array.from({ length: parallel }, runner));
  return results;
}

async function runStage({ name, run }: Stage): Promise<Result> {
  const begin = performance.now();
  const result = await run();
  console.log(`   ${name}: ${describe(result)} in ${((performance.now() - begin) / 1000).toFixed(1)} s`);
  return result;
}

function describe({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed${skipped === 0 ? "" : `, ${skipped} skipped`}`;
}

/** A program that must end with status 0. Its output is shown if it fails. */
function check(name: string, command: string[]): Stage {
  return {
    name,
    run: async () => {
      const { status, output } = await run(command, 10 * minute, () => undefined);
      if (status === 0) return { passed: 1, failed: 0, skipped: 0, failures: [] };
      console.log(output.trimEnd());
      return { passed: 0, failed: 1, skipped: 0, failures: [name] };
    },
  };
}

/** A script that runs for minutes and must end with status 0. Its output is shown immediately. */
function longRun(name: string, timeoutMs: number, script: string, ...parameters: string[]): Stage {
  return {
    name,
    run: async () => {
      const command = [bun, join(projectRoot, "scripts", script), ...parameters];
      const { status } = await run(command, timeoutMs, (line) => console.log(`   ${line}`));
      return status === 0
        ? { passed: 1, failed: 0, skipped: 0, failures: [] }
        : { passed: 0, failed: 1, skipped: 0, failures: [name] };
    },
  };
}

/** One run of `bun test` with the test files of the stage. `showPassed` shows the progress of long stages. */
function tests(
  name: string,
  belongs: (path: string) => boolean,
  showPassed = false,
  timeoutMs = 30 * minute,
  environment: Readonly<Record<string, string>> = {},
): Stage {
  return {
    name,
    run: async () => {
      const files = testFiles(belongs);
      const report = join(reports, `${name}.xml`);
      const command = [
        bun,
        "test",
        // Tests wait for events, not for a time, so that a busy machine does not fail them.
        "--timeout=20000",
        ...files.map((path) => `./${path}`),
        "--reporter=junit",
        `--reporter-outfile=${report}`,
      ];
      // A set, because bun test repeats failures at the end.
      const failures = new Set<string>();
      const onLine = (line: string): void => {
        if (line.startsWith("(fail)")) failures.add(`${name}: ${line.slice("(fail)".length).trim()}`);
        if (showPassed || !/^$|^\(pass\)|^test\/.*:$/.test(line)) console.log(`   ${line}`);
      };
      const { status } = await run(command, timeoutMs, onLine, environment);
      const counts = readCounts(report);
      const died = status !== 0 && counts.failed === 0;
      return died
        ? { ...counts, failed: 1, failures: [...failures, `${name}: bun test ended with status ${status}`] }
        : { ...counts, failures: [...failures] };
    },
  };
}

/** What depends on the HTTP server of the runtime. */
function isAboutHttp(path: string): boolean {
  return path.startsWith("test/http/") || /^test\/hostile\/(?:bodies|large-responses)\.test\.ts$/.test(path);
}

/** The same on Deno, without the tests that `test/deno/run-tests.ts` names. */
function testsOnDeno(
  name: string,
  belongs: (path: string) => boolean,
  environment: Readonly<Record<string, string>> = {},
): Stage {
  return {
    name,
    run: async () => {
      const files = testFiles(belongs);
      const counts = { passed: 0, failed: 0, skipped: 0 };
      const failures: string[] = [];
      const command = [join(projectRoot, "scripts", "deno"), "test/deno/run-tests.ts", ...files];
      const { status } = await run(
        command,
        30 * minute,
        (line) => {
          const [, count, what] = /^ (\d+) (pass|skip|fail)$/.exec(line) ?? [];
          if (what === "pass") counts.passed = Number(count);
          else if (what === "skip") counts.skipped = Number(count);
          else if (what === "fail") counts.failed = Number(count);
          else if (line.startsWith("(fail)")) failures.push(`${name}: ${line.slice("(fail)".length).trim()}`);
          if (!/^$|^\(pass\)|^test\/.*:$/.test(line)) console.log(`   ${line}`);
        },
        environment,
      );
      // A test that ends the process leaves no totals.
      if (counts.failed > 0 || (status === 0 && counts.passed > 0)) return { ...counts, failures };
      return { ...counts, failed: 1, failures: [...failures, `${name}: ended with status ${status}`] };
    },
  };
}

/** Runs the files in several concurrent runs, for tests that mostly wait. */
function inParts(count: number, name: string, belongs: (path: string) => boolean, timeoutMs: number): Stage {
  return {
    name,
    run: async () => {
      const files = testFiles(belongs);
      const parts = Array.from({ length: count }, (_, part) => {
        const share = new Set(files.filter((_, index) => index % count === part));
        return tests(`${name}-${part + 1}`, (path) => share.has(path), true, timeoutMs).run();
      });
      const results = await Promise.all(parts);
      const sum = (countOf: (result: Result) => number): number =>
        results.reduce((total, result) => total + countOf(result), 0);
      return {
        passed: sum(({ passed }) => passed),
        failed: sum(({ failed }) => failed),
        skipped: sum(({ skipped }) => skipped),
        failures: results.flatMap(({ failures }) => failures),
      };
    },
  };
}

function testFiles(belongs: (path: string) => boolean): readonly string[] {
  return [...new Bun.Glob("test/**/*.test.ts").scanSync(projectRoot)].filter(belongs).toSorted();
}

/** The totals of the outermost element of a JUnit report; undefined without a report. */
function readCounts(report: string): Counts {
  let outermost: string;
  try {
    outermost = /<testsuites [^>]*>/.exec(readFileSync(report, "utf8"))?.[0] ?? "";
  } catch {
    return { passed: 0, failed: 0, skipped: 0 };
  }
  const number = (name: string): number => Number(new RegExp(` ${name}="(\\d+)"`).exec(outermost)?.[1] ?? 0);
  const [failed, skipped] = [number("failures") + number("errors"), number("skipped")];
  return { passed: number("tests") - failed - skipped, failed, skipped };
}

async function run(
  command: string[],
  timeoutMs: number,
  line: (text: string) => void,
  environment: Readonly<Record<string, string>> = {},
): Promise<{ readonly status: number; readonly output: string }> {
  const child = Bun.spawn(command, {
    cwd: projectRoot,
    env: { ...process.env, ...environment, NO_COLOR: "1", FORCE_COLOR: "0" },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: timeoutMs,
    killSignal: "SIGKILL",
  });
  const output: string[] = [];
  const read = async (stream: ReadableStream<Uint8Array>): Promise<void> => {
    let rest = "";
    const decoder = new TextDecoder();
    for await (const bytes of stream) {
      const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      output.push(...lines);
      lines.forEach(line);
    }
    if (rest !== "") {
      output.push(rest);
      line(rest);
    }
  };
  const [status] = await Promise.all([child.exited, read(child.stdout), read(child.stderr)]);
  if (child.signalCode === "SIGKILL") line(`ended after ${timeoutMs / minute} minutes`);
  return { status, output: output.join("\n") };
}
