/** Texts of a megabyte are compiled and formatted soon: a quadratic algorithm would take minutes. */
import { expect, test } from "bun:test";
import { format } from "../../src/polar/format.ts";
import { compileText, limits } from "./compile.ts";
import { threadCpuMs } from "../thread-cpu-time.ts";

const megabyte = 1_000_000;
const cpuMsMax = 5000;
const fill = (part: (index: number) => string) => {
  let text = "";
  for (let index = 0; text.length < megabyte - 10_000; index += 1) text += part(index);
  return text;
};

const compiled: Record<string, string> = {
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
  "calls of ever more arguments": fill((index) => `f(x: U) if g(${"x, ".repeat(index % 600)}x);\n`),
  "calls of many types": fill(
    (index) => `f(x) if x matches T${index % 300} and y matches T${index % 299} and g(x, y) and g(y, x);\n`,
  ),
  "predicates of similar names": fill((index) => `f(x) if predicate_${index}_of_many(x);\n`),
  singletons: fill((index) => `f(x${index}, y${index}, z${index});\n`),
};

test.each(Object.entries(compiled))("a compilation of %s ends soon", (_, text) => {
  expect(text.length).toBeLessThanOrEqual(megabyte);
  const started = threadCpuMs();
  const { policy, diagnostics } = compileText(text);
  expect(threadCpuMs() - started).toBeLessThan(cpuMsMax);
  expect(diagnostics.length).toBeLessThanOrEqual(limits.diagnosticsMax + 1);
  expect(policy === undefined).toBe(diagnostics.some((found) => found.severity === "error"));
});

const ways = "(a() and (b() or ".repeat(45);
const formatted: Record<string, string> = {
  "comments alone": fill(() => "# comment\n"),
  blanks: fill(() => " \n\t"),
  facts: fill(() => "f(x);\n\n\n\n\n\n"),
  "facts of a test": `test "t" { setup { ${fill(() => "f(1); ")} } }`,
  conditions: `f(x) if ${fill(() => "g(x) and ")}g(x);`,
  "conditions and comments": `f(x) if ${fill(() => "g(x) and # c\n# d\nh(x) or\n\n")}g(x);`,
  "conditions, deep inside": `f(x) if ${ways}${fill(() => "g(x) or ")}g(x)${"))".repeat(45)};`,
  "nested conditions": fill(() => `f(x) if ${ways}g(x)${"))".repeat(45)};`),
  "needless parentheses": fill(() => `f(x) if ${"(".repeat(90)}g(x)${")".repeat(90)};`),
  parameters: `f(${fill(() => "x,")}x);`,
};

test.each(Object.entries(formatted))("formatting %s ends soon", (_, text) => {
  const started = threadCpuMs();
  expect(format({ name: "policy.polar", text }, limits)).toContainKey("text");
  expect(threadCpuMs() - started).toBeLessThan(cpuMsMax);
});
