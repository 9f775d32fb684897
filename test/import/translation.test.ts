/** What the translation writes for schemas and models, and what it lists as without an equivalent. */
import { describe, expect, test } from "bun:test";
import { defaultLimits } from "../../src/config/limits.ts";
import { prepare } from "../../src/policy/active-policy.ts";
import { checkFactSchema } from "../../src/policy/fact-schema.ts";
import { checkPolicy } from "../../src/engine/validation/policy-check.ts";
import { must } from "../../src/util/assert.ts";
import { fromOpenFga, fromSpiceDb } from "./translate-files.ts";

describe("a schema of SpiceDB", () => {
  test("becomes roles, permissions and relations", () => {
    const { policy, errors, untranslated } = fromSpiceDb({
      "schema.zed": `
/** people */
definition user {}
definition team/group { relation member: user | team/group#member }
definition folder {
  relation parent: folder
  relation viewer: user | user:* | team/group#member // shared
  permission view = viewer + parent->view
}
definition document {
  relation folder: folder
  relation owner: user
  relation banned: user
  permission view = owner + folder->view - banned
  permission both = owner & (folder->view + banned)
}`,
    });
    expect(errors).toEqual([]);
    expect(untranslated).toEqual([]);
    expect(policy).toBe(
      `actor User {}

resource TeamGroup {
  roles = ["member"];
}

has_role(actor: Actor, "member", team_group: TeamGroup) if
  team_group2 matches TeamGroup and
  shared_with(team_group, "member", team_group2, "member") and
  has_role(actor, "member", team_group2);

resource Folder {
  roles = ["viewer"];
  permissions = ["view"];
  relations = { parent: Folder };
  "view" if "viewer";
  "view" if "view" on "parent";
}

has_role(_: User, "viewer", folder: Folder) if shared_with_all(folder, "viewer", "User");
has_role(actor: Actor, "viewer", folder: Folder) if
  team_group matches TeamGroup and
  shared_with(folder, "viewer", team_group, "member") and
  has_role(actor, "member", team_group);

resource Document {
  roles = ["owner", "banned"];
  permissions = ["view", "both"];
  relations = { folder: Folder };
  "both" if "owner" and ("view" on "folder" or "banned");
}

has_permission(actor: Actor, "view", document: Document) if
  (
    has_role(actor, "owner", document) or
    (
      folder matches Folder and
      has_relation(document, "folder", folder) and
      has_permission(actor, "view", folder)
    )
  ) and
  not has_role(actor, "banned", document);

# Roles and relations can be asked for like permissions.
allow(actor: Actor, action: String, resource: Resource) if
  has_permission(actor, action, resource) or
  has_role(actor, action, resource) or
  has_relation(resource, action, actor);
allow(folder2: Folder, action: String, folder: Folder) if has_relation(folder, action, folder2);
allow(folder: Folder, action: String, document: Document) if has_relation(document, action, folder);`,
    );
  });

  test("an object can be the subject of a question, as of a relation", () => {
    const { policy, tests } = fromSpiceDb(
      {
        "store.yaml": `schema: |-
  definition user {}
  definition folder { relation viewer: user }
  definition document {
    relation parent: folder | user
    permission view = parent->viewer
  }
relationships: document:1#parent@folder:top
assertions:
  assertTrue: ["document:1#parent@folder:top"]
  assertFalse: ["document:1#parent@folder:other", "document:2#parent@folder:top", "document:1#view@folder:top"]
`,
      },
      "store.yaml",
    );
    expect(policy).toContain('assert allow(Folder{"top"}, "parent", Document{"1"});');
    expect(tests?.tests).toEqual([{ name: "assertions", passed: 4, total: 4 }]);
  });

  test("operators bind as in SpiceDB: + tightest, then &, then -", () => {
    const { policy } = fromSpiceDb({
      "schema.zed": `definition user {}
definition doc {
  relation aa: user
  relation bb: user
  relation cc: user
  relation dd: user
  permission pp = aa + bb & cc - dd
}`,
    });
    expect(policy).toContain(`has_permission(actor: Actor, "pp", doc: Doc) if
  (has_role(actor, "aa", doc) or has_role(actor, "bb", doc)) and
  has_role(actor, "cc", doc) and
  not has_role(actor, "dd", doc);`);
  });

  test("relationships become facts, with their end", () => {
    const { facts, untranslated } = fromSpiceDb(
      {
        "schema.zed": `use expiration
definition user {}
definition group { relation member: user }
definition folder {}
definition doc {
  relation parent: folder with expiration
  relation viewer: user | user with expiration | user:* | group#member with expiration
  permission view = viewer + parent->view
}`,
        relationships: `// shared with
doc:1#viewer@user:ann
doc:1#viewer@user:bob[expiration:2030-01-01T00:00:00.5Z]
doc:1#viewer@user:*
doc:1#viewer@group:staff#member[expiration:2030-01-01T00:00:00Z]
doc:1#parent@folder:top#...[expiration:2030-01-01T00:00:00Z]
doc:1#owner@user:ann
doc:1#viewer@folder:top
doc:1#viewer@user:ann[expiration:2030-01-01T00:00:00Z]
doc:1#parent@folder:all
doc:1#viewer@user:*[expiration:2030-01-01T00:00:00Z]
doc:*#viewer@user:ann`,
      },
      "schema.zed",
      ["relationships"],
    );
    expect(facts).toEqual([
      "has_role_until(User:ann, String:viewer, Doc:1, Integer:1893456000)",
      "has_role_until(User:bob, String:viewer, Doc:1, Integer:1893456000)",
      "shared_with_until(Doc:1, String:viewer, Group:staff, String:member, Integer:1893456000)",
      "has_relation_until(Doc:1, String:parent, Folder:top, Integer:1893456000)",
    ]);
    expect(untranslated).toEqual([
      "relationships:7: the relationship has a relation `owner` that type `doc` does not declare, so it is left out",
      "relationships:8: the relationship names a subject that `viewer` of `doc` does not admit, so it is left out",
      "relationships:10: the relationship lacks the expiration that `parent` of `doc` asks for, so it is left out",
      "relationships:11: the relationship has an expiration, which `viewer` of `doc` does not admit, so it is left out",
      "relationships:12: the relationship is refused by a node, as fact `has_role`: argument 3 has the id `*`, which is reserved for answers; write a rule in the policy to cover all values, so it is left out",
    ]);
  });

  test("assertions and expected relations of a validation file become tests", () => {
    const { tests, policy, untranslated } = fromSpiceDb(
      {
        "store.yaml": `schema: |-
  caveat weekday(day string) { day != "sunday" && day != '}' }
  definition user {}
  definition doc {
    relation reader: user with weekday | user
    relation banned: user with weekday
    permission read = reader - banned
  }
relationships: |-
  doc:1#reader@user:ann
  doc:1#reader@user:bob[weekday:{"day":"monday"}]
  doc:1#reader@user:eve
  doc:1#banned@user:eve[weekday]
assertions:
  assertTrue:
    - doc:1#read@user:ann
    - 'doc:1#read@user:bob with {"day": "sunday"}'
    - 'doc:1#read@user:eve with {"day": "sunday"}'
  assertFalse: [doc:1#banned@user:eve]
  assertCaveated:
    - doc:1#read@user:eve
validation:
  doc:1#read:
    - "[user:ann] is <doc:1#reader>"
    - "[user:*] is <doc:1#reader>"
    - "[user:eve[...]] is <doc:1#reader>"
`,
      },
      "store.yaml",
    );
    expect(tests?.tests).toEqual([
      { name: "assertions", passed: 5, total: 5 },
      { name: 'assertions, with {"day":"sunday"}', passed: 2, total: 2 },
    ]);
    // The stored day decides the first, and nothing the second.
    expect(policy).toContain('has_role(User{"bob"}, "reader", Doc{"1"});');
    expect(policy).toMatch(/has_role_if\(\s*User\{"eve"\},\s*"banned",\s*Doc\{"1"\},\s*ConditionWeekday\{"\w{32}"/);
    expect(untranslated).toEqual([
      "store.yaml:25: the expected subject `user:*` is left out: a test asks about one actor",
    ]);
  });

  test("an exclusion takes away what may hold, and gives nothing that may fail", () => {
    const { tests, untranslated } = fromSpiceDb(
      {
        "store.yaml": `schema: |-
  caveat some(xx int) { xx > 1 }
  definition user {}
  definition doc {
    relation reader: user
    relation trusted: user with some
    permission suspicious = reader - trusted
    permission read = reader - suspicious
  }
relationships: |-
  doc:1#reader@user:ann
  doc:1#reader@user:bob
  doc:1#reader@user:eve
  doc:1#trusted@user:ann[some:{"xx": 5}]
  doc:1#trusted@user:bob[some]
assertions:
  assertTrue:
    - doc:1#read@user:ann
    - 'doc:1#read@user:ann with {"xx": 0}'
    - 'doc:1#read@user:bob with {"xx": 2}'
    - 'doc:1#suspicious@user:bob with {"xx": 1}'
    - doc:1#suspicious@user:eve
  assertFalse:
    - doc:1#read@user:eve
    - 'doc:1#read@user:bob with {"xx": 1}'
    - 'doc:1#suspicious@user:bob with {"xx": 2}'
  assertCaveated: [doc:1#read@user:bob, doc:1#suspicious@user:bob]
`,
      },
      "store.yaml",
    );
    expect(untranslated).toEqual([]);
    expect(tests?.success).toBe(true);
    expect(tests?.tests.map(({ total }) => total)).toEqual([5, 1, 2, 2]);
  });

  test("each comparison holds or fails at its bound, also where an exclusion takes it away", () => {
    const comparisons = { equal: "==", unequal: "!=", less: "<", most: "<=", more: ">", least: ">=" };
    const holding = { equal: "5", unequal: "46", less: "4", most: "45", more: "6", least: "56" };
    const names = Object.entries(comparisons);
    const asked = Object.entries(holding).flatMap(([name, values]) =>
      ["4", "5", "6"].flatMap((value) => [
        { question: `doc:1#${name}@user:ann with {"xx": ${value}}`, allowed: values.includes(value) },
        { question: `doc:1#not_${name}@user:ann with {"xx": ${value}}`, allowed: !values.includes(value) },
      ]),
    );
    const listed = (allowed: boolean): string =>
      asked.flatMap((each) => (each.allowed === allowed ? `\n    - '${each.question}'` : [])).join("");
    const { tests, untranslated } = fromSpiceDb(
      {
        "store.yaml": `schema: |-
${names.map(([name, operator]) => `  caveat is_${name}(xx int) { xx ${operator} 5 }`).join("\n")}
  definition user {}
  definition doc {
    relation reader: user
${names.map(([name]) => `    relation ${name}: user with is_${name}\n    permission not_${name} = reader - ${name}`).join("\n")}
  }
relationships: |-
  doc:1#reader@user:ann
${names.map(([name]) => `  doc:1#${name}@user:ann[is_${name}]`).join("\n")}
assertions:
  assertTrue:${listed(true)}
  assertFalse:${listed(false)}
`,
      },
      "store.yaml",
    );
    expect(untranslated).toEqual([]);
    expect(tests?.success).toBe(true);
  });

  test("an arrow for all objects counts objects whose condition fails", () => {
    const { tests, untranslated } = fromSpiceDb(
      {
        "store.yaml": `schema: |-
  caveat some(xx int) { xx > 1 }
  definition user {}
  definition group { relation member: user }
  definition doc {
    relation team: group with some
    permission read = team.all(member)
  }
relationships: |-
  group:1#member@user:ann
  group:2#member@user:ann
  doc:1#team@group:1[some:{"xx": 5}]
  doc:2#team@group:1[some:{"xx": 5}]
  doc:2#team@group:2[some:{"xx": 0}]
assertions:
  assertTrue: [doc:1#read@user:ann]
  assertFalse: [doc:2#read@user:ann]
`,
      },
      "store.yaml",
    );
    expect(untranslated).toEqual([]);
    expect(tests?.success).toBe(true);
  });

  test("what no value decides is taken away by exclusions, and gives nothing", () => {
    const { facts, policy, tests, untranslated } = fromSpiceDb(
      {
        "store.yaml": `schema: |-
  caveat at_work(name string, at timestamp) { name.startsWith("a") || at < timestamp("2023-01-01T00:00:00Z") }
  definition user {}
  definition doc {
    relation reader: user
    relation banned: user with at_work
    permission read = reader - banned
  }
  definition room { relation guest: user with at_work }
relationships: |-
  doc:1#reader@user:ann
  doc:1#banned@user:ann[at_work:{"at": "2023-01-01T00:00:00.0000001Z"}]
  room:1#guest@user:ann[at_work:{"at": "2023-01-01T00:00:00.0000001Z"}]
  room:1#guest@user:bob[at_work]
assertions:
  assertFalse: [doc:1#read@user:ann, doc:1#banned@user:ann, room:1#guest@user:ann]
`,
      },
      "store.yaml",
    );
    expect(facts).toEqual([
      "has_role(User:ann, String:reader, Doc:1)",
      "has_role_if(User:ann, String:banned, Doc:1, ConditionUndecided:at_work)",
      expect.stringContaining("has_role_if(User:bob, String:guest, Room:1, ConditionAtWork:"),
    ]);
    expect(policy).toContain("condition matches ConditionUndecided");
    expect(tests?.success).toBe(true);
    expect(untranslated).toEqual([
      "store.yaml:12: the relationship has a value of `at` that Polar cannot hold exactly, so it gives nothing, and exclusions take it away",
      "store.yaml:13: the relationship has a value of `at` that Polar cannot hold exactly, so it is left out",
      'store.yaml:14: the relationship does not store `name`, and Polar cannot compute `name.startsWith("a")`, so its condition may never hold',
    ]);
  });

  test("a condition that is not understood is named with its place and the reason", () => {
    const { policy, untranslated, errors } = fromSpiceDb(
      {
        "schema.zed": `caveat braces(xx map<any>) { xx == {"a": 1} }
caveat long(xx int) { ${Array(1000).fill("xx > 1").join(" || ")} }
caveat deep(xx int) { ${"(".repeat(500)}xx > 1${")".repeat(500)} }
caveat sums(xx int, yy int) { xx + yy > 5 }
definition user {}
definition doc {
  relation reader: user with braces | user with long | user with deep | user with sums
}`,
        relationships: 'doc:1#reader@user:ann[long]\ndoc:1#reader@user:bob[deep:{"xx": 2}]',
      },
      "schema.zed",
      ["relationships"],
    );
    expect(errors).toEqual([]);
    expect(policy).not.toContain("holds(condition: ConditionBraces)");
    expect(untranslated).toEqual([
      "relationships:1: the relationship depends on `long`: its expression is not translated: it has more than 4096 characters, so it is left out",
      "relationships:2: the relationship depends on `deep`: its expression is not translated: it nests too deeply, so it is left out",
      'schema.zed:1: caveat `braces`: its expression is not translated: `{"a": 1}` is not understood',
      "schema.zed:4: caveat `sums`: Polar cannot compute `xx + yy`: a relationship has to store it, as `condition_xx_plus_yy(condition, …)`",
    ]);
  });

  test("relationships with equal contexts share the instance of a condition", () => {
    const { facts } = fromSpiceDb(
      {
        "schema.zed": `caveat some(xx int, yy int) { xx > yy }
definition user {}
definition doc { relation reader: user with some }`,
        relationships: `doc:1#reader@user:ann[some:{"xx": 1}]
doc:1#reader@user:bob[some:{"xx": 1}]
doc:1#reader@user:eve[some:{"yy": 1}]`,
      },
      "schema.zed",
      ["relationships"],
    );
    const [ann = "", limit, bob, eve = ""] = facts;
    expect(bob).toBe(ann.replace("ann", "bob"));
    expect(limit).toMatch(/^condition_xx\(ConditionSome:\w{32}, Integer:1\)$/);
    expect(eve).not.toContain(/ConditionSome:\w+/.exec(ann)?.[0] ?? "none");
    expect(facts).toHaveLength(5);
  });

  test("a relationship that its stored context decides becomes a plain fact, or nothing", () => {
    const { facts, untranslated } = fromOpenFga(
      {
        "model.fga": `model
  schema 1.1
type user
type doc
  relations
    define viewer: [user with some]
condition some(xx: int) {
  xx > 1
}
`,
        "tuples.yaml": `- {user: user:ann, relation: viewer, object: doc:1, condition: {name: some, context: {xx: 2}}}
- {user: user:bob, relation: viewer, object: doc:1, condition: {name: some, context: {xx: "1"}}}
- {user: user:eve, relation: viewer, object: doc:1, condition: {name: some, context: {xx: 1.5}}}
- {user: user:dan, relation: viewer, object: doc:1, condition: {name: some, context: {xx: 9007199254740993}}}
- {user: user:eli, relation: viewer, object: doc:1, condition: {name: some, context: {yy: 2}}}
- {user: user:fay, relation: viewer, object: doc:1}
`,
      },
      "model.fga",
      ["tuples.yaml"],
    );
    expect(facts).toEqual(["has_role(User:ann, String:viewer, Doc:1)"]);
    expect(untranslated).toEqual([
      "tuples.yaml:3: the relationship stores a `xx` that `some` does not admit here, so it is left out",
      "tuples.yaml:4: the relationship stores a `xx` that `some` does not admit here, so it is left out",
      "tuples.yaml:5: the relationship stores a `yy` that `some` does not admit here, so it is left out",
      "tuples.yaml:6: the relationship lacks the condition that `viewer` of `doc` asks for, so it is left out",
    ]);
  });

  test("a relation through which an arrow goes is declared, also if it admits relations of objects", () => {
    const { policy, errors, warnings } = fromSpiceDb({
      "schema.zed": `use expiration
definition user {}
definition folder {
  relation parent: folder | folder#viewer with expiration
  relation parent_end: folder
  relation viewer: user
  permission view = viewer + parent->view
  permission both = parent->view & parent_end->view
}`,
    });
    expect([...errors, ...warnings]).toEqual([]);
    expect(policy).toContain("relations = { direct_parent: Folder, parent_end: Folder };");
    expect(policy).toContain('has_relation(folder, "parent_end", parent_end2)');
  });

  test("a relation whose subjects have roles makes actors of all of them", () => {
    const { policy } = fromSpiceDb({
      "schema.zed": `definition user {}
definition team { relation member: user }
definition doc { relation owner: user | team }`,
    });
    expect(policy).toContain("actor Team {");
  });

  test("`self` is the name of a relation without `use self`", () => {
    const { policy } = fromSpiceDb({
      "schema.zed": `definition user { relation self: user
 permission own = self }`,
    });
    expect(policy).toContain('"own" if "self";');
  });

  test("a relation that depends on its own negation is listed and gets no rules", () => {
    const { policy, errors, untranslated } = fromSpiceDb({
      "schema.zed": `definition user {}
definition folder {
  relation parent: folder
  relation viewer: user
  permission view = viewer + parent.all(view)
}`,
    });
    expect(errors).toEqual([]);
    expect(policy).not.toContain('"view" if');
    expect(untranslated).toEqual([
      "schema.zed:5: `folder#view` depends on its own negation, which Polar does not have: it gets no rules",
    ]);
  });

  test("exclusions that depend on relations without rules admit nobody", () => {
    const { policy, untranslated } = fromSpiceDb({
      "schema.zed": `definition user {}
definition doc {
  relation parent: doc
  relation viewer: user
  permission one = viewer - other
  permission other = viewer - parent->one
  permission third = viewer - (viewer - one)
  permission all = viewer + (viewer - other)
}`,
    });
    expect(untranslated).toEqual([
      "schema.zed:5: `doc#one` depends on its own negation, which Polar does not have: it gets no rules",
      ...[6, 7, 8].map(
        (line, index) =>
          `schema.zed:${line}: an exclusion of \`doc#${["other", "third", "all"][index]}\` depends on what is left out, so it admits nobody: write its rule by hand`,
      ),
    ]);
    expect(policy).not.toContain("has_permission(actor:");
    expect(policy).toContain('"all" if "viewer";');
  });

  test("a relationship that a node refuses is named as dangerous if an exclusion depends on it", () => {
    const { untranslated } = fromSpiceDb(
      {
        "schema.zed": `definition user {}
definition group { relation member: user }
definition doc {
  relation reader: user
  relation banned: group#member
  permission read = reader - banned
}`,
        relationships: `doc:1#banned@group:${"x".repeat(2000)}#member`,
      },
      "schema.zed",
      ["relationships"],
    );
    expect(untranslated).toHaveLength(1);
    expect(untranslated[0]).toStartWith("relationships:1: the relationship is refused by a node");
    expect(untranslated[0]).toEndWith(
      "so it is left out. An exclusion depends on it: the policy may allow more than the model",
    );
  });

  test("a stored value that a node refuses leaves a condition undecided", () => {
    const { facts, untranslated } = fromSpiceDb(
      {
        "schema.zed": `caveat named(xx string, yy string) { xx == yy }
definition user {}
definition doc {
  relation reader: user
  relation banned: user with named
  permission read = reader - banned
}`,
        relationships: `doc:1#banned@user:ann[named:{"xx": "${"x".repeat(2000)}"}]`,
      },
      "schema.zed",
      ["relationships"],
    );
    expect(facts).toEqual(["has_role_if(User:ann, String:banned, Doc:1, ConditionUndecided:named)"]);
    expect(untranslated[0]).toStartWith("relationships:1: the relationship is refused by a node");
    expect(untranslated[0]).toEndWith("so it gives nothing, and exclusions take it away");
  });

  test("partials and imports are taken over, and `self` and `nil` have a meaning", () => {
    const { policy, errors } = fromSpiceDb({
      "schema.zed": `import "people/user.zed"
use typechecking
partial viewable {
  relation viewer: user
  permission view: user = viewer;
}
definition doc {
  ...viewable
  @deprecated(reason, "old")
  permission nobody = nil
}`,
      "people/user.zed": `use self
definition user { permission own = self + nil }`,
    });
    expect(errors).toEqual([]);
    expect(policy).toContain(`has_permission(actor: Actor, "own", user: User) if actor = user;`);
    expect(policy).toContain(`"view" if "viewer";`);
    expect(policy).not.toContain(`"nobody" if`);
  });

  test.each([
    [
      "definition user {",
      "schema.zed:1: expected `relation`, `permission` or `}` in this definition, found the end of the file",
    ],
    ["definition doc {\n relation aa: user\n}", "schema.zed:2: there is no type `user`"],
    ["definition user {}\ndefinition user {}", "schema.zed:2: `user` is defined twice"],
    ["definition doc {\n permission aa = bb\n}", "schema.zed:2: `doc` has no relation `bb`"],
    [
      "definition doc {\n relation aa: doc\n permission bb = aa->bb->cc\n}",
      "schema.zed:3: expected an operator: an arrow goes one step, found `->`",
    ],
    [
      "definition doc {\n relation aa: doc\n permission bb = aa\n permission cc = aa - bb->bb\n}",
      "schema.zed:4: `bb` of `doc` cannot lead to other objects: it is computed",
    ],
    [
      "definition doc {\n relation aa: doc:*\n permission bb = aa->bb\n}",
      "schema.zed:3: `aa` of `doc` cannot lead to other objects: it admits everyone",
    ],
    ["definition doc {\n relation aa: doc#bb\n}", "schema.zed:2: `doc` has no relation `bb`"],
    ["definition doc {\n relation aa: doc\n relation aa: doc\n}", "schema.zed:3: `doc` declares `aa` twice"],
    [
      `definition doc {\n permission aa = ${"(".repeat(100_000)}`,
      "schema.zed:2: expected fewer parentheses within each other, found `(`",
    ],
    ["definition doc {\n ...aa\n}\npartial aa { ...aa }", "schema.zed:4: partial `aa` contains itself"],
    [
      `partial p0 {}\n${Array.from({ length: 201 }, (_, index) => `partial p${index + 1} { ...p${index} }\n`).join("")}definition doc { ...p201 }`,
      "schema.zed:3: more than 200 partials within each other",
    ],
    [
      "partial p0 { relation aa: doc }\npartial p1 {\n ...p0\n ...p0\n}\ndefinition doc { ...p1 }",
      "schema.zed:1: `p1` declares `aa` twice",
    ],
    [
      `definition doc {\n relation aa: doc\n permission bb = ${Array(20_000).fill("aa").join(" - ")}\n}`,
      "schema.zed:3: the expression has more than 1000 parts: split it into several relations",
    ],
    ["/* never ends", "schema.zed:1: expected `definition`, `caveat`, `partial`, `import` or `use`, found `/`"],
  ])("an invalid schema is refused with its line: %#", (schema, message) => {
    expect(() => fromSpiceDb({ "schema.zed": schema })).toThrow(message);
  });

  test("an invalid relationship is refused with its line", () => {
    const files = { "schema.zed": "definition user {}", relationships: "\ndoc:1#viewer" };
    expect(() => fromSpiceDb(files, "schema.zed", ["relationships"])).toThrow(
      "relationships:2: `doc:1#viewer` is not a relationship",
    );
  });

  test.each([
    "doc:1#viewer@user:bob",
    "[some] doc:1#viewer@user:bob",
    '[some:{"a":1}] doc:1#viewer@user:bob[some:{"a":1}]',
  ])("two relationships in one line are refused, so that none is lost: %s", (more) => {
    const files = { "schema.zed": "definition user {}", relationships: `doc:1#viewer@user:ann ${more}` };
    expect(() => fromSpiceDb(files, "schema.zed", ["relationships"])).toThrow(
      "follows the relationship: write one relationship per line",
    );
  });
});

const model = `model
  schema 1.1
type user
type group
  relations
    define member: [user, group#member]
type doc
  relations
    define parent: [doc, group]
    define viewer: [user, user:*, group#member] or viewer from parent
    define editor: [user] but not blocked
    define blocked: [user with on_sunday]
    define can-edit: editor and viewer

condition on_sunday(day: string) {
  day == "sunday"
}
`;

describe("a model of OpenFGA", () => {
  test("becomes roles, permissions and relations", () => {
    const { policy, errors, untranslated } = fromOpenFga({ "model.fga": model });
    expect(errors).toEqual([]);
    expect(untranslated).toEqual([]);
    expect(policy).toContain(`resource Doc {
  roles = ["viewer", "direct editor", "blocked"];
  permissions = ["editor", "can-edit"];
  relations = { parent: Resource };
  "can-edit" if "editor" and "viewer";
}`);
    expect(policy).toContain(`has_role(actor: Actor, "viewer", doc: Doc) if
  parent matches Doc and
  has_relation(doc, "parent", parent) and
  has_role(actor, "viewer", parent);`);
    expect(policy).toContain(`has_permission(actor: Actor, "editor", doc: Doc) if
  has_role(actor, "direct editor", doc) and
  not may_have(actor, "blocked", doc);`);
    expect(policy).toContain(`
# on_sunday: day == "sunday"
resource ConditionOnSunday {}
holds(condition: ConditionOnSunday) if value_day(condition, day) and day = "sunday";
fails(condition: ConditionOnSunday) if value_day(condition, day) and day != "sunday";
value_day(condition: ConditionOnSunday, value: String) if condition_day(condition, value);
value_day(condition: ConditionOnSunday, value: String) if
  context_day(value) and
  not condition_day(condition, _);
`);
  });

  test.each([
    [
      "tuples.yaml",
      "- {user: user:ann, relation: viewer, object: doc:1}\n- user: group:a#member\n  relation: viewer\n  object: doc:1\n",
    ],
    [
      "tuples.json",
      '{"tuples": [{"user": "user:ann", "relation": "viewer", "object": "doc:1"},\n{"user": "group:a#member", "relation": "viewer", "object": "doc:1"}]}',
    ],
    [
      "tuples.jsonl",
      '{"user": "user:ann", "relation": "viewer", "object": "doc:1"}\n\n{"user": "group:a#member", "relation": "viewer", "object": "doc:1"}\n',
    ],
    [
      "tuples.csv",
      "user_type,user_id,user_relation,relation,object_type,object_id\nuser,ann,,viewer,doc,1\ngroup,a,member,viewer,doc,1\n",
    ],
  ])("tuples are read from %s", (path, text) => {
    const { facts } = fromOpenFga({ "model.fga": model, [path]: text }, "model.fga", [path]);
    expect(facts).toEqual([
      "has_role(User:ann, String:viewer, Doc:1)",
      "shared_with(Doc:1, String:viewer, Group:a, String:member)",
    ]);
  });

  test("a store file has model, tuples and tests", () => {
    const indented = model.replaceAll(/^(?=.)/gm, "  ");
    const { tests, untranslated } = fromOpenFga(
      {
        "store.fga.yaml": `name: docs
model: |
${indented}tuples:
  - {user: user:ann, relation: viewer, object: doc:1}
  - {user: doc:1, relation: parent, object: doc:2}
tuple_file: more.csv
tests:
  - name: views
    tuples:
      - {user: user:bob, relation: viewer, object: doc:2}
    check:
      - user: user:ann
        objects: [doc:1, doc:2]
        assertions: {viewer: true, editor: false}
      - {user: "doc:1", object: "doc:2", assertions: {parent: true}}
      - {user: "group:a#member", object: doc:1, assertions: {viewer: true}}
      - {user: user:ann, object: doc:1, context: {day: sunday}, assertions: {editor: false}}
    list_objects:
      - {user: user:bob, type: doc, assertions: {viewer: [doc:2], editor: []}}
    list_users:
      - object: doc:2
        user_filter: [{type: user}]
        assertions: {viewer: {users: [user:ann, user:bob]}}
`,
        "more.csv":
          "user_type,user_id,relation,object_type,object_id,condition_name\nuser,eve,blocked,doc,1,on_sunday\n",
      },
      "store.fga.yaml",
    );
    expect(tests?.tests).toEqual([
      { name: "views", passed: 8, total: 8 },
      { name: 'views, with {"day":"sunday"}', passed: 1, total: 1 },
    ]);
    expect(untranslated).toEqual([
      "store.fga.yaml:33: an assertion is left out: it asks about `group#member`, which is no actor",
    ]);
  });

  test("conditions become rules over what relationships store and questions have", () => {
    const { policy, facts, tests, untranslated } = fromOpenFga(
      {
        "store.fga.yaml": `model: |
  model
    schema 1.1
  type user
  type doc
    relations
      define viewer: [user with grant]
      define payer: [user with below]
  condition grant(now: timestamp, start: timestamp, length: duration) {
    now < start + length
  }
  condition below(amount: double, limit: double, tags: list<string>) {
    amount <= limit || "vip" in tags
  }
tuples:
  - {user: user:ann, relation: viewer, object: doc:1, condition: {name: grant, context: {start: "2023-01-01T01:00:00+01:00", length: 1h}}}
  - {user: user:bob, relation: viewer, object: doc:1, condition: {name: grant, context: {start: "2023-01-01T00:00:00Z"}}}
  - {user: user:eve, relation: viewer, object: doc:1, condition: {name: grant, context: {now: "2024-01-01T00:00:00Z"}}}
  - {user: user:ann, relation: payer, object: doc:1, condition: {name: below, context: {limit: 0.3}}}
tests:
  - check:
    - {user: user:ann, object: doc:1, context: {now: "2023-01-01T00:59:59.999Z"}, assertions: {viewer: true}}
    - {user: user:ann, object: doc:1, context: {now: "2023-01-01T01:00:00Z", start: "2024-01-01T00:00:00Z"}, assertions: {viewer: false}}
    - {user: user:ann, object: doc:1, context: {amount: 0.3, tags: []}, assertions: {payer: true, viewer: false}}
    - {user: user:ann, object: doc:1, context: {amount: 0.300001, tags: [other]}, assertions: {payer: false}}
    - {user: user:ann, object: doc:1, context: {amount: 9, tags: [other, vip], limit: 10}, assertions: {payer: true}}
    - {user: user:ann, object: doc:1, context: {amount: 0.1}, assertions: {payer: false}}
    - {user: user:ann, object: doc:1, context: {amount: 0.0000001, tags: []}, assertions: {payer: true}}
    - {user: user:bob, object: doc:1, context: {now: "2023-01-01T00:00:00Z", length: 1h}, assertions: {viewer: true}}
`,
      },
      "store.fga.yaml",
    );
    expect(policy).toContain(`holds(condition: ConditionGrant) if
  value_now(condition, now) and
  condition_start_plus_length(condition, start_plus_length) and
  now < start_plus_length;`);
    expect(policy).toContain(`holds(condition: ConditionBelow) if
  (
    (value_amount(condition, amount) and value_limit(condition, limit) and amount <= limit) or
    value_tags(condition, "vip")
  ) and
  value_amount(condition, _) and
  value_limit(condition, _) and
  given_tags(condition);`);
    expect(facts.map((fact) => fact.replaceAll(/:\w{32}/g, ""))).toEqual([
      "has_role_if(User:ann, String:viewer, Doc:1, ConditionGrant)",
      "condition_start_plus_length(ConditionGrant, Integer:1672534800000000)",
      "has_role_if(User:bob, String:viewer, Doc:1, ConditionGrant)",
      "has_role_if(User:eve, String:viewer, Doc:1, ConditionGrant)",
      "condition_now(ConditionGrant, Integer:1704067200000000)",
      "has_role_if(User:ann, String:payer, Doc:1, ConditionBelow)",
      "condition_limit(ConditionBelow, Integer:300000)",
    ]);
    expect(tests?.tests.map(({ passed, total }) => passed / total)).toEqual([1, 1, 1, 1, 1]);
    expect(untranslated).toEqual([
      "store.fga.yaml:17: the relationship does not store `length`, and Polar cannot compute `start + length`, so its condition may never hold",
      "store.fga.yaml:18: the relationship does not store `start`, `length`, and Polar cannot compute `start + length`, so its condition may never hold",
      "store.fga.yaml:23: an assertion is left out: only a relationship can give `start` to `grant`",
      "store.fga.yaml:28: an assertion is left out: its context has a `amount` that Polar cannot hold exactly",
      "store.fga.yaml:29: an assertion is left out: only a relationship can give `length` to `grant`",
    ]);
  });

  test("a condition needs all parameters, also those that a stored value makes needless", () => {
    const { tests, untranslated } = fromOpenFga(
      {
        "store.fga.yaml": `model: |
  model
    schema 1.1
  type user
  type doc
    relations
      define viewer: [user with either]
  condition either(one: int, other: int) {
    one > 1 || other > 1
  }
tuples:
  - {user: user:ann, relation: viewer, object: doc:1, condition: {name: either, context: {one: 5}}}
tests:
  - check:
    - {user: user:ann, object: doc:1, assertions: {viewer: false}}
    - {user: user:ann, object: doc:1, context: {other: 0}, assertions: {viewer: true}}
`,
      },
      "store.fga.yaml",
    );
    expect(untranslated).toEqual([]);
    expect(tests?.success).toBe(true);
  });

  test("each quantifier of a condition goes through the list by itself", () => {
    const { tests, untranslated } = fromOpenFga(
      {
        "store.fga.yaml": `model: |
  model
    schema 1.1
  type user
  type doc
    relations
      define careful: [user with careful]
      define both: [user with both]
  condition careful(names: list<string>, name: string) {
    names.exists(one, one != name) && names.all(each, each != "bad")
  }
  condition both(names: list<string>, name: string) {
    names.exists(one, one == name) && names.exists(other, other == "ok")
  }
tuples:
  - {user: user:ann, relation: careful, object: doc:1, condition: {name: careful, context: {names: [ok, bad]}}}
  - {user: user:ann, relation: both, object: doc:1, condition: {name: both, context: {names: [ok, bad]}}}
tests:
  - check:
    - {user: user:ann, object: doc:1, context: {name: bad}, assertions: {careful: false, both: true}}
`,
      },
      "store.fga.yaml",
    );
    expect(tests?.tests.map(({ passed, total }) => passed / total)).toEqual([1]);
    expect(untranslated).toEqual([]);
  });

  test("conditions may have parameters of one name and several types", () => {
    const { tests, untranslated } = fromOpenFga(
      {
        "store.fga.yaml": `model: |
  model
    schema 1.1
  type user
  type doc
    relations
      define named: [user with named]
      define counted: [user with counted]
      define open: [user] but not counted
  condition named(what: string) {
    what == "a"
  }
  condition counted(what: int) {
    what > 1
  }
tuples:
  - {user: user:ann, relation: named, object: doc:1, condition: {name: named}}
  - {user: user:ann, relation: counted, object: doc:1, condition: {name: counted}}
  - {user: user:ann, relation: open, object: doc:1}
tests:
  - check:
    - {user: user:ann, object: doc:1, context: {what: a}, assertions: {named: true, counted: false, open: false}}
    - {user: user:ann, object: doc:1, context: {what: "2"}, assertions: {named: false, counted: true, open: false}}
    - {user: user:ann, object: doc:1, context: {what: 1}, assertions: {named: false, counted: false, open: true}}
    - {user: user:ann, object: doc:1, context: {what: true}, assertions: {named: false}}
`,
      },
      "store.fga.yaml",
    );
    expect(tests?.tests.map(({ passed, total }) => passed / total)).toEqual([1, 1, 1]);
    expect(untranslated).toEqual([
      "store.fga.yaml:25: an assertion is left out: its context has a `what` that Polar cannot hold exactly",
    ]);
  });

  test("modules form one model, and JSON is read too", () => {
    const modules = {
      "fga.mod": "schema: '1.2'\ncontents:\n  - core.fga\n  - wiki.fga\n",
      "core.fga": "module core\ntype user\ntype space\n  relations\n    define member: [user]\n",
      "wiki.fga": "module wiki\nextend type space\n  relations\n    define can_write: member\n",
    };
    const expected = `actor User {}

resource Space {
  roles = ["member"];
  permissions = ["can_write"];
  "can_write" if "member";
}`;
    expect(fromOpenFga(modules, "fga.mod").policy).toStartWith(expected);
    const json = JSON.stringify({
      schema_version: "1.1",
      type_definitions: [
        { type: "user" },
        {
          type: "space",
          relations: { member: { this: {} }, can_write: { computedUserset: { relation: "member" } } },
          metadata: { relations: { member: { directly_related_user_types: [{ type: "user", condition: "" }] } } },
        },
      ],
    });
    expect(fromOpenFga({ "model.json": json }, "model.json").policy).toStartWith(expected);
  });

  test("JSON admits everyone and the holders of a relation like the text", () => {
    const viewers = [{ type: "user" }, { type: "user", wildcard: {} }, { type: "doc", relation: "viewer" }];
    const json = JSON.stringify({
      schema_version: "1.1",
      type_definitions: [
        { type: "user" },
        {
          type: "doc",
          relations: { viewer: { this: {} } },
          metadata: { relations: { viewer: { directly_related_user_types: viewers } } },
        },
      ],
    });
    const text =
      "model\n  schema 1.1\ntype user\ntype doc\n  relations\n    define viewer: [user, user:*, doc#viewer]\n";
    const { policy } = fromOpenFga({ "model.fga": text });
    expect(policy).toContain("shared_with_all");
    expect(fromOpenFga({ "model.json": json }, "model.json").policy).toBe(policy);
  });

  test.each([
    ["model\n  schema 1.1\ntype user\ntype doc\n  relations\n    define viewer: [person]\n", "model.fga:6: "],
    ["model\n  schema 1.1\ntype doc\n  relations\n    define viewer [user]\n", "model.fga:5: "],
    [
      JSON.stringify({
        schema_version: "1.1",
        type_definitions: [
          { type: "user" },
          { type: "doc", relations: { all: { computedUserset: { relation: "missing" } } } },
        ],
      }),
      "model.fga:1: `doc` has no relation `missing`",
    ],
    [
      '{"type_definitions": [{"type": "doc", "relations": {"aa": {"this": {}, "union": {"child": []}}}}]}',
      "this is not a model of OpenFGA",
    ],
    [
      '{"type_definitions": [{"type": "doc", "relations": {"aa": {"this": {}}}},\n{"type": "doc"}]}',
      "model.fga:2: `doc` is defined twice",
    ],
    [
      `{"type_definitions": [{"type": "doc", "relations": {"aa":\n${'{"union": {"child": ['.repeat(5000)}`,
      "model.fga:2: more than 200 brackets within each other",
    ],
    [
      `model\n  schema 1.1\ntype user\ntype doc\n  relations\n    define a: [user]\n    define b: ${"(".repeat(5000)}a${")".repeat(5000)}\n`,
      "model.fga:7: more than 20 parentheses within each other",
    ],
    [
      `model\n  schema 1.1\ntype user\ntype doc\n  relations\n    define a: [user]\n    define b: ${Array(600).fill("(a)").join(" or ")}\n`,
      "model.fga:7: more than 1000 parentheses",
    ],
    [
      "model\n  schema 1.1\ntype user\ntype doc\n  relations\n    define a: [user]\n    define b: c from a\n",
      "model.fga:7: `a` of `doc` leads to nothing that has a relation `c`",
    ],
    [
      "model\n  schema 1.1\ntype user\ntype doc\n  relations\n    define a: [user, doc#a]\n    define b: a from a\n",
      "model.fga:7: `a` of `doc` cannot lead to other objects: it admits relations of objects",
    ],
    ["model\n  schema 1.1\ntype user\ntype doc\ntype doc\n", "model.fga:4: `doc` is defined twice"],
    [
      '{"type_definitions": [{"type": "doc", "relations": {"aa": {"this": {}},\n"aa": {"this": {}}}}]}',
      "model.fga:2: the key `aa` stands there twice",
    ],
    ['{"type_definitions": 1}', "model.fga: this is not a model of OpenFGA"],
  ])("an invalid model is refused with its line: %#", (text, message) => {
    expect(() => fromOpenFga({ "model.fga": text })).toThrow(message);
  });

  test.each([
    ["tuples.csv", 'user_type,user_id,relation,object_type,object_id\nuser,"ann\n', "tuples.csv:2: Quote Not Closed"],
    [
      "tuples.jsonl",
      '{"user": "user:ann", "relation": "viewer", "object": "doc:1"}\n{"user',
      "tuples.jsonl:2: this is not a tuple",
    ],
  ])("a broken file of tuples is refused with its line: %s", (path, text, message) => {
    expect(() => fromOpenFga({ "model.fga": model, [path]: text }, "model.fga", [path])).toThrow(message);
  });

  test("an invalid tuple is refused with its line", () => {
    const files = {
      "model.fga": model,
      "tuples.yaml":
        "- {user: user:ann, relation: viewer, object: doc:1}\n- {user: ann, relation: viewer, object: doc:1}\n",
    };
    expect(() => fromOpenFga(files, "model.fga", ["tuples.yaml"])).toThrow("tuples.yaml:2: `ann` is not an object");
  });
});

test("names that Polar reserves or that become equal get other names", () => {
  const { policy, errors } = fromSpiceDb({
    "schema.zed": `definition actor {}
definition resource { relation not: actor
 permission if = not }
definition a/b {}
definition a_b { relation parent: a/b | a_b
 permission test = parent->test }`,
  });
  expect(errors).toEqual([]);
  expect(policy).toContain("actor ActorObject {}");
  expect(policy).toContain("resource ResourceObject {");
  expect(policy).toContain("resource AB {");
  expect(policy).toContain("resource AB2 {");
});

describe("facts that no rule reads", () => {
  test("are declared, so a node accepts them", () => {
    const { policy, facts, errors, warnings, untranslated } = fromOpenFga(
      {
        "model.fga": `model
  schema 1.1
type user
type doc
  relations
    define parent: [doc]
    define viewer: [user, user:*] but not viewer from parent
`,
        "tuples.yaml": `- { user: "doc:a", relation: parent, object: "doc:b" }
- { user: "user:*", relation: viewer, object: "doc:b" }
`,
      },
      "model.fga",
      ["tuples.yaml"],
    );
    expect({ errors, warnings }).toEqual({ errors: [], warnings: [] });
    expect(untranslated).toHaveLength(1);
    expect(policy).toContain("# No rule reads these facts.");
    const source = typeof policy === "string" ? policy : "";
    const active = prepare(
      must(checkPolicy([{ name: "p.polar", text: source }], { runTests: false }).policy),
      defaultLimits,
    );
    for (const text of facts) {
      const [, predicate = "", args = ""] = /^(\w+)\((.*)\)$/.exec(text) ?? [];
      const values = args.split(", ").map((each) => ({ type: each.split(":")[0] ?? "", id: each.split(":")[1] ?? "" }));
      expect(checkFactSchema({ predicate, args: values }, active)).toBeUndefined();
    }
    expect(facts).toHaveLength(2);
  });
});
