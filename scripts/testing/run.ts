/** Runs programs and test files for the stages of `scripts/test`, and reads their results. */
import * as Bun from "bun";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { projectRoot } from "../built-binary.ts";

export interface Failure {
  /** The stage, and the name of the test if it was one. */
  readonly name: string;
  /** The last lines of its output. */
  readonly lines: readonly string[];
}

export interface Result {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly failures: readonly Failure[];
  /** The names of the skipped tests, with their stage. */
  readonly skips: readonly string[];
  /** Of all processes, in seconds. */
  readonly processorSeconds: number;
}

export interface RunOptions {
  readonly timeoutMs?: number;
  /** More variables of the environment. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Shows every line immediately: for one file, and for long runs. */
  readonly isShown?: boolean;
  /** Only tests whose names match this regular expression. */
  readonly pattern?: string | undefined;
}

const minute = 60_000;
/** Tests wait for events, not for a time, so a busy machine does not fail them. */
const testTimeoutMs = 60_000;
/** Lines that the summary shows of a failure. */
const shownLinesMax = 25;

/** A program that passes if it ends with status 0. */
export async function runProgram(name: string, command: readonly string[], options: RunOptions = {}): Promise<Result> {
  const lines: string[] = [];
  const { status, processorSeconds } = await run(command, (line) => lines.push(line), options);
  const failures = status === 0 ? [] : [{ name, lines: lines.slice(-shownLinesMax) }];
  return { passed: status === 0 ? 1 : 0, failed: failures.length, skipped: 0, failures, skips: [], processorSeconds };
}

/** One run of `bun test` with these files, relative to the project. */
export async function runTests(name: string, files: readonly string[], options: RunOptions = {}): Promise<Result> {
  const directory = mkdtempSync(join(tmpdir(), "ostiary-test-"));
  const remove = (): void => rmSync(directory, { recursive: true, force: true });
  process.once("exit", remove);
  const report = join(directory, "report.xml");
  const { pattern } = options;
  const command = [
    process.execPath,
    "test",
    `--timeout=${testTimeoutMs}`,
    "--reporter=junit",
    `--reporter-outfile=${report}`,
    ...(pattern === undefined ? [] : ["--test-name-pattern", pattern]),
    ...files.map((path) => `./${path}`),
  ];
  const output = new TestOutput(name);
  const { status, processorSeconds } = await run(command, (line) => output.line(line), options);
  const counts = readReport(report);
  // The report counts tests with other names as skipped.
  if (pattern !== undefined) counts.skipped = output.skips.length;
  process.off("exit", remove);
  remove();
  return resultOf(output, counts, status, processorSeconds);
}

/** The same on Deno, without the tests that `test/deno/run-tests.ts` names. */
export async function runTestsOnDeno(
  name: string,
  files: readonly string[],
  options: RunOptions = {},
): Promise<Result> {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const output = new TestOutput(name);
  const command = [join(projectRoot, "scripts", "deno"), "test/deno/run-tests.ts", ...files];
  const onLine = (line: string): void => {
    const [, count, what] = /^ (\d+) (pass|skip|fail)$/.exec(line) ?? [];
    if (what === "pass") counts.passed = Number(count);
    else if (what === "skip") counts.skipped = Number(count);
    else if (what === "fail") counts.failed = Number(count);
    output.line(line);
  };
  const { status, processorSeconds } = await run(command, onLine, options);
  return resultOf(output, counts, status, processorSeconds);
}

type Counts = Pick<Result, "passed" | "failed" | "skipped">;

/** A run that failed without a named failure, or in which no test ended, is a failure of its own. */
function resultOf(output: TestOutput, counts: Counts, status: number, processorSeconds: number): Result {
  const { failures, skips } = output;
  // The report does not count errors outside of tests.
  const failed = Math.max(counts.failed, failures.length);
  const result = { ...counts, failed, failures, skips, processorSeconds };
  if (counts.passed + counts.failed + counts.skipped > 0 && (failed > 0 || status === 0)) return result;
  const ended = { name: `${output.stage}: the run ended with status ${status}`, lines: output.lastLines };
  return { ...result, failed: failures.length + 1, failures: [...failures, ended] };
}

/** Reads the lines that `bun test` prints, and what `test/deno/run-tests.ts` prints alike. */
class TestOutput {
  readonly stage: string;
  /** By name, because bun test repeats failures at the end. */
  readonly #failures = new Map<string, Failure>();
  readonly #skips = new Set<string>();
  #file = "";
  /** The lines of an error that no test has caused, until its end. */
  #outside: string[] | undefined;
  /** Printed since the last test ended. */
  #lines: string[] = [];

  constructor(stage: string) {
    this.stage = stage;
  }

