/**
 * Runs test files on Deno, one after another: `deno run … test/deno/run-tests.ts FILE …`. Prints what `bun test` prints
 * for each test, and the totals. The status is 0 only if no test failed and at least one ran.
 */
import { resolve } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { collect, type Suite, type TestCase } from "./bun-test.ts";

/** Tests that cannot run on Deno, with the reason. */
const notOnDeno: ReadonlyMap<string, string> = new Map([
  [
    "if no worker process can be started, the query fails with the reason, and the next one succeeds",
    "it replaces the function of Bun that starts processes",
  ],
  [
    "a snapshot > describes itself, and any tool for zstd unpacks it",
    "it unpacks the file from its first byte, which is a frame to skip: node:zlib of Deno stops there",
  ],
]);

const defaultTimeoutMs = 60_000;
const counts = { passed: 0, failed: 0, skipped: 0 };
type Hooks = readonly ((...parameters: never[]) => unknown)[];

/** Errors outside of a test fail the test that runs then. If none runs, each counts as a failed test. */
let fail: ((error: unknown) => void) | undefined;
process.on("uncaughtException", (error) => {
  if (fail === undefined) failOutside(error, "an error outside of a test");
  else fail(error ?? new Error("threw nothing"));
});

function failOutside(error: unknown, name: string): void {
  counts.failed++;
  console.log(error);
  console.log(`(fail) ${name}`);
}

async function runSuite(
  suite: Suite,
  path: readonly string[],
  isSkipped: boolean,
  each: Pick<Suite, "beforeEach" | "afterEach">,
): Promise<void> {
  const before = [...each.beforeEach, ...suite.beforeEach];
  const after = [...suite.afterEach, ...each.afterEach];
  if (!isSkipped) await runHooks(suite.beforeAll, path);
  for (const child of suite.children) {
    const names = [...path, child.name];
    if (child.kind === "suite")
      await runSuite(child, names, isSkipped || child.isSkipped, { beforeEach: before, afterEach: after });
    else if (isSkipped || child.isSkipped) counts.skipped++;
    else if (notOnDeno.has(names.join(" > "))) skip(names.join(" > "));
    else await runTest(child, names, before, after);
  }
  if (!isSkipped) await runHooks(suite.afterAll, path);
}

/** Hooks of a suite. If one fails, that counts as a failed test. */
async function runHooks(hooks: Hooks, path: readonly string[]): Promise<void> {
  const error = await failureOf(() => callAll(hooks), 2 * defaultTimeoutMs);
  if (error !== undefined) failOutside(error, `${path.join(" > ")}: a hook`);
}

function skip(name: string): void {
  counts.skipped++;
  console.log(`(skip) ${name}: ${notOnDeno.get(name)}`);
}

async function runTest(
  { body, timeoutMs = defaultTimeoutMs }: TestCase,
  names: readonly string[],
  before: Hooks,
  after: Hooks,
): Promise<void> {
  const begin = performance.now();
  const error = await failureOf(async () => {
    try {
      await callAll(before);
      await body();
    } finally {
      await callAll(after);
    }
  }, timeoutMs);
  const passed = error === undefined;
  counts[passed ? "passed" : "failed"]++;
  if (!passed) console.log(error);
  console.log(`(${passed ? "pass" : "fail"}) ${names.join(" > ")} [${(performance.now() - begin).toFixed(2)}ms]`);
}

/** What the body throws, or an error if it takes too long; undefined if it ends well. */
async function failureOf(body: () => Promise<void>, timeoutMs: number): Promise<unknown> {
  const { promise, resolve: end } = Promise.withResolvers<unknown>();
  fail = end;
  const timer = setTimeout(() => end(new Error(`took longer than ${timeoutMs} ms`)), timeoutMs);
  body().then(
    // Rejections that nothing handled are reported first.
    () => setTimeout(() => end(undefined)),
    (error) => end(error ?? new Error("threw nothing")),
  );
  const failure = await promise;
  clearTimeout(timer);
  fail = undefined;
  return failure;
}

async function callAll(hooks: Hooks): Promise<void> {
  for (const hook of hooks) await (hook as () => unknown)();
}

for (const file of process.argv.slice(2)) {
  console.log(`\n${file}:`);
  try {
    const suite = await collect(() => import(pathToFileURL(resolve(file)).href));
    await runSuite(suite, [], false, { beforeEach: [], afterEach: [] });
  } catch (error) {
    failOutside(error, file);
  }
}
console.log(`\n ${counts.passed} pass\n ${counts.skipped} skip\n ${counts.failed} fail`);
process.exit(counts.failed === 0 && counts.passed > 0 ? 0 : 1);
