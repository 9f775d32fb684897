/**
 * Random policies with recursive rules: folders in folders, groups in groups, links along links, with roles that expire
 * and folders that are closed for a time. They use the predicates of the other random policies, so that a history can
 * change from one to another.
 */
import fc from "fast-check";
import type { Fact, Value } from "../../src/store/facts/fact.ts";

const blockRules = [
  '"p" if "r"',
  '"q" if "s"',
  '"r" if "s"',
  '"s" if "own"',
  'role if role on "up"',
  '"r" if "r" on "up"',
  '"s" if "s" on "up"',
  '"t" if "t" on "up"',
  '"q" if "t"',
];

/** Lines that are included together. */
const longhand = [
  `near(u: User, g: B) if link(u, g);
near(u: User, g: B) if h matches B and near(u, h) and has_relation(h, "up", g);
has_role(u: User, a: String, x: A) if g matches B and near(u, g) and given(g, a, x);`,
  `near(u: User, x: A) if link(u, x);
near(u: User, x: A) if y matches A and near(u, y) and beside(y, x);
has_permission(u: User, "q", x: A) if near(u, x);`,
  `near(x: A, y: A) if beside(x, y);
near(x: A, z: A) if y matches A and near(x, y) and near(y, z);
has_role(u: User, "t", x: A) if y matches A and near(x, y) and has_role(u, "t", y);`,
  `has_role(u: User, "t", x: A) if y matches A and beside(x, y) and level(x, _) and has_role(u, "t", y);`,
  `has_role(u: User, a: String, x: A) if n matches Integer and lent(u, a, x, n) and @current_unix_time < n;`,
  `has_role(u: User, a: String, x: A) if n matches Integer and lent(u, a, x, n) and not @current_unix_time < n;`,
  `has_permission(_: User, "p", x: A) if flag(x);`,
  `has_permission(u: User, "q", x: A) if level(x, @current_unix_time) and has_role(u, "r", x);`,
  `has_permission(u: User, "zap", x: A) if has_role(u, "s", x) and not flag(u);`,
];

const allows = [
  "",
  "allow(u: User, a: String, x: A) if has_permission(u, a, x) and not flag(u);",
  `allow(u: User, a: String, x: A) if has_permission(u, a, x) and not closed(x);
closed(x: A) if n matches Integer and level(x, n) and @current_unix_time < n;`,
  `allow(u: User, a: String, x: A) if has_permission(u, a, x);
allow(u: User, _: String, x: A) if y matches A and has_relation(x, "up", y) and has_relation(y, "own", u);`,
];

const declarations = [
  "declare beside(A, A);",
  "declare given(B, String, A);",
  "declare lent(User, String, A, Integer);",
];

export const treePolicy: fc.Arbitrary<string> = fc
  .record({
    folders: fc.subarray(blockRules, { minLength: 4 }),
    rules: fc.subarray(longhand, { minLength: 3 }),
    allow: fc.constantFrom(...allows),
    declared: fc.subarray(declarations),
  })
  .map(({ folders, rules, allow, declared }) =>
    [
      "actor User {}",
      "resource A {",
      '  roles = ["r", "s", "t"];',
      '  permissions = ["p", "q", "zap"];',
      "  relations = { up: A, own: User };",
      ...folders.map((line) => `  ${line};`),
      "}",
      "resource B { relations = { up: B }; }",
      ...rules,
      allow,
      ...declared,
    ]
      .filter((line) => line !== "")
      .join("\n"),
  );

const of = (type: string, ...ids: string[]): fc.Arbitrary<Value> => fc.constantFrom(...ids).map((id) => ({ type, id }));
const user = of("User", "1", "2", "3");
const folder = of("A", "1", "2", "3", "4", "5", "6");
const group = of("B", "1", "2", "3", "4");
const role = of("String", "r", "s", "t");
const time = of("Integer", "0", "1", "2", "3");
const up: fc.Arbitrary<Value> = fc.constant({ type: "String", id: "up" });
const own: fc.Arbitrary<Value> = fc.constant({ type: "String", id: "own" });

const factOf = (weight: number, predicate: string, ...args: fc.Arbitrary<Value>[]) => ({
  weight,
  arbitrary: fc.tuple(...args).map((values): Fact => ({ predicate, args: values })),
});

export const treeFact: fc.Arbitrary<Fact> = fc.oneof(
  factOf(9, "has_relation", folder, up, folder),
  factOf(4, "has_relation", group, up, group),
  factOf(1, "has_relation", folder, own, user),
  factOf(5, "beside", folder, folder),
  factOf(3, "link", user, group),
  factOf(2, "link", user, folder),
  factOf(3, "given", group, role, folder),
  factOf(3, "has_role", user, role, folder),
  factOf(6, "lent", user, role, folder, time),
  factOf(2, "level", folder, time),
  factOf(1, "flag", fc.oneof(user, folder)),
  // Under most of these policies only heads of rules have the types of these facts.
  factOf(3, "has_permission", user, of("String", "p", "q", "zap"), folder),
  factOf(2, "allow", user, of("String", "p", "q"), folder),
  factOf(1, "near", user, folder),
  factOf(1, "closed", folder),
);
