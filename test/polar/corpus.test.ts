/**
 * Public policies in a directory next to the project. They are not copied into it, so these tests are skipped if the
 * directory is missing.
 */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { compile } from "../../src/polar/compile.ts";
import { diagnosticToJson } from "../../src/polar/render.ts";
import { limits } from "./compile.ts";

const corpus = join(import.meta.dirname, "../../../shared/corpus");

function policiesIn(folder: string): string[] {
  const path = join(corpus, folder);
  return existsSync(path) ? readdirSync(path).filter((name) => name.endsWith(".polar")) : [];
}

function load(...path: string[]) {
  const sources = [{ name: path.at(-1) ?? "", text: readFileSync(join(corpus, ...path), "utf8") }];
  const { policy, diagnostics } = compile(sources, limits);
  return { policy, found: diagnostics.map((diagnostic) => diagnosticToJson(diagnostic, sources)) };
}

/** The expected diagnostics of each, with their positions. */
const refusals: Record<string, readonly string[]> = {
  "dot-access.polar": [
    "14:10 block/conflicting-kind",
    "24:24 syntax/operator-in-shorthand",
    "98:5 syntax/field-access",
  ],
  "legacy-library-rbac.polar": [
    "8:11 syntax/field-access",
    "9:3 syntax/field-access",
    "10:3 syntax/field-access",
    "44:18 syntax/field-access",
  ],
  "trailing-comma-in-params.polar": ["7:19 syntax/trailing-comma"],
  "undeclared-role.polar": ["17:17 block/undeclared-name", "18:5 block/undeclared-name"],
};

describe.skipIf(!existsSync(corpus))("the corpus (skipped where ../shared/corpus is absent)", () => {
  test.each(policiesIn("."))("%s compiles", (name) => {
    const { policy, found } = load(name);
    expect(found.filter((diagnostic) => diagnostic.severity === "error")).toEqual([]);
    expect(policy?.rules.length).toBeGreaterThan(0);
  });

  test.each(policiesIn("parse-only"))("%s parses", (name) => {
    const { found } = load("parse-only", name);
    expect(found.filter((diagnostic) => diagnostic.code.startsWith("syntax/"))).toEqual([]);
  });

  test.each(policiesIn("invalid"))("%s is refused", (name) => {
    const { policy, found } = load("invalid", name);
    expect(policy).toBeUndefined();
    const errors = found.filter((diagnostic) => diagnostic.severity === "error");
    expect(errors.map(({ line, column, code }) => `${line}:${column} ${code}`)).toEqual([...(refusals[name] ?? [])]);
    for (const { file, message } of errors) {
      expect(file).toBe(name);
      expect(message).toMatch(/ /);
    }
  });

  test("have as many statements as counted by hand", () => {
    const { policy } = load("shared-travel-app.polar");
    expect(policy?.tests.map(({ facts, assertions }) => [facts.length, assertions.length])).toEqual([
      [1, 4],
      [6, 7],
      [7, 4],
    ]);
    expect(policy?.rules.length).toBe(17);
  });
});
