/** Every message, as users see it: `diagnostics/*.polar` are policies, and the `.txt` files have their diagnostics. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { renderDiagnostics } from "../../src/polar/render.ts";
import { expectGolden, readCases } from "../golden.ts";
import { codesInSource } from "./codes-in-source.ts";
import { compileText } from "./compile.ts";

const directory = join(import.meta.dirname, "diagnostics");
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

test("every code of the language has a case with its message", () => {
  const shown = [
    ...suites.map((suite) => join(directory, suite.replace(".polar", ".txt"))),
    join(import.meta.dirname, "limits.test.ts"),
  ]
    .map((path) => readFileSync(path, "utf8"))
    .join("\n");
  expect(codesInSource("src/polar").filter((code) => !shown.includes(code))).toEqual([]);
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
