/** SQL from a template is, character by character, the SQL that is generated for the same question. */
import { afterAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../../scripts/built-binary.ts";
import { type DataBindings, parseBindings } from "../../src/local/bindings.ts";
import { LocalTemplates, type TemplateOptions } from "../../src/local/templates.ts";
import { must } from "../../src/util/assert.ts";
import { parseFact } from "../cases/case.ts";
import { insertion, openFilledEngine } from "../cases/engine-target.ts";
import { bindingLimits } from "./split.ts";

const example = join(projectRoot, "scripts", "example", "issues");
const read = (name: string): string => readFileSync(join(example, name), "utf8");

/** Recursion, the clock, names of users in rules and in signatures, and roles in the node. */
const manyKinds = `
actor User {}
global { roles = ["admin"]; }
resource Folder { roles = ["reader"]; relations = { parent: Folder }; "reader" if "reader" on "parent"; }
resource Doc {
  roles = ["reader", "writer"]; permissions = ["read", "write", "delete", "greet"]; relations = { folder: Folder };
  "reader" if "writer";
  "reader" if "reader" on "folder";
  "read" if "reader";
  "write" if "writer" and is_open(resource);
  "delete" if global "admin";
}
has_permission(user: User, "write", doc: Doc) if lease(user, doc, ends) and @current_unix_time < ends;
has_permission(user: User, "read", doc: Doc) if has_relation(doc, "folder", folder) and shared(folder) and user != User{"guest"};
has_permission(User{"root"}, "delete", _: Doc);
allow(user: User, action: String, resource: Resource) if has_permission(user, action, resource) and not is_banned(user);
`;
const ofManyKinds = {
  "has_relation(Doc:_, folder, Folder:_)": "SELECT id, folder FROM docs",
  "has_relation(Folder:_, parent, Folder:_)": "SELECT id, parent FROM folders",
  "has_role(User:_, reader, Folder:_)": "SELECT a, b FROM readers",
  "has_role(User:keeper, writer, Doc:_)": "SELECT id FROM kept",
  "is_open(Doc:_)": "SELECT id FROM docs WHERE open",
  "lease(User:_, Doc:_, Integer:_)": "SELECT a, b, c FROM leases",
};
const central = [
  "has_role(User:root, admin)",
  "has_role(User:ann, writer, Doc:7)",
  "has_role(User:ann, reader, Folder:1)",
  "has_role(User:bob, writer, Doc:7)",
  "is_banned(User:eve)",
  "shared(Folder:2)",
];

const policies = [
  {
    name: "issues",
    engine: openFilledEngine({
      policy: read("policy.polar"),
      facts: ["is_banned(User:eve)", "has_role(User:sue, support)"].map(parseFact),
      now: 1000,
    }),
    actions: ["read", "close", "unknown"],
    resource: "Issue",
    bindingsOf: (dialect: string, sqlTypes: Readonly<Record<string, string>>) => {
      const text = read("bindings.yaml")
        .replace("dialect: sqlite", `dialect: ${dialect}`)
        .replace(/sql_types:[^]*/, "");
      return `${text}sql_types: ${JSON.stringify(sqlTypes)}`;
    },
    sqlTypes: [{}, { User: "text", Organization: "integer", Repository: "integer", Issue: "integer" }],
  },
  {
    name: "many kinds of rules",
    engine: openFilledEngine({ policy: manyKinds, facts: central.map(parseFact), now: 1000 }),
    actions: ["read", "write", "delete", "greet", "unknown"],
    resource: "Doc",
    bindingsOf: (dialect: string, sqlTypes: Readonly<Record<string, string>>) =>
      JSON.stringify({
        ...{ dialect, sql_types: sqlTypes },
        facts: Object.fromEntries(Object.entries(ofManyKinds).map(([signature, query]) => [signature, { query }])),
      }),
    sqlTypes: [{}, { User: "text", Folder: "bigint", Doc: "bigint" }],
  },
];
afterAll(() => policies.forEach(({ engine }) => engine[Symbol.dispose]()));

const users = [
  ...["u1", "u2", "u3", "ann", "bob", "eve", "root", "sue", "guest", "keeper", "u4", "u4", "7", "A.b@c-d/e=f+g"],
  ...["it's", "a b", "😀", "ost.standin.a1", "ost.standin.b1", "2014567893", "x".repeat(512)],
];
const resources = ["1", "2", "3", "7", "07", "-5", "u1", "2014567893", "2017654329", "9223372036854775808", "it's"];

describe.each(policies)("$name", ({ engine: { engine }, actions, resource, bindingsOf, sqlTypes }) => {
  test.each(["sqlite", "postgres"].flatMap((dialect) => sqlTypes.map((types) => [dialect, types] as const)))(
    "%s, %j",
    (dialect, types) => {
      const text = bindingsOf(dialect, types);
      const warm = parseBindings(text, bindingLimits);
      let asked = 0;
      const compare = (ask: (bindings: DataBindings) => string): void => {
        // Templates belong to the object of the bindings.
        const [hot, cold] = [warm, { ...warm }].map((bindings) => attempt(() => ask(bindings)));
        expect(hot).toBe(cold as string);
        asked += 1;
      };
      for (const action of actions) {
        for (const id of users) {
          const actor = { type: "User", id };
          const question = { actor, action, resourceType: resource, column: "t.id", contextFacts: [] };
          compare((bindings) => engine.local.listSql({ ...question, bindings }));
          const withRole = [
            parseFact(`has_role(User:${JSON.stringify(id)}, reader, ${resource === "Doc" ? "Doc" : "Repository"}:5)`),
          ];
          if (id.length < 100)
            compare((bindings) => engine.local.listSql({ ...question, contextFacts: withRole, bindings }));
          for (const other of resources)
            compare((bindings) =>
              engine.local.authorizeSql({
                actor,
                action,
                resource: { type: resource, id: other },
                contextFacts: [],
                bindings,
              }),
            );
        }
        // Equal ids of equal types are another kind of question.
        const same = { type: "User", id: "u9" };
        compare((bindings) =>
          engine.local.authorizeSql({ actor: same, action, resource: same, contextFacts: [], bindings }),
        );
      }
      expect(asked).toBeGreaterThan(400);
    },
    120_000,
  );
});

test("a fact that is stored later counts", () => {
  using filled = openFilledEngine({ policy: manyKinds, facts: ["is_banned(User:x)"].map(parseFact), now: 1 });
  const bindings = parseBindings(policies[1]?.bindingsOf("sqlite", {}) ?? "", bindingLimits);
  const ask = (id: string): string =>
    filled.engine.local.listSql({
      actor: { type: "User", id },
      ...{ action: "read", resourceType: "Doc", column: "t.id", contextFacts: [], bindings },
    });
  const open = [ask("u1"), ask("u2"), ask("u3")];
  expect(open.every((sql, index) => sql.includes(`'u${index + 1}'`))).toBe(true);
  expect(ask("x")).toBe("FALSE");
  filled.apply(insertion(["is_banned(User:u4)", "has_role(User:u5, reader, Doc:doc5)"].map(parseFact)));
  expect(ask("u4")).toBe("FALSE");
  expect(ask("u5")).toContain("'doc5'");
  expect(ask("u6")).toBe(must(open[0]).replaceAll("'u1'", "'u6'"));
});

test("a fact about a stand-in refuses no question of others", () => {
  const policy = `
    actor User {} resource Doc {}
    allow(user: User, "read", doc: Doc) if is_vip(user) and near(user, friend) and friend matches User and owns(friend, doc);
    near(a: User, b: User) if near(a, c) and c matches User and near(c, b);`;
  const facts = ["is_vip(User:ost.standin.a1)", "is_vip(User:ost.standin.b1)"].map(parseFact);
  using filled = openFilledEngine({ policy, facts, now: 1 });
  const queries = { "near(User:_, User:_)": "SELECT a, b FROM near", "owns(User:_, Doc:_)": "SELECT a, b FROM owns" };
  const bound = Object.fromEntries(Object.entries(queries).map(([signature, query]) => [signature, { query }]));
  const bindings = parseBindings(JSON.stringify({ facts: bound }), bindingLimits);
  const ask = (id: string): string =>
    filled.engine.local.listSql({
      actor: { type: "User", id },
      ...{ action: "read", resourceType: "Doc", column: "t.id", contextFacts: [], bindings },
    });
  expect(["u1", "u2", "u3"].map(ask)).toEqual(["FALSE", "FALSE", "FALSE"]);
  expect(() => ask("ost.standin.a1")).toThrow("calls itself more than once");
});

test.each([
  ["short", 1000, 0],
  ["long", 100_000, 1],
])("%s SQL with other ids", (_, length, generations) => {
  const templates = new LocalTemplates(2);
  const bindings = parseBindings(policies[1]?.bindingsOf("sqlite", {}) ?? "", bindingLimits);
  const central = { facts: () => [], rows: () => [] };
  const options: TemplateOptions = {
    ...{ bindings, context: [], isNamed: () => false, central: () => central, now: () => 1 },
  };
  let generated = 0;
  const ask = (id: string): string => {
    const question = { key: "list", values: [{ type: "User", id }], names: [] };
    return templates.sql(question, options, (values, { central: reader }) => {
      generated += 1;
      reader((value) => value);
      return `'${values[0]?.id ?? ""}' ${" ".repeat(length)}`;
    });
  };
  expect(["u1", "u2"].map(ask)).toEqual(["u1", "u2"].map((id) => `'${id}' ${" ".repeat(length)}`));
  generated = 0;
  expect(ask("u3")).toStartWith("'u3' ");
  expect(generated).toBe(generations);
});

/** A time in the policy is compared while the SQL is generated, so a template would keep the decision. */
test.each([
  [
    "in a rule",
    `has_permission(user: User, "read", doc: Doc) if has_role(user, "reader", doc) and @current_unix_time < 2000;`,
  ],
  [
    "in a negation",
    `has_permission(user: User, "read", doc: Doc) if has_role(user, "reader", doc) and not is_over(doc);
     is_over(doc: Doc) if is_limited(doc) and @current_unix_time >= 2000;`,
  ],
  [
    "in the row of a rule",
    `has_permission(user: User, "read", doc: Doc) if has_role(user, "reader", doc) and not is_over(doc);
     is_over(doc: Doc) if ends(doc, moment) and moment <= @current_unix_time and is_limited(doc);`,
  ],
])("the clock counts, %s", (_, rule) => {
  let now = 1000;
  const policy = `actor User {} resource Doc { permissions = ["read"]; roles = ["reader"]; } ${rule}`;
  using filled = openFilledEngine({ policy, facts: ["ends(Doc:1, 2000)"].map(parseFact), now }, { clock: () => now });
  const queries = {
    "has_role(User:_, reader, Doc:_)": "SELECT a, b FROM readers",
    "is_limited(Doc:_)": "SELECT a FROM l",
  };
  const facts = Object.fromEntries(Object.entries(queries).map(([signature, query]) => [signature, { query }]));
  const warm = parseBindings(JSON.stringify({ dialect: "sqlite", facts }), bindingLimits);
  const ask = (id: string, bindings: DataBindings): string[] => {
    const question = { actor: { type: "User", id }, action: "read", contextFacts: [], bindings };
    return [
      filled.engine.local.listSql({ ...question, resourceType: "Doc", column: "t.id" }),
      filled.engine.local.authorizeSql({ ...question, resource: { type: "Doc", id: "1" } }),
    ];
  };
  const before = ["u1", "u2", "u3", "u4"].map((id) => ask(id, warm));
  now = 3000;
  const after = ask("u4", warm);
  expect(after).toEqual(ask("u4", { ...warm }));
  expect(after).not.toEqual(must(before[3]));
});

function attempt(ask: () => string): string {
  try {
    return ask();
  } catch (error) {
    return `refused: ${String(error)}`;
  }
}
