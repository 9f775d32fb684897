/** No text may cause an exception, a long computation or a huge answer: text that exceeds a limit gets a diagnostic. */
import { expect, test } from "bun:test";
import { compile } from "../../src/polar/compile.ts";
import type { PolarLimits } from "../../src/polar/limits.ts";
import { compileText, limits } from "./compile.ts";

function codesOf(text: string, changed: Partial<PolarLimits> = {}): string[] {
  return compileText(text, changed).diagnostics.map((diagnostic) => diagnostic.code);
}

test("size is counted in bytes over all files", () => {
  expect(codesOf('f("ü");', { sourceBytesMax: 8 })).toEqual([]);
  expect(codesOf('f("ü");', { sourceBytesMax: 7 })).toEqual(["syntax/too-long"]);
  const files = ["a", "b", "c"].map((name) => ({ name, text: `f("${name}");` }));
  expect(compile(files, { ...limits, sourceBytesMax: 14 }).diagnostics.map((found) => found.span.file)).toEqual(["c"]);
});

test("a duplicate file", () => {
  const file = { name: "a.polar", text: 'f("x");' };
  expect(compile([file, file], limits).diagnostics.map((found) => found.code)).toEqual(["syntax/duplicate-file"]);
});

test("too deep nesting gets one message", () => {
  const nest = (open: string, close: string, depth: number) =>
    `f(x) if ${open.repeat(depth)}g(x)${close.repeat(depth)};`;
  expect(codesOf(nest("(", ")", 10), { depthMax: 10 })).toEqual([]);
  expect(codesOf(nest("(", ")", 11), { depthMax: 10 })).toEqual(["syntax/too-deep"]);
  expect(codesOf(nest("not ", "", 11), { depthMax: 10 })).toEqual(["syntax/too-deep"]);
  expect(codesOf(nest("(", ")", 200_000))).toEqual(["syntax/too-deep"]);
  expect(codesOf(nest("not ", "", 100_000))).toEqual(["syntax/too-deep"]);
  const shorthand = (depth: number) =>
    `resource R { roles = ["a"]; "a" if ${"(".repeat(depth)}"a"${")".repeat(depth)}; }`;
  expect(codesOf(shorthand(100))).toEqual([]);
  expect(codesOf(shorthand(200_000))).toEqual(["syntax/too-deep"]);
});

test("a limit for nesting that is set too high does not overflow the stack", () => {
  const depth = 100_000;
  const text = `f(x) if ${"(".repeat(depth)}g(x) and not (h(x) or k(x))${")".repeat(depth)};`;
  expect(codesOf(text, { depthMax: 1_000_000 })).toEqual(["syntax/too-deep"]);
});

test("a chain of supertypes", () => {
  const chain = (length: number) =>
    Array.from({ length }, (_, level) => `resource T${level + 1} extends T${level} { roles = ["r${level}"]; }`).join(
      "\n",
    );
  expect(codesOf(`resource T0 {} ${chain(20)}`, { depthMax: 20 })).toEqual([]);
  expect(codesOf(`resource T0 {} ${chain(21)}`, { depthMax: 20 })).toEqual(["block/extends-too-deep"]);
  expect(codesOf(`resource T0 {} ${chain(15_000)}`)).toEqual(["block/too-many-names", "block/extends-too-deep"]);
});

test("items that a short text multiplies", () => {
  const roles = Array.from({ length: 5000 }, (_, index) => `"r${index}"`).join(", ");
  const heirs = Array.from({ length: 5000 }, (_, index) => `resource T${index} extends A {}`).join("\n");
  expect(codesOf(`resource A { roles = [${roles}]; }\n${heirs}`)).toEqual(["block/too-many-names"]);
  const facts = Array.from({ length: 2000 }, (_, index) => `f("${index}");`).join("\n");
  const tests = Array.from({ length: 2000 }, (_, index) => `test "${index}" { setup { fixture a; } }`).join("\n");
  expect(codesOf(`test fixture a { ${facts} }\n${tests}`)).toEqual(["test/too-many-facts"]);
});

test("many problems are cut, errors come first, and the policy is refused", () => {
  const warnings = Array.from({ length: 50 }, (_, index) => `f(x${index});`).join("\n");
  const errors = Array.from({ length: 20 }, () => "g(1.5);").join("\n");
  const { policy, diagnostics } = compileText(`${warnings}\n${errors}`, { diagnosticsMax: 10 });
  expect(policy).toBeUndefined();
  expect(diagnostics.map((found) => found.code)).toEqual([
    ...Array(10).fill("syntax/float"),
    "syntax/too-many-problems",
  ]);
  expect(diagnostics.at(-1)?.message).toBe("there are 60 more problems, not shown");
  const accepted = compileText(warnings, { diagnosticsMax: 10 });
  expect(accepted.policy).toBeDefined();
  expect(accepted.diagnostics.at(-1)).toMatchObject({ code: "syntax/too-many-problems", severity: "warning" });
});

test("an unpaired surrogate is not a character", () => {
  expect(codesOf('f("\ud800");')).toEqual(["syntax/invalid-character"]);
  expect(codesOf("f\udc00(x);")).toEqual(["syntax/invalid-character"]);
  expect(codesOf('f("\ud83e\udd89");')).toEqual([]);
});
