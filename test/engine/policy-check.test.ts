/** Errors that are found only in the Datalog program, and the report on the policy's own tests. */
import { describe, expect, test } from "bun:test";
import { checkPolicy } from "../../src/engine/validation/policy-check.ts";
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
  test("of something that depends on the rule itself is refused, with both positions", () => {
    const text = problems(`
      odd(d: Doc) if has_relation(d, "up", e) and not even(e);
      even(d: Doc) if has_relation(d, "up", e) and odd(e);`);
    expect(text).toContain("policy.polar:3:7: error: this rule negates `even/1`, which depends on this rule in turn");
    expect(text).toContain("policy.polar:4:7: the dependency leads through this rule");
  });

  test("of another role of the same predicate is allowed", () => {
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

test("a rule whose `or` and `in` multiply beyond the limit is refused", () => {
  const list = Array.from({ length: 20 }, (_, index) => `"${index}"`).join(", ");
  const text = problems(
    `has_role(u: User, "r", d: Doc) if f(u, d, a, b, c) and a in [${list}] and b in [${list}] and c in [${list}];`,
  );
  expect(text).toContain("[rule/too-many-alternatives]");
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

  test("that fail because of a typing mistake get a suggestion", () => {
    const tests =
      run(`test "t" { setup { has_role(User{"ann"}, "r", Doc{"d"}); } assert has_role(User{"ann"}, "bnanned", Doc{"d"}); }
      has_role(u: User, "banned", d: Doc) if has_role(u, "r", d);`);
    expect(tests?.failures[0]?.diagnostic.notes).toEqual([
      'no rule gives has_role(User{"ann"}, "bnanned", Doc{"d"}), did you mean "banned"?',
    ]);
  });

  test("fail with position, answer and expectation", () => {
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

  describe("with custom `allow` rules", () => {
    const facts = 'setup { has_role(User{"ann"}, "r", Doc{"d"}); is_banned(User{"ann"}); }';
    const noted = (text: string): number[] =>
      (run(text)?.failures ?? []).map(
        ({ diagnostic }) =>
          diagnostic.notes?.filter((note) => note.startsWith("note: has_permission holds, but is not enough")).length ??
          0,
      );

    test("get a note about a permission that holds but allows nothing, as often as anything is explained", () => {
      const own = 'allow(u: User, "other", _: Doc) if is_banned(u);';
      const failing = 'assert allow(User{"ann"}, "p", Doc{"d"});'.repeat(12);
      expect(noted(`${own} test "t" { ${facts} ${failing} }`)).toEqual([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0]);
      const [first] = run(`${own} test "t" { ${facts} ${failing} }`)?.failures ?? [];
      expect(first?.diagnostic.notes?.at(-1)).toBe(
        "note: has_permission holds, but is not enough: the `allow` rules, the first at policy.polar:2:1, replace the default rule, which would call it",
      );
    });

    test.each([
      [
        "that their condition is missing",
        "allow(u: User, a: String, d: Doc) if has_permission(u, a, d) and not is_banned(u);",
        "p",
      ],
      ["that there is no permission", 'allow(u: User, "other", _: Doc) if is_banned(u);', "q"],
      [
        "that it is asked for by another rule",
        "allow(u: User, a: String, d: Doc) if may(u, a, d) and is_open(d); may(u: User, a: String, d: Doc) if has_permission(u, a, d);",
        "p",
      ],
    ])("are not told so of a failure whose reason is %s", (_, own, action) => {
      expect(noted(`${own} test "t" { ${facts} assert allow(User{"ann"}, "${action}", Doc{"d"}); }`)).toEqual([0]);
    });
  });
});
