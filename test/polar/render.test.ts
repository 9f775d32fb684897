import { expect, test } from "bun:test";
import { compile } from "../../src/polar/compile.ts";
import { policyMetadata } from "../../src/polar/metadata.ts";
import { diagnosticToJson, renderDiagnostics } from "../../src/polar/render.ts";
import { lineStarts, lineText, positionAt } from "../../src/polar/source.ts";
import { compileText, limits } from "./compile.ts";

test("lines and columns count from 1, with every kind of line break", () => {
  const text = "a\r\nbc\n\nd\re";
  const starts = lineStarts(text);
  expect([0, 1, 3, 5, 6, 7, 8, 9].map((offset) => positionAt(starts, offset))).toEqual([
    { line: 1, column: 1 },
    { line: 1, column: 2 },
    { line: 2, column: 1 },
    { line: 2, column: 3 },
    { line: 3, column: 1 },
    { line: 4, column: 1 },
    { line: 4, column: 2 },
    { line: 5, column: 1 },
  ]);
  expect([1, 2, 3, 4, 5].map((line) => lineText(text, starts, line))).toEqual(["a", "bc", "", "d", "e"]);
});

test("diagnostics are sorted by file, in the given order", () => {
  const sources = [
    { name: "z.polar", text: 'resource Doc { roles = ["a"]; "a" if "b"; }\n' },
    {
      name: "a.polar",
      text: 'actor Doc {}\nresource Org { relations = { doc: Doc }; roles = ["m"]; "m" if "x" on "doc"; }',
    },
  ];
  const { diagnostics } = compile(sources, limits);
  expect(diagnostics.map((found) => diagnosticToJson(found, sources))).toEqual([
    {
      file: "z.polar",
      line: 1,
      column: 38,
      endLine: 1,
      endColumn: 41,
      code: "block/undeclared-name",
      severity: "error",
      message: "`b` is not declared in `Doc`",
      fixes: expect.any(Array),
      hint: "declare it as a role, a permission or a relation",
    },
    {
      file: "a.polar",
      line: 1,
      column: 7,
      endLine: 1,
      endColumn: 10,
      code: "block/conflicting-kind",
      severity: "error",
      message: "`Doc` is declared as resource and as actor",
      hint: "an actor block may hold all that a resource block may: keep the actor and merge the blocks",
      related: [{ file: "z.polar", line: 1, column: 10, message: "declared as resource here" }],
    },
    {
      file: "a.polar",
      line: 2,
      column: 64,
      endLine: 2,
      endColumn: 67,
      code: "block/undeclared-related-name",
      severity: "error",
      message: "`x` is not declared in `Doc`, the type of `doc`",
      hint: "declare it in the block of `Doc` as a role, a permission or a relation",
      related: [{ file: "z.polar", line: 1, column: 10, message: "the block of `Doc`" }],
    },
  ]);
  expect(renderDiagnostics(diagnostics, sources, { color: false })).toContain(
    "a.polar:1:7: error: `Doc` is declared as resource and as actor [block/conflicting-kind]\n    actor Doc {}\n          ^^^\n  z.polar:1:10: declared as resource here\n",
  );
});

test("several files are one policy", () => {
  const sources = [
    { name: "rules.polar", text: 'has_role(u: User, "a", d: Doc) if owns(u, d);\ntest "t" { setup { fixture f; } }' },
    { name: "blocks.polar", text: 'actor User {} resource Doc { roles = ["a"]; }' },
    { name: "fixtures.polar", text: 'test fixture f { owns(User{"u"}, Doc{"d"}); }' },
  ];
  const { policy, diagnostics } = compile(sources, limits);
  expect(diagnostics).toEqual([]);
  expect(policy?.tests[0]?.facts.map((fact) => fact.span.file)).toEqual(["fixtures.polar"]);
});

test("no files are an empty policy", () => {
  expect(compile([], limits).policy?.rules.length).toBe(2);
});

test("the output has colours on request, and never control characters of a policy", () => {
  const { diagnostics, sources } = compileText('f("\u001b[31m\u202e", \u001b);\n');
  const plain = renderDiagnostics(diagnostics, sources, { color: false });
  expect(plain).not.toMatch(/[\u001b\u202e]/);
  expect(plain).toContain("`\\u{1b}` has no meaning in Polar");
  expect(renderDiagnostics(diagnostics, sources, { color: true })).toContain("\u001b[31merror:\u001b[0m");
});

test("a long line is cut around the span, and tabs keep the caret in its column", () => {
  const { diagnostics, sources } = compileText(`\tf(1.5);\n${" ".repeat(500)}f(2.5);${" ".repeat(500)}`);
  expect(renderDiagnostics(diagnostics, sources, { color: false }).split("\n")).toEqual([
    "policy.polar:1:4: error: `1.5` is not a whole number [syntax/float]",
    "    \tf(1.5);",
    "    \t  ^^^",
    expect.stringContaining("hint:"),
    "",
    "policy.polar:2:503: error: `2.5` is not a whole number [syntax/float]",
    `    ${" ".repeat(37)}f(2.5);${" ".repeat(76)}`,
    `    ${" ".repeat(39)}^^^`,
    expect.stringContaining("hint:"),
    "",
  ]);
});

test("metadata is sorted, has actors and inherited names, and always `global`", () => {
  const { policy } = compileText(`
    actor User { relations = { manager: User }; }
    resource Item { roles = ["viewer", "admin"]; permissions = ["write", "read"]; }
    resource Doc extends Item { relations = { owner: User, base: Item }; }
  `);
  const metadata = policy && policyMetadata(policy);
  expect(metadata).toEqual({
    Doc: { roles: ["admin", "viewer"], permissions: ["read", "write"], relations: { base: "Item", owner: "User" } },
    Item: { roles: ["admin", "viewer"], permissions: ["read", "write"], relations: {} },
    User: { roles: [], permissions: [], relations: { manager: "User" } },
    global: { roles: [], permissions: [], relations: {} },
  });
  expect(Object.keys(metadata?.["Doc"]?.relations ?? {})).toEqual(["base", "owner"]);
  const global = compileText('global { roles = ["b", "a"]; permissions = ["c"]; }').policy;
  expect(global && policyMetadata(global)).toEqual({
    global: { roles: ["a", "b"], permissions: ["c"], relations: {} },
  });
});
