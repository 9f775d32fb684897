/**
 * Runs all checks and tests in stages: `scripts/test` runs all, `scripts/test unit http` only these. Each check and
 * each test counts as one. Most stages run beside others on few processors, so a file with failed tests runs once more,
 * alone, at the end: a test counts as failed if its file fails both times. The end of the output has each failure with
 * its last lines and, as the last line, the totals. The status is 0 only if nothing failed.
 */
import * as Bun from "bun";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { paint } from "../src/cli/color.ts";
import { must } from "../src/util/assert.ts";
import { projectRoot } from "./built-binary.ts";
import { installTools } from "./test-tools.ts";

const usage = `scripts/test [--full] [stage ...]

  --full   run what takes too long for every change as well: clusters with every release and broker and a rotation of the node key, the programs for arm64 and for x64 without AVX2, all of HTTP and replication and more random policies on Deno, the image of Deno, lists under 20,000 random policies, a million facts in the console, local authorization under 300 random policies for each database, the issue tracker with a million issues, ten minutes of siege, five of chaos, 1000 seeds of the simulation
  --help   show this, with the names of the stages`;

interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

interface Failure {
  /** The stage, and the name of the test if it was one. */
  readonly name: string;
  /** The last lines of its output. */
  readonly lines: readonly string[];
  /** Undefined for a check, and for tests that ended the whole run. */
  readonly file?: string | undefined;
}

interface Result extends Counts {
  readonly failures: readonly Failure[];
  /** Runs one test file of the stage alone. */
  readonly runAlone?: (file: string) => Promise<Result>;
}

interface Stage {
  readonly name: string;
  readonly run: () => Promise<Result>;
}

const bun = process.execPath;
/** How many test files run a second time: if more fail, the machine is not the reason. */
const repeatedFilesMax = 20;
/** Lines that the summary shows of a failed test. */
const shownLinesMax = 25;
const minute = 60_000;
const upgrade = "test/releases/mixed-versions.test.ts";
const mutations = "test/sim/mutations.test.ts";
const example = "test/local/example.test.ts";
const processors = "test/packages/other-processors.test.ts";
const isAgainstOracle = (path: string): boolean => /^test\/local\/(?:chains|differential|ids)\./.test(path);
const denoImage = "test/e2e/deno-image.test.ts";
const isInContainers = (path: string): boolean => path === "test/e2e/containers.test.ts" || path === denoImage;
const isSlowOfReleases = (path: string): boolean =>
  /^test\/releases\/(?:all-versions|node-key-rotation|reproducible)\./.test(path);
const reports = mkdtempSync(join(tmpdir(), "ostiary-test-"));

/** The lines run one after another, and the stages of one line concurrently. */
const stages: readonly (readonly Stage[])[] = [
  [check("types", [bun, "check", "--no-script"])],
  [check("types-console", [bun, "check", "--no-script", "-p", "src/console/ui"])],
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
        !/^test\/(?:tidy|cases)\.test\.ts$|^test\/(?:console\/flows|environments|http|e2e|fuzz|hostile|import|kubernetes|local|packages|releases|replication|sim)\//.test(
          path,
        ),
    ),
    tests("replication", isAboutReplication),
    tests("http", (path) => path.startsWith("test/http/")),
    testsOnDeno("deno-replication", (path) => isAboutReplication(path) && usesRuntime(path)),
    testsOnDeno("deno-http", (path) => isAboutHttp(path) && usesRuntime(path), { RANDOM_REQUESTS: "2000" }),
    tests("environments", (path) => path.startsWith("test/environments/")),
    tests("local", (path) => path.startsWith("test/local/")),
    tests("releases", (path) => path.startsWith("test/releases/") && path !== upgrade && !isSlowOfReleases(path)),
    // From here on each is one busy process. Beside one, the worker processes of nodes would wait: they have low priority.
    tests("mutations", (path) => path === mutations),
    tests("simulation", (path) => path.startsWith("test/sim/") && path !== mutations),
    testsOnDeno("deno-random", (path) => path === "test/fuzz/fuzz.test.ts", { FUZZ_RUNS: "300" }),
    tests("histories", (path) => path.startsWith("test/fuzz/") && path !== "test/fuzz/fuzz.test.ts"),
    tests("random", (path) => path === "test/fuzz/fuzz.test.ts"),
    testsOnDeno("deno-histories", (path) => path === "test/fuzz/history.test.ts", { HISTORY_STEPS: "2000" }),
    tests("imports", (path) => path.startsWith("test/import/")),
    testsOnDeno("deno-cases", (path) => /^test\/(?:cases|runtime\/.*)\.test\.ts$/.test(path)),
    tests("cases", (path) => path === "test/cases.test.ts"),
  ],
  // After the others, because they exhaust resources.
  [inParts(3, "hostile", (path) => path.startsWith("test/hostile/"), 10 * minute)],
  // Each scenario runs with the embedded broker and with Mosquitto. They mostly wait.
  [inParts(2, "e2e", (path) => path.startsWith("test/e2e/") && !isInContainers(path), 30 * minute)],
  [tests("console", (path) => path.startsWith("test/console/flows/"))],
  [
    tests("upgrade", (path) => path === upgrade, true),
    tests("packages", (path) => path.startsWith("test/packages/") && path !== processors, true),
    tests("kubernetes", (path) => path.startsWith("test/kubernetes/")),
    tests("containers", (path) => path === "test/e2e/containers.test.ts", true),
  ],
];

