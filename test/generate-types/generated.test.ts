/** What is generated from a policy: against files of our own, against Oso Cloud's output, and for policies too large to write down. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { defaultLimits } from "../../src/config/limits.ts";
import { prepare } from "../../src/policy/active-policy.ts";
import { generateTypeScript } from "../../src/policy/typescript.ts";
import { compilePolicy } from "../cases/compile-policy.ts";
import { expectGolden, readCases } from "../golden.ts";
import { threadCpuMs } from "../thread-cpu-time.ts";

const corpus = join(import.meta.dirname, "../../../shared/corpus");

function generate(policy: string): string {
  return generateTypeScript(
    prepare(compilePolicy(policy), defaultLimits),
    "ostiary generate-types typescript policy.polar",
  );
}

/** Without the heading, which names the command. */
function withoutHeading(types: string): string {
  const lines = types.split("\n");
  expect(lines.slice(0, 2).every((line) => line.startsWith("// "))).toBe(true);
  return lines.slice(2).join("\n");
}

test("the types of our own policies", () => {
  const cases = readCases(join(import.meta.dirname, "policies.polar"));
  const types = cases.map(({ name, text }) => `# --- ${name}\n${withoutHeading(generate(text))}`);
  expectGolden(join(import.meta.dirname, "policies.txt"), types.join(""));
});

describe.skipIf(!existsSync(corpus))("the corpus (skipped where ../shared/corpus is absent)", () => {
  test("Oso Cloud's own output, byte for byte after the heading", () => {
    const types = generate(readFileSync(join(corpus, "shared-travel-app.polar"), "utf8"));
    const theirs = readFileSync(join(corpus, "shared-travel-app.generated-types.txt"), "utf8");
    expect(withoutHeading(types)).toBe(withoutHeading(theirs));
  });
});

describe("the text depends on the policy alone", () => {
  const statements = [
    "actor User {}",
    'resource Doc { roles = ["b", "a"]; permissions = ["y", "x"]; "x" if "a"; "x" if "b"; "y" if "b"; }',
    'has_role(user: User, "a", doc: Doc) if owns(user, doc);',
    "declare owns(User, Folder);",
    "resource Folder {}",
  ];

  test("not on the order of its statements, nor on repetition", () => {
    const straight = generate(statements.join("\n"));
    expect(generate(statements.toReversed().join("\n"))).toBe(straight);
    expect(generate([...statements, ...statements.slice(2, 4)].join("\n"))).toBe(straight);
  });
});

describe("very large policies", () => {
  const blocks = (count: number): string =>
    Array.from({ length: count }, (_, n) => `resource R${n} { roles = ["a"]; permissions = ["p"]; "p" if "a"; }`).join(
      "\n",
    );
  const tuples = (types: string, predicate: string): number => types.split(`        "${predicate}",\n`).length - 1;

  test("a predicate of few types has a tuple for each", () => {
    const types = generate(`actor User {}\nactor Bot {}\n${blocks(80)}`);
    expect(tuples(types, "has_role")).toBe(160);
    expect(types).not.toContain('| { type: "User"; id: string }');
  });

  test("one of many keeps the sets of types, whichever way round", () => {
    const policy = `actor User {}\n${blocks(60)}\nnear(a: Resource, b: Resource) if touches(a, b) and touches(User{"x"}, b);`;
    const types = generate(policy);
    expect([tuples(types, "touches"), tuples(types, "near"), tuples(types, "has_role")]).toEqual([2, 1, 60]);
    // Two places and one of `touches`, two of `near`; and one tuple each of `has_role`, `has_permission` and `allow`.
    expect(types.match(/\{ type: "R59"; id: string \}/g)?.length).toBe(5 + 3);
    expect(generate(policy.split("\n").toReversed().join("\n"))).toBe(types);
  });

  test("an abstract type that nothing is of makes no tuple there either", () => {
    const types = generate(
      `${blocks(60)}\nnear(a: Resource, b: Resource) if touches(a, b);\ndeclare touches(Actor, Resource);`,
    );
    expect(tuples(types, "touches")).toBe(1);
    expect(types).not.toContain("(\n        ),");
  });

  test("thousands of rules are done in a moment", () => {
    const roles = Array.from({ length: 2000 }, (_, n) => `"r${n}"`);
    const rules = roles.map((role, n) => `  "p" if ${role};\n  ${role} if "r${(n + 7) % 2000}";`);
    const policy = `actor User {}\nresource Doc { roles = [${roles.join(", ")}]; permissions = ["p"];\n${rules.join("\n")}\n}`;
    const checked = prepare(compilePolicy(policy), defaultLimits);
    const begin = threadCpuMs();
    const types = generateTypeScript(checked, "x");
    expect(threadCpuMs() - begin).toBeLessThan(5000);
    expect(tuples(types, "has_role")).toBe(2);
  });

  test("what no editor would bear is refused, with the predicate that is to blame", () => {
    const rules = Array.from({ length: 800 }, (_, n) => `p${n % 2}(r: Resource, ${n}) if q(r, ${n}, "s${n}");`);
    const policy = prepare(compilePolicy(`actor User {}\n${blocks(400)}\n${rules.join("\n")}`), defaultLimits);
    expect(() => void generateTypeScript(policy, "x")).toThrow(
      /^the types would be longer than 200000 lines, `q` alone takes \d+; give the variables of its rules narrower types$/,
    );
  });
});
