/** The runner of tests on Deno does not pass what `bun test` fails. */
import * as Bun from "bun";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { projectRoot } from "../../scripts/built-binary.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ostiary-run-tests-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The lines with results and totals, without times. */
function run(body: string): { readonly status: number; readonly lines: readonly string[] } {
  const path = join(folder, "example.ts");
  writeFileSync(path, `import { afterAll, beforeEach, describe, expect, test } from "bun:test";\n${body}`);
  const command = [join(projectRoot, "scripts", "deno"), "test/deno/run-tests.ts", path];
  const { exitCode, stdout } = Bun.spawnSync(command, { cwd: projectRoot, stdout: "pipe", stderr: "pipe" });
  const lines = stdout.toString().match(/^(?:\((?:pass|fail)\) .*| \d+ (?:pass|fail))$/gm) ?? [];
  return { status: exitCode, lines: lines.map((line) => line.replace(/ \[[\d.]+ms\]$/, "").replace(path, "FILE")) };
}

const pause = "new Promise((resolve) => setTimeout(resolve, 20))";
const passing = `test("other", () => {});`;

test("a suite may be asynchronous, and its tests have its name", () => {
  const body = `
    describe("outer", async () => {
      await ${pause};
      test("first", () => {});
      describe("inner", () => test.each([1, 2])("number %d", (number) => expect(number).toBeLessThan(3)));
    });
    ${passing}`;
  const passed = ["outer > first", "outer > inner > number 1", "outer > inner > number 2", "other"];
  expect(run(body)).toEqual({ status: 0, lines: [...passed.map((name) => `(pass) ${name}`), " 4 pass", " 0 fail"] });
});

test.each([
  ["a suite that throws later", `describe("a", async () => { await ${pause}; throw new Error("x"); });`, "FILE"],
  [
    "an error while a file loads",
    `setTimeout(() => { throw new Error("x"); }); await ${pause};`,
    "an error outside of a test",
  ],
  ["a hook", `describe("a", () => { afterAll(() => { throw new Error("x"); }); ${passing} });`, "a: a hook"],
  [
    "a hook of each test",
    `describe("a", () => { beforeEach(() => { throw new Error("x"); }); ${passing} });`,
    "a > other",
  ],
  ["a rejection that nobody awaits", `test("a", () => void expect(Promise.resolve(1)).resolves.toBe(2));`, "a"],
  ["an asynchronous function", `test("a", () => expect(async () => { throw new Error("x"); }).not.toThrow());`, "a"],
  ["a late error", `test("a", async () => { setTimeout(() => { throw new Error("x"); }); await ${pause}; });`, "a"],
  [
    "a late error of no value",
    `test("a", async () => { setTimeout(() => { throw undefined; }); await ${pause}; });`,
    "a",
  ],
  ["a time limit", `test("a", () => new Promise(() => {}), 20);`, "a"],
  ["an unknown matcher", `test("a", () => expect(1).toBeUnknown());`, "a"],
])("%s fails", (_, body, failed) => {
  const { status, lines } = run(`${body}\n${passing}`);
  expect(lines).toContain(`(fail) ${failed}`);
  expect({ status, failed: lines.at(-1) }).toEqual({ status: 1, failed: " 1 fail" });
});

test("no test at all is a failure", () => {
  expect(run(`test.skip("a", () => {});`)).toEqual({ status: 1, lines: [" 0 pass", " 0 fail"] });
});
