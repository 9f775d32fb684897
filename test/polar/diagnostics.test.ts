/** Every message, as people see it: `diagnostics/*.polar` hold the policies, the `.txt` of the same name what is said about them. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { renderDiagnostics } from "../../src/polar/render.ts";
import { expectGolden, readCases } from "../golden.ts";
import { compileText } from "./compile.ts";

const directory = join(import.meta.dir, "diagnostics");
const suites = readdirSync(directory).filter((name) => name.endsWith(".polar"));

for (const suite of suites) {
  test(`diagnostics of ${suite}`, () => {
    const answers = readCases(join(directory, suite)).map(({ name, text }) => {
      const { policy, diagnostics, sources } = compileText(text);
      expect(policy === undefined).toBe(diagnostics.some((diagnostic) => diagnostic.severity === "error"));
      return `# --- ${name}\n${renderDiagnostics(diagnostics, sources, { color: false })}`;
    });
    expectGolden(join(directory, suite.replace(".polar", ".txt")), answers.join("\n"));
  });
}

test("every code has a case that shows it", () => {
  const shown = [
    ...suites.map((suite) => join(directory, suite.replace(".polar", ".txt"))),
    join(import.meta.dir, "limits.test.ts"),
  ]
    .map((path) => readFileSync(path, "utf8"))
    .join("\n");
  const missing = [...codesInSource()].filter(
    (code) => !new RegExp(code.replace("${stage}", "(block|rule|test)")).test(shown),
  );
  expect(missing).toEqual([]);
});

test("messages are in one style", () => {
  for (const suite of suites) {
    for (const { text } of readCases(join(directory, suite))) {
      for (const { code, message, hint = "" } of compileText(text).diagnostics) {
        expect(code).toMatch(/^(syntax|block|rule|test)\/[a-z]+(-[a-z]+)*$/);
        for (const sentence of [message, hint]) {
          expect(sentence).not.toMatch(/^[A-Z]|\.$|\n/);
        }
      }
    }
  }
});

function codesInSource(): Set<string> {
  const root = join(import.meta.dir, "../../src/polar");
  const files = readdirSync(root, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));
  const text = files.map((name) => readFileSync(join(root, name), "utf8")).join("\n");
  return new Set(
    Array.from(text.matchAll(/["`]((?:syntax|block|rule|test|\$\{stage\})\/[a-z-]+)["`]/g), (found) => found[1] ?? ""),
  );
}
