/** What is refused only once the rules are Datalog, and what the policy's own tests report. */
import { describe, expect, test } from "bun:test";
import { checkPolicy } from "../../src/engine/policy-check.ts";
import { renderDiagnostics } from "../../src/polar/render.ts";

const types =
  'actor User {} resource Doc { roles = ["r", "banned"]; permissions = ["p"]; relations = { up: Doc }; "p" if "r"; }\n';

function problems(rules: string): string {
  const sources = [{ name: "policy.polar", text: types + rules }];
  const { policy, diagnostics } = checkPolicy(sources, { runTests: false });
  const errors = diagnostics.filter(({ severity }) => severity === "error");
  expect(policy === undefined).toBe(errors.length > 0);
  return renderDiagnostics(errors, sources, { color: false });
}

describe("negation", () => {
  test("of something that depends on the rule itself is refused, with both ends", () => {
    const text = problems(`
      odd(d: Doc) if has_relation(d, "up", e) and not even(e);
      even(d: Doc) if has_relation(d, "up", e) and odd(e);`);
    expect(text).toContain("policy.polar:3:7: error: this rule negates `even/1`, which depends on this rule in turn");
    expect(text).toContain("policy.polar:4:7: it comes back through this rule");
  });

  test("of another role of the same predicate is fine", () => {
    expect(problems(`has_role(u: User, "r", d: Doc) if wants(u, d) and not has_role(u, "banned", d);`)).toBe("");
  });
});

describe("comparison", () => {
  test("of a value that another rule leaves open is refused", () => {
    const rule = `has_permission(u: User, "p", d: Doc) if level(u, n) and n < 5 and owns(u, d);`;
    expect(problems(`${rule} level(User{"1"}, n: Integer);`)).toContain("[rule/open-comparison]");
    expect(problems(`${rule} level(User{"1"}, 3);`)).toBe("");
    expect(problems(`${rule} level(u: User, n: Integer) if stored_level(u, n);`)).toBe("");
  });

  test("of a parameter needs a caller that binds it", () => {
    const young = "young(n: Integer) if n < 18;";
    expect(problems(`${young} has_role(u: User, "r", d: Doc) if young(_n) and owns(u, d);`)).toContain(
      "[rule/open-comparison]",
    );
    expect(problems(`${young} has_role(u: User, "r", d: Doc) if age(u, n) and young(n) and owns(u, d);`)).toBe("");
  });
});

test("a rule whose `or` and `in` multiply beyond all bounds is refused", () => {
  const list = Array.from({ length: 20 }, (_, index) => `"${index}"`).join(", ");
  const text = problems(
    `has_role(u: User, "r", d: Doc) if f(u, d, a, b, c) and a in [${list}] and b in [${list}] and c in [${list}];`,
  );
  expect(text).toContain("[rule/too-many-alternatives]");
});

describe("a policy that is large, or made to be expensive, is checked in bounded time", () => {
  const resources = (count: number) => Array.from({ length: count }, (_, index) => `resource R${index} {}`).join("\n");
  const lines = (count: number, line: (index: number) => string) =>
    Array.from({ length: count }, (_, index) => line(index)).join("\n");

  test.each([
    ["types of a call", "f(a: Resource, b: Resource, c: Resource) if g(a, b, c);"],
    ["types of a head", "f(_: Resource, _: Resource, _: Resource, _: Resource, _: Resource);"],
    ["types of a declaration", "declare f(Resource, Resource, Resource, Resource, Resource);"],
    ["types of a fact that is joined with itself", "f(a, b, c) if g(a) and g(b) and g(c); g(x: Resource) if h(x);"],
  ])("%s multiply", (_, rule) => {
    expect(problems(`${resources(200)}\n${rule}`)).toContain("[rule/too-many-types]");
  });

  test.each([
    [
      "ten thousand rules",
      lines(
        1250,
        (index) => `resource R${index} {
      roles = ["viewer", "editor", "owner"]; permissions = ["view", "edit"]; relations = { parent: R${index}, before: R${Math.max(0, index - 1)} };
      "viewer" if "editor"; "editor" if "owner"; "view" if "viewer"; "edit" if "editor"; role if role on "parent";
      "viewer" if "viewer" on "before"; "viewer" if "owner" on "parent"; }
      has_permission(u: User, "view", d: R${index}) if is_public(d) and not is_banned(u, d);`,
      ),
    ],
    [
      "a ring of roles",
      `resource R { roles = [${lines(8000, (index) => `"r${index}",`)}]; ${lines(8000, (index) => `"r${index}" if "r${(index + 1) % 8000}";`)} }`,
    ],
    ["a chain of predicates", lines(8000, (index) => `p${index}(u: User) if p${index + 1}(u);`)],
    ["many rules of one head", lines(8000, (index) => `has_role(u: User, "r", d: Doc) if granted(u, "${index}", d);`)],
    ["many tests", lines(2000, (index) => `test "${index}" { assert_not allow(User{"ann"}, "p", Doc{"${index}"}); }`)],
  ])("%s", (_, rules) => {
    const started = performance.now();
    expect(problems(rules)).toBe("");
    expect(performance.now() - started).toBeLessThan(20_000);
  });
});

