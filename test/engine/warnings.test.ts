/**
 * Warnings about policies that are valid but hardly intended: the policies are in `warnings/*.polar`, the expected
 * warnings in the `.txt` of the same name.
 */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { checkPolicy } from "../../src/engine/validation/policy-check.ts";
import { renderDiagnostics } from "../../src/polar/render.ts";
import { expectGolden, readCases } from "../golden.ts";

const directory = join(import.meta.dirname, "warnings");

test.each(["warnings", "typos", "mistakes"])("%s", (suite) => {
  const answers = readCases(join(directory, `${suite}.polar`)).map(({ name, text }) => {
    const sources = [{ name: "policy.polar", text }];
    const { policy, diagnostics } = checkPolicy(sources, { runTests: false });
    expect(policy).toBeDefined();
    return `# --- ${name}\n${renderDiagnostics(diagnostics, sources, { color: false })}`;
  });
  expectGolden(join(directory, `${suite}.txt`), answers.join("\n"));
});

/** Intended policies. For some of them it is true that a `not` goes beyond Oso Cloud. */
test("valid policies of many shapes get no warning", () => {
  const cases = readCases(join(directory, "valid.polar"));
  expect(cases.length).toBeGreaterThan(30);
  for (const { name, text } of cases) {
    const sources = [{ name: "policy.polar", text }];
    const { diagnostics } = checkPolicy(sources, { runTests: false });
    const found = diagnostics.filter(({ code }) => code !== "rule/wide-negation");
    expect([name, renderDiagnostics(found, sources, { color: false })]).toEqual([name, ""]);
  }
});
