/** No text may cause an exception, a long computation or a huge answer: text that exceeds a limit gets a diagnostic. */
import { expect, test } from "bun:test";
import { compile } from "../../src/polar/compile.ts";
import type { PolarLimits } from "../../src/polar/limits.ts";
import { compileText, limits } from "./compile.ts";
import { threadCpuMs } from "../thread-cpu-time.ts";

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

const megabyte = 1_000_000;
const fill = (part: (index: number) => string) => {
  let text = "";
  for (let index = 0; text.length < megabyte - 2000; index += 1) text += part(index);
  return text;
};

/** Texts of a megabyte, for which a quadratic algorithm would take too long. */
const heavy: Record<string, string> = {
  "one long string": `f("${"x".repeat(megabyte - 10)}");`,
  "an open string": `f("${"x".repeat(megabyte - 10)}`,
  blanks: " \n\t".repeat(300_000),
  "comment lines": fill(() => "# comment\n"),
  "comments of other languages": fill((index) => (index % 2 === 0 ? "// comment\n" : "/* comment */ ")),
  "comments that are never closed": fill(() => "/* "),
  "a name of segments": `f(${fill(() => "a::")}a);`,
  "characters without a meaning": fill(() => "$ "),
  "bare quotes": fill(() => '"\n'),
  "closing marks": fill(() => "); } "),
  "opening marks": fill(() => "({["),
  "open blocks": fill((index) => `resource R${index} {\n`),
  "blocks without a name": fill(() => "resource { "),
  "broken rules": fill(() => "f(x if g(x);\n"),
  "one long and": `f(x) if ${fill((index) => `g(x, y${index}) and `)}g(x);`,
  "one long or": `f(x) if ${fill((index) => `g(x, y${index}) or `)}g(x);`,
  "equalities that lead on": `f(x) if ${fill((index) => `y${index + 1} = y${index} and `)}y0 = x and y9 < 3;`,
  "ways that each bind": `f(x) if ${fill((index) => `(g(y${index}) or h(y${index})) and `)}x < 3;`,
  "nested ways": `f(x) if ${"(g(x) and (h(x) or ".repeat(45)}${fill((index) => `y${index} < 3 or `)}k(x)${"))".repeat(45)};`,
  "undeclared names": `resource R { roles = ["abcdefgh"]; ${fill((index) => `"abcdefgh" if "abcdef${index}";\n`)} }`,
  "undeclared relations": `resource R { roles = ["a"]; relations = { ${"r: R, ".repeat(100)} }; ${fill((index) => `"a" if "a" on "r${index}"; `)} }`,
  "many types": fill(
    (index) => `resource R${index} { roles = ["a"]; relations = { r: S${index} }; "a" if "b" on "r"; }\n`,
  ),
  "a circle of supertypes": fill((index) => `resource R${index} extends R${index + 1} { "a" if "b"; }\n`),
  "many supertypes of many types": fill(
    (index) => `resource R${index} extends A, B, C, D, R${Math.max(0, index - 1)} {}\n`,
  ),
  "tests of one name": fill(() => 'test "a" {}\n'),
  "a list": `f(x) if x in [${fill((index) => `"${index}", `)}];`,
  singletons: fill((index) => `f(x${index}, y${index}, z${index});\n`),
};

for (const [name, text] of Object.entries(heavy)) {
  test(`a megabyte of ${name} ends soon`, () => {
    expect(text.length).toBeLessThanOrEqual(megabyte);
    const started = threadCpuMs();
    const { policy, diagnostics } = compileText(text);
    expect(threadCpuMs() - started).toBeLessThan(5000);
    expect(diagnostics.length).toBeLessThanOrEqual(limits.diagnosticsMax + 1);
    expect(policy === undefined).toBe(diagnostics.some((found) => found.severity === "error"));
  });
}