describe("the tests of a policy", () => {
  const run = (text: string) => checkPolicy([{ name: "policy.polar", text: types + text }], { runTests: true }).tests;

  test("pass, counted by test", () => {
    const tests = run(`
      test "r leads to p" {
        setup { has_role(User{"ann"}, "r", Doc{"d"}); }
        assert allow(User{"ann"}, "p", Doc{"d"});
        assert_not allow(User{"bob"}, "p", Doc{"d"});
        assert allow(User{"ann"}, action: String, Doc{"d"}) iff action in ["p"];
        assert allow(user: User, "p", Doc{"d"}) iff user in [User{"ann"}];
      }
      test "each has facts of its own" { assert_not allow(User{"ann"}, "p", Doc{"d"}); }`);
    expect(tests).toEqual({
      success: true,
      failures: [],
      coverage: undefined,
      tests: [
        { name: "r leads to p", passed: 4, total: 4 },
        { name: "each has facts of its own", passed: 1, total: 1 },
      ],
    });
  });

  test("that fail because of a slip are told what was meant", () => {
    const tests =
      run(`test "t" { setup { has_role(User{"ann"}, "r", Doc{"d"}); } assert has_role(User{"ann"}, "bnanned", Doc{"d"}); }
      has_role(u: User, "banned", d: Doc) if has_role(u, "r", d);`);
    expect(tests?.failures[0]?.diagnostic.notes).toEqual([
      'no rule gives has_role(User{"ann"}, "bnanned", Doc{"d"}), did you mean "banned"?',
    ]);
  });

  test("fail with place, what came and what was expected", () => {
    const tests = run(`test "wrong" {
        setup { has_role(User{"ann"}, "r", Doc{"d"}); }
        assert allow(User{"bob"}, "p", Doc{"d"});
        assert_not allow(user: User, "p", Doc{"d"});
        assert allow(User{"ann"}, action: String, Doc{"d"}) iff action in ["q"];
      }`);
    expect(tests?.success).toBe(false);
    expect(tests?.tests).toEqual([{ name: "wrong", passed: 0, total: 3 }]);
    expect(tests?.failures.map(({ diagnostic }) => diagnostic.message)).toEqual([
      "expected true, came false",
      'expected false, came true for User{"ann"}',
      'expected "q"; came "p"; missing "q", not expected "p"',
    ]);
    expect(tests?.failures.map(({ diagnostic }) => diagnostic.notes)).toEqual([
      ['"p" if "r" (policy.polar:1:101)', '  missing: has_role(User{"bob"}, "r", Doc{"d"})'],
      [
        'has_permission(User{"ann"}, "p", Doc{"d"}) by "p" if "r" (policy.polar:1:101)',
        '  has_role(User{"ann"}, "r", Doc{"d"}) is a fact',
      ],
      [
        'no rule gives has_permission(User{"ann"}, "q", Doc{"d"})',
        'has_permission(User{"ann"}, "p", Doc{"d"}) by "p" if "r" (policy.polar:1:101)',
        '  has_role(User{"ann"}, "r", Doc{"d"}) is a fact',
      ],
    ]);
  });
});