  get failures(): readonly Failure[] {
    return [...this.#failures.values()];
  }

  get skips(): readonly string[] {
    return [...this.#skips];
  }

  get lastLines(): readonly string[] {
    return this.#lines.slice(-shownLinesMax);
  }

  line(line: string): void {
    if (line === "# Unhandled error between tests") {
      this.#outside = [];
    } else if (this.#outside !== undefined) {
      if (!/^-+$/.test(line)) this.#outside.push(line);
      else if (this.#outside.length > 0) this.#failOutside(this.#outside);
    } else if (line.startsWith("(fail)")) this.#fail(line.slice("(fail)".length).trim());
    else if (line.startsWith("(skip)")) this.#skips.add(`${this.stage}: ${line.slice("(skip)".length).trim()}`);
    else if (/^test\/.*:$/.test(line)) this.#file = line.slice(0, -1);
    else if (!line.startsWith("(pass)")) {
      this.#lines.push(line);
      return;
    }
    this.#lines = [];
  }

  #failOutside(lines: readonly string[]): void {
    const name = `${this.stage}: outside of the tests of ${this.#file}`;
    this.#failures.set(name, { name, lines: lines.slice(0, shownLinesMax) });
    this.#outside = undefined;
  }

  #fail(test: string): void {
    const name = `${this.stage}: ${test}`;
    if (!this.#failures.has(name)) this.#failures.set(name, { name, lines: this.lastLines });
  }
}

/** The totals of the outermost element of a JUnit report; zeros without a report. */
function readReport(path: string): { passed: number; failed: number; skipped: number } {
  const report = existsSync(path) ? readFileSync(path, "utf8") : "";
  const outermost = /<testsuites [^>]*>/.exec(report)?.[0] ?? "";
  const number = (name: string): number => Number(new RegExp(` ${name}="(\\d+)"`).exec(outermost)?.[1] ?? 0);
  const [failed, skipped] = [number("failures") + number("errors"), number("skipped")];
  return { passed: number("tests") - failed - skipped, failed, skipped };
}

const running = new Set<Bun.Subprocess>();
let isEnding = false;
const endingMs = 5000;

/** Ends all runs with their processes. Those that clean up have some seconds for it. */
export async function endRuns(): Promise<void> {
  isEnding = true;
  const children = [...running];
  const ids = children.flatMap(({ pid }) => withDescendants(pid));
  signalAll(ids, "SIGTERM");
  await Promise.race([Promise.all(children.map(({ exited }) => exited)), Bun.sleep(endingMs)]);
  signalAll(ids, "SIGKILL");
}

/** A process and all that come from it, also those with a session of their own, like nodes; only on Linux. */
function withDescendants(pid: number): readonly number[] {
  const parents = new Map<number, number>();
  for (const name of existsSync("/proc/self/stat") ? readdirSync("/proc") : []) {
    try {
      // The name of the program, in parentheses, can contain anything.
      const [, parent] = /^.*\) \S (\d+)/s.exec(readFileSync(join("/proc", name, "stat"), "utf8")) ?? [];
      if (parent !== undefined) parents.set(Number(name), Number(parent));
    } catch {
      // It is no process, or has ended.
    }
  }
  const found = new Set([pid]);
  for (const each of found) for (const [id, parent] of parents) if (parent === each) found.add(id);
  return [...found];
}

function signalAll(ids: readonly number[], signal: NodeJS.Signals): void {
  for (const id of ids) {
    try {
      process.kill(id, signal);
    } catch {
      // It has ended.
    }
  }
}

async function run(
  command: readonly string[],
  onLine: (line: string) => void,
  { timeoutMs = 10 * minute, environment = {}, isShown = false }: RunOptions,
): Promise<{ readonly status: number; readonly processorSeconds: number }> {
  const child = Bun.spawn([...command], {
    cwd: projectRoot,
    env: { ...process.env, ...environment, NO_COLOR: "1", FORCE_COLOR: "0" },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    // A process group, so that what the run leaves behind can be ended.
    detached: true,
  });
  running.add(child);
  const take = (line: string): void => {
    if (isShown) console.log(line);
    onLine(line);
  };
  const output = Promise.all([eachLine(child.stdout, take), eachLine(child.stderr, take)]);
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    signalAll(withDescendants(child.pid), "SIGKILL");
  }, timeoutMs);
  const status = await child.exited;
  clearTimeout(timer);
  // A process that is left would keep the output open.
  signalAll([-child.pid], "SIGKILL");
  running.delete(child);
  if (isEnding) return new Promise(() => {});
  await output;
  if (isLate) take(`ended after ${timeoutMs / minute} minutes`);
  return { status, processorSeconds: Number(child.resourceUsage()?.cpuTime.total ?? 0) / 1e6 };
}

async function eachLine(stream: ReadableStream<Uint8Array>, take: (line: string) => void): Promise<void> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const bytes of stream) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    lines.forEach(take);
  }
  if (rest !== "") take(rest);
}