const millionFacts = { CONSOLE_FACTS: "1000000" };

/** Run with `--full`, or by name. */
const longStages: readonly (readonly Stage[])[] = [
  [tests("upgrade-all", (path) => path === upgrade, true, 30 * minute, { UPGRADE_BROKERS: "all" })],
  [tests("releases-all", isSlowOfReleases, true, 90 * minute)],
  [tests("processors", (path) => path === processors, true)],
  [testsOnDeno("deno-all", (path) => isAboutReplication(path) || isAboutHttp(path))],
  [testsOnDeno("deno-random-all", (path) => path === "test/fuzz/fuzz.test.ts", { FUZZ_RUNS: "3000" })],
  [tests("deno-image", (path) => path === denoImage, true)],
  [tests("lists", (path) => path === "test/fuzz/open-lists.test.ts", true, 60 * minute, { FUZZ_RUNS: "20000" })],
  [tests("console-facts", (path) => path === "test/console/flows/facts.test.ts", true, 60 * minute, millionFacts)],
  [tests("local-all", isAgainstOracle, true, 120 * minute, { FUZZ_RUNS: "300", LOCAL_FULL: "1" })],
  [tests("example", (path) => path === example, true, 30 * minute, { EXAMPLE_ISSUES: "1000000" })],
  [longRun("siege", 30 * minute, "siege.ts", "--seconds", "600")],
  [longRun("chaos", 20 * minute, "chaos.ts", "--seconds", "300")],
  [longRun("failover", 20 * minute, "chaos.ts", "--failover", "etcd", "--seconds", "300")],
  [longRun("seeds", 60 * minute, "sim.ts", "--seeds", "1000")],
];

/** With three on two processors, tests waited so long for the nodes of others that their limits of time ended. */
const parallel = 2;

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
  if (["console", "e2e", "upgrade", "containers", "kubernetes", "packages", "hostile", ...longNames].some(isWanted))
    await installTools();

  const results: Result[] = [];
  for (const together of all.map((line) => line.filter(({ name }) => isWanted(name)))) {
    if (together.length === 0) continue;
    console.log(`── ${together.map(({ name }) => name).join(", ")}`);
    results.push(...(await runAbreast(together)));
  }
  const sum = add(await runAgain(results));
  rmSync(reports, { recursive: true, force: true });
  for (const { name, lines } of sum.failures) {
    console.log(`${paint("stdout", "red", "failed:")} ${name}`);
    for (const line of lines) console.log(`   ${line}`);
  }
  console.log(describe(sum));
  return sum.failed === 0 && sum.failures.length === 0 ? 0 : 1;
}

function add(results: readonly Result[]): Result {
  const sum = (countOf: (result: Result) => number): number =>
    results.reduce((total, result) => total + countOf(result), 0);
  return {
    passed: sum(({ passed }) => passed),
    failed: sum(({ failed }) => failed),
    skipped: sum(({ skipped }) => skipped),
    failures: results.flatMap(({ failures }) => failures),
  };
}

/** Runs the files with failures alone. Returns the results, without the failures that did not happen again. */
async function runAgain(results: readonly Result[]): Promise<readonly Result[]> {
  const files = results.flatMap(({ failures }) => [...new Set(failures.flatMap(({ file }) => file ?? []))]);
  if (files.length === 0 || files.length > repeatedFilesMax) return results;
  console.log("── again, alone");
  const after: Result[] = [];
  for (const result of results) {
    let { passed, failed, failures } = result;
    for (const file of new Set(failures.flatMap((failure) => failure.file ?? []))) {
      const second = await result.runAlone?.(file);
      if (second === undefined || second.failed > 0 || second.passed === 0) continue;
      const mended = failures.filter((failure) => failure.file === file);
      for (const { name, lines } of mended) {
        console.log(`   passed alone, failed beside others: ${name}`);
        for (const line of lines) console.log(`      ${line}`);
      }
      failures = failures.filter((failure) => failure.file !== file);
      failed -= mended.length;
      passed += mended.length;
    }
    after.push({ ...result, passed, failed, failures });
  }
  return after;
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
      return { passed: 0, failed: 1, skipped: 0, failures: [{ name, lines: [] }] };
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
        : { passed: 0, failed: 1, skipped: 0, failures: [{ name, lines: [] }] };
    },
  };
}

