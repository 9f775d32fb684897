/**
 * Rule coverage of policy tests: the rules behind an answer, in any derivation, and the rules that made a `not` fail.
 */
import { expect, test } from "bun:test";
import { checkPolicy } from "../../src/engine/validation/policy-check.ts";
import { policyReport } from "../../src/engine/validation/policy-report.ts";

const types =
  'actor User {} resource Doc { roles = ["viewer", "editor"]; permissions = ["view", "edit"]; relations = { folder: Doc }; }\n';

function unexercised(text: string): string[] {
  const sources = [{ name: "policy.polar", text: types + text }];
  const checked = checkPolicy(sources, { runTests: true, coverage: true });
  const { coverage, failures } = policyReport(checked, sources, { runTests: true });
  expect(failures).toEqual([]);
  expect(coverage?.complete).toBe(true);
  expect(coverage?.exercised).toBe((coverage?.rules ?? 0) - (coverage?.unexercised.length ?? 0));
  return (coverage?.unexercised ?? []).map(({ line, rule }) => `${line} ${rule}`);
}

const shorthand = `resource Doc {
  "viewer" if "editor";
  "view" if "viewer";
  "edit" if "editor";
  role if role on "folder";
}`;

test("exactly the rules that an asserted answer was derived with", () => {
  const fact = 'setup { has_role(User{"ann"}, "editor", Doc{"d"}); }';
  expect(unexercised(`${shorthand} test "t" { ${fact} assert allow(User{"ann"}, "view", Doc{"d"}); }`)).toEqual([
    '5 "edit" if "editor"',
    '6 role if role on "folder"',
  ]);
  expect(unexercised(`${shorthand} test "t" { ${fact} assert allow(User{"ann"}, a: String, Doc{"d"}); }`)).toEqual([
    '6 role if role on "folder"',
  ]);
});

test("every derivation of the answer counts, even through cyclic recursion", () => {
  const text = `${shorthand}
    test "t" {
      setup {
        has_role(User{"ann"}, "viewer", Doc{"d"}); has_role(User{"ann"}, "editor", Doc{"e"});
        has_relation(Doc{"d"}, "folder", Doc{"e"}); has_relation(Doc{"e"}, "folder", Doc{"d"});
      }
      assert allow(User{"ann"}, "view", Doc{"d"});
    }`;
  expect(unexercised(text)).toEqual(['5 "edit" if "editor"']);
});

test("a denied assertion exercises no rule", () => {
  const text = `${shorthand} test "t" { assert_not allow(User{"ann"}, "view", Doc{"d"}); }`;
  expect(unexercised(text)).toHaveLength(4);
});

test("the rules that make a `not` fail are exercised", () => {
  const rules = `
    has_permission(u: User, "view", d: Doc) if has_role(u, "viewer", d) and not is_hidden(u, d);
    is_hidden(u: User, d: Doc) if is_banned(u) and is_secret(d);
    is_banned(u: User) if has_flag(u, "banned");
    is_banned(u: User) if has_flag(u, "gone");
    is_secret(_: Doc);`;
  const setup = 'setup { has_role(User{"ann"}, "viewer", Doc{"d"}); has_flag(User{"ann"}, "banned"); }';
  expect(unexercised(`${rules} test "t" { ${setup} assert_not allow(User{"ann"}, "view", Doc{"d"}); }`)).toEqual([
    '3 has_permission(u: User, "view", d: Doc) if has_role(u, "viewer", d) and not is_hidden(u, d)',
    '6 is_banned(u: User) if has_flag(u, "gone")',
  ]);
});

test("each alternative of an `or` exercises its rule, and each use exercises a policy fact", () => {
  const rules = `
    has_permission(u: User, "view", d: Doc) if is_public(d) or has_role(u, "viewer", d);
    is_public(Doc{"welcome"});
    is_public(Doc{"imprint"});`;
  expect(unexercised(`${rules} test "t" { assert allow(User{"bob"}, "view", Doc{"welcome"}); }`)).toEqual([
    '5 is_public(Doc{"imprint"})',
  ]);
});

test("rules of several files are distinguished", () => {
  const sources = [
    { name: "a.polar", text: `${types}has_role(u: User, "viewer", d: Doc) if owns(u, d);` },
    { name: "b.polar", text: 'has_permission(u: User, "view", d: Doc) if has_role(u, "viewer", d);' },
    {
      name: "c.polar",
      text: 'test "t" { setup { has_role(User{"a"}, "viewer", Doc{"d"}); } assert allow(User{"a"}, "view", Doc{"d"}); }',
    },
  ];
  const { coverage } = policyReport(checkPolicy(sources, { runTests: true, coverage: true }), sources, {
    runTests: true,
  });
  expect(coverage).toEqual({
    rules: 2,
    exercised: 1,
    complete: true,
    unexercised: [{ file: "a.polar", line: 2, column: 1, rule: 'has_role(u: User, "viewer", d: Doc) if owns(u, d)' }],
    counts: [
      { file: "a.polar", line: 2, column: 1, tests: 0 },
      { file: "b.polar", line: 1, column: 1, tests: 1 },
    ],
  });
});

test("each test counts once for a rule", () => {
  const assertion = 'assert allow(User{"ann"}, "view", Doc{"d"});';
  const once = `{ setup { has_role(User{"ann"}, "viewer", Doc{"d"}); } ${assertion} ${assertion} }`;
  const rule = 'has_permission(u: User, "view", d: Doc) if has_role(u, "viewer", d);';
  const sources = [{ name: "a.polar", text: `${types}${rule} test "one" ${once} test "two" ${once}` }];
  const options = { runTests: true, coverage: true };
  const { coverage } = policyReport(checkPolicy(sources, options), sources, options);
  expect(coverage?.counts).toMatchObject([{ tests: 2 }]);
});
