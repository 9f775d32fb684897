/** Fixes of problems: each mends its problem and makes no error. */
import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { Diagnostic, Fix } from "../../src/polar/diagnostic.ts";
import { diagnosticToJson } from "../../src/polar/render.ts";
import { readCases } from "../golden.ts";
import { compileText } from "./compile.ts";

const directory = join(import.meta.dirname, "diagnostics");
const texts = readdirSync(directory)
  .filter((name) => name.endsWith(".polar"))
  .flatMap((name) => readCases(join(directory, name)).map(({ text }) => text));

function applied(text: string, { edits }: Fix): string {
  return edits
    .toSorted((one, other) => other.span.start - one.span.start)
    .reduce(
      (before, { span, text: inserted }) => before.slice(0, span.start) + inserted + before.slice(span.end),
      text,
    );
}

function fixesOf(text: string, code: string): string[] {
  const found = compileText(text).diagnostics.find((diagnostic) => diagnostic.code === code);
  return (found?.fixes ?? []).map((fix) => applied(text, fix));
}

function errorsOf(diagnostics: readonly Diagnostic[]): string[] {
  return diagnostics.filter(({ severity }) => severity === "error").map(({ code, message }) => `${code}: ${message}`);
}

test("each fix of every case mends its problem", () => {
  const mended = new Set<string>();
  for (const text of texts) {
    const { diagnostics } = compileText(text);
    for (const { code, message, fixes = [] } of diagnostics) {
      for (const fix of fixes) {
        const after = compileText(applied(text, fix)).diagnostics;
        const count = (list: readonly Diagnostic[]) =>
          list.filter((other) => other.code === code && other.message === message).length;
        expect([code, fix.title, count(after)]).toEqual([code, fix.title, count(diagnostics) - 1]);
        mended.add(code);
      }
    }
  }
  expect([...mended].toSorted()).toMatchInlineSnapshot(`
    [
      "block/name-not-quoted",
      "block/name-not-string",
      "block/relation-not-quoted",
      "block/undeclared-global",
      "block/undeclared-name",
      "block/undeclared-related-name",
      "block/undeclared-relation",
      "block/undeclared-type",
      "block/unknown-section",
      "block/unknown-supertype",
      "rule/singleton",
      "rule/undeclared-name",
      "rule/undeclared-type",
      "syntax/double-equals",
      "syntax/missing-semicolon",
      "syntax/omitted-semicolon",
      "syntax/trailing-comma",
      "syntax/unknown-operator",
      "syntax/unknown-statement",
      "test/undeclared-name",
      "test/undeclared-type",
      "test/unknown-fixture",
    ]
  `);
});

test("a fix adds no error to a policy with one problem", () => {
  const policies = [
    'actor User {}\nresource Doc { roles = ["reader"]; permissions = ["read"]; "read" if "readr"; }',
    'actor User {}\nresource Doc { roles = []; permissions = ["read"]; "read" if "editor"; }',
    'actor User {}\nresource Doc { permissions = ["read",]; "read" if "editor"; }',
    'actor User {}\nresource Doc { roles = ["reader"]; "read" if "reader"; }',
    'actor User {}\nresource Doc { roles = ["reader"] permissions = ["read"]; "read" if "reader"; }',
    'actor User {}\nresource Doc { roles = [reader]; permissions = ["read"]; "read" if "reader"; }',
    'actor User {}\nallow(user: User, "read", file: File) if shared(user, file);',
    'actor User {}\nallow(user: User, "read", owner: User) if shared(user, other);',
    "actor User {}\nresuorce Doc {}",
  ];
  for (const text of policies) {
    const { diagnostics } = compileText(text);
    const fixes = diagnostics.flatMap((found) => found.fixes ?? []);
    expect([text, fixes.length]).not.toEqual([text, 0]);
    const before = errorsOf(diagnostics);
    for (const fix of fixes)
      expect(errorsOf(compileText(applied(text, fix)).diagnostics).filter((error) => !before.includes(error))).toEqual(
        [],
      );
  }
});

test("the texts of fixes", () => {
  const text =
    'actor User {}\nresource Doc {\n  roles = ["reader"];\n  permissions = ["open"];\n  "open" if "guest";\n}\n';
  expect(fixesOf(text, "block/undeclared-name")).toEqual([
    text.replace('["reader"]', '["reader", "guest"]'),
    text.replace('["open"]', '["open", "guest"]'),
  ]);
  const similar = text.replace("guest", "readr");
  expect(fixesOf(similar, "block/undeclared-name")[0]).toBe(similar.replace("readr", "reader"));
  const quoted = 'actor User {}\nresource Doc { roles = ["a\\"bcdef"]; permissions = ["x"]; "x" if "abcdef"; }';
  expect(fixesOf(quoted, "block/undeclared-name")[0]).toBe(quoted.replace('if "abcdef"', 'if "a\\"bcdef"'));
});

test("words of other languages become words of Polar, with a distance to their neighbours", () => {
  const fixOf = (text: string): readonly string[] =>
    compileText(text).diagnostics.flatMap(({ fixes = [] }) => fixes.map((fix) => applied(text, fix)));
  expect(fixOf("f(x: String) if g(x), h(x);")).toEqual(["f(x: String) if g(x) and h(x);"]);
  expect(fixOf("f(x: String) if g(x)&&h(x);")).toEqual(["f(x: String) if g(x) and h(x);"]);
  expect(fixOf("f(x: String) if g(x) OR h(x);")).toEqual(["f(x: String) if g(x) or h(x);"]);
  expect(fixOf("f(x: String) if g(x) and !h(x);")).toEqual(["f(x: String) if g(x) and not h(x);"]);
  expect(fixOf("f(x: String) when g(x);")).toEqual(["f(x: String) if g(x);"]);
  expect(fixOf("f(x: String) if g(x, y) and x == y;")).toEqual(["f(x: String) if g(x, y) and x = y;"]);
});

test("a fix as JSON has lines and columns", () => {
  const { diagnostics, sources } = compileText('actor User {}\nresource Doc { roles = ["a"] }');
  expect(diagnostics.map((found) => diagnosticToJson(found, sources).fixes)).toEqual([
    [
      {
        title: "insert the `;`",
        edits: [{ file: "policy.polar", line: 2, column: 29, endLine: 2, endColumn: 29, text: ";" }],
      },
    ],
  ]);
});