/** Reads the lines that `bun test` prints, and what `test/deno/run-tests.ts` prints alike. */
class TestOutput {
  readonly #stage: string;
  readonly #showPassed: boolean;
  /** By name, because bun test repeats failures at the end. */
  readonly #failures = new Map<string, Failure>();
  #file: string | undefined;
  /** What was printed since the last test ended. */
  #lines: string[] = [];

  constructor(stage: string, showPassed: boolean) {
    this.#stage = stage;
    this.#showPassed = showPassed;
  }

  get failures(): readonly Failure[] {
    return [...this.#failures.values()];
  }

  line(line: string): void {
    if (this.#showPassed || !/^$|^\(pass\)|^test\/.*:$/.test(line)) console.log(`   ${line}`);
    const [, file] = /^(test\/.*):$/.exec(line) ?? [];
    if (file !== undefined) this.#file = file;
    else if (line.startsWith("(fail)")) this.#fail(line.slice("(fail)".length).trim());
    else if (!line.startsWith("(pass)")) {
      this.#lines.push(line);
      return;
    }
    this.#lines = [];
  }

  #fail(test: string): void {
    const name = `${this.#stage}: ${test}`;
    if (!this.#failures.has(name))
      this.#failures.set(name, { name, lines: this.#lines.slice(-shownLinesMax), file: this.#file });
  }
}

/** One run of `bun test` with the test files of the stage. `showPassed` shows the progress of long stages. */
function tests(
  name: string,
  belongs: (path: string) => boolean,
  showPassed = false,
  timeoutMs = 30 * minute,
  environment: Readonly<Record<string, string>> = {},
): Stage {
  const runFiles = async (files: readonly string[]): Promise<Result> => {
    const report = join(reports, `${name}.xml`);
    const command = [
      bun,
      "test",
      // Tests wait for events, not for a time, so that a busy machine does not fail them.
      "--timeout=60000",
      ...files.map((path) => `./${path}`),
      "--reporter=junit",
      `--reporter-outfile=${report}`,
    ];
    rmSync(report, { force: true });
    const output = new TestOutput(name, showPassed);
    const { status } = await run(command, timeoutMs, (line) => output.line(line), environment);
    const counts = readCounts(report);
    const { failures } = output;
    if (status === 0 || counts.failed > 0) return { ...counts, failures };
    const died = { name: `${name}: bun test ended with status ${status}`, lines: [] };
    return { ...counts, failed: failures.length + 1, failures: [...failures, died] };
  };
  return {
    name,
    run: async () => ({ ...(await runFiles(testFiles(belongs))), runAlone: (file) => runFiles([file]) }),
  };
}

function isAboutReplication(path: string): boolean {
  return path.startsWith("test/replication/");
}

/** Tests of connections, threads, processes, files and SQLite. The others test code that is the same on each runtime. */
function usesRuntime(path: string): boolean {
  return /\/(?:access-table|authorize-fast-path|backup|bodies|client|console-files|embedded-broker|event-stream|events|expensive-queries|external-broker|failover|fallback|isolation|keys|large-responses|lease|limits|login|long-polls|mosquitto|oidc|old-clients|random-requests|replica|responses|scrub|snapshot-download|tls|two-brokers|writer)\.test\.ts$/.test(
    path,
  );
}

function isAboutHttp(path: string): boolean {
  return (
    path.startsWith("test/http/") ||
    /^test\/(?:console\/console-files|hostile\/(?:bodies|large-responses)|environments\/(?:lifecycle|isolation))\.test\.ts$/.test(
      path,
    )
  );
}

/** The same on Deno, without the tests that `test/deno/run-tests.ts` names. */
function testsOnDeno(
  name: string,
  belongs: (path: string) => boolean,
  environment: Readonly<Record<string, string>> = {},
): Stage {
  const runFiles = async (files: readonly string[]): Promise<Result> => {
    const counts = { passed: 0, failed: 0, skipped: 0 };
    const output = new TestOutput(name, false);
    const command = [join(projectRoot, "scripts", "deno"), "test/deno/run-tests.ts", ...files];
    const onLine = (line: string): void => {
      const [, count, what] = /^ (\d+) (pass|skip|fail)$/.exec(line) ?? [];
      if (what === "pass") counts.passed = Number(count);
      else if (what === "skip") counts.skipped = Number(count);
      else if (what === "fail") counts.failed = Number(count);
      output.line(line);
    };
    const { status } = await run(command, 30 * minute, onLine, environment);
    const { failures } = output;
    // A test that ends the process leaves no totals.
    if (counts.failed > 0 || (status === 0 && counts.passed > 0)) return { ...counts, failures };
    const died = { name: `${name}: ended with status ${status}`, lines: [] };
    return { ...counts, failed: failures.length + 1, failures: [...failures, died] };
  };
  return {
    name,
    run: async () => ({ ...(await runFiles(testFiles(belongs))), runAlone: (file) => runFiles([file]) }),
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
      const { runAlone } = must(results[0]);
      return { ...add(results), ...(runAlone && { runAlone }) };
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
