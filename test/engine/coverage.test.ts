/** Which rules the tests of a policy exercise: those behind an answer, in any way, and those that made a `not` fail. */
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

test("rules that an asserted answer goes through, and no others", () => {
  const fact = 'setup { has_role(User{"ann"}, "editor", Doc{"d"}); }';
  expect(unexercised(`${shorthand} test "t" { ${fact} assert allow(User{"ann"}, "view", Doc{"d"}); }`)).toEqual([
    '5 "edit" if "editor"',
    '6 role if role on "folder"',
  ]);
  expect(unexercised(`${shorthand} test "t" { ${fact} assert allow(User{"ann"}, a: String, Doc{"d"}); }`)).toEqual([
    '6 role if role on "folder"',
  ]);
});

test("every way to the answer counts, also through recursion that goes in a circle", () => {
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

test("what is only denied exercises nothing", () => {
  const text = `${shorthand} test "t" { assert_not allow(User{"ann"}, "view", Doc{"d"}); }`;
  expect(unexercised(text)).toHaveLength(4);
});

test("what makes a `not` fail is exercised, with the rules behind it", () => {
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

test("a rule with `or` is exercised by any of its ways, a policy fact by being used", () => {
  const rules = `
    has_permission(u: User, "view", d: Doc) if is_public(d) or has_role(u, "viewer", d);
    is_public(Doc{"welcome"});
    is_public(Doc{"imprint"});`;
  expect(unexercised(`${rules} test "t" { assert allow(User{"bob"}, "view", Doc{"welcome"}); }`)).toEqual([
    '5 is_public(Doc{"imprint"})',
  ]);
});

test("rules of several files are told apart", () => {
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
  });
});
