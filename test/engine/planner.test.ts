/** Planning: no statement scans a whole fact table if a given value restricts it, and linear recursion becomes SQL. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { defaultLimits } from "../../src/config/limits.ts";
import { activationOf } from "../../src/policy/activation.ts";
import { readFactTypes } from "../../src/policy/head-facts.ts";
import { activate } from "../../src/policy/active-policy.ts";
import { applyEvent } from "../../src/log/state/apply.ts";
import { Engine } from "../../src/engine/engine.ts";
import { indexOrders } from "../../src/datalog/analysis/index-orders.ts";
import { type Plan, Planner } from "../../src/engine/query/planner.ts";
import type { ShapeVariable } from "../../src/engine/query/shapes.ts";
import type { Connection } from "../../src/store/connection/connection.ts";
import { TableStatistics } from "../../src/store/statistics/table-statistics.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import { factTable } from "../../src/store/facts/fact-tables.ts";
import { createState } from "../../src/store/log/store-state.ts";
import { findSymbol } from "../../src/store/facts/symbols.ts";
import { must } from "../../src/util/assert.ts";
import { companyOf, factsOf } from "../../scripts/benchmark/company.ts";
import type { Fact } from "../../src/store/facts/fact.ts";
import { insertion } from "../cases/engine-target.ts";

const example = readFileSync(join(import.meta.dirname, "../../scripts/example/policy.polar"), "utf8");

function planner(
  policy: string,
  facts: readonly Fact[] = [],
): { store: Connection; plan(variables: ShapeVariable[]): Plan } {
  const store = openStore(":memory:");
  createState(store, "test", "test");
  store.transaction(() =>
    applyEvent(store, {
      offset: 1,
      timeMs: 0,
      traceparent: null,
      effect: { kind: "policy", id: 1, source: policy, filename: null },
    }),
  );
  store.transaction(() => applyEvent(store, { offset: 2, timeMs: 0, traceparent: null, effect: insertion(facts) }));
  const plans = new Planner(
    store,
    readFactTypes(store, must(activationOf(store)).active, new TableStatistics(store)),
    defaultLimits,
    "statement",
    new TableStatistics(store),
  );
  const calls = [{ predicate: "allow/3", variables: [0, 1, 2] }];
  return {
    store,
    plan: (variables) => plans.planFor(JSON.stringify(variables), { calls, variables, context: [] }),
  };
}

const one = (type: string): ShapeVariable => ({ type, mode: "one", constant: undefined });
const free = (type: string): ShapeVariable => ({ type, mode: "free", constant: undefined });
const constant = (id: string): ShapeVariable => ({
  type: "String",
  mode: "constant",
  constant: { type: "String", id },
});

function steps(store: Connection, plan: Plan): string[] {
  if (plan.kind !== "statement") return [];
  const rows = store.prepare(`EXPLAIN QUERY PLAN ${plan.sql}`).values(...plan.parameters.map(() => null));
  return rows.map((row) => String(row[3]));
}

/** Steps of a query plan that scan a fact table. Tables have aliases in statements (`t7`); only fact tables count. */
function factScans(store: Connection, plan: Plan): string[] {
  if (plan.kind !== "statement") return [];
  const factAliases = new Set([...plan.sql.matchAll(/\bfact_\d+ AS (t\d+)/g)].map((match) => match[1]));
  return steps(store, plan).filter((step) => factAliases.has(/^SCAN (t\d+)/.exec(step)?.[1]));
}

/** Steps that read a table. */
function stepsOn(store: Connection, plan: Plan, table: string): string[] {
  if (plan.kind !== "statement") return [];
  const aliases = new Set(plan.loops.filter((loop) => loop.table === table).map(({ alias }) => alias));
  return steps(store, plan).filter((step) => aliases.has(/^(?:SCAN|SEARCH) (t\d+)/.exec(step)?.[1] ?? ""));
}

describe.each([
  ["before there are facts", []],
  ["with ten thousand facts", [...factsOf(companyOf(10_000, 1))] as Fact[]],
])("the example company %s", (_name, facts) => {
  const { store, plan } = planner(example, facts);
  const questions: [string, ShapeVariable[]][] = ["Organization", "Team", "Folder", "Repository", "Issue"].flatMap(
    (type): [string, ShapeVariable[]][] => [
      [`authorize read ${type}`, [one("User"), constant("read"), one(type)]],
      [`authorize an unknown action on ${type}`, [one("User"), one("String"), one(type)]],
      [`actions on ${type}`, [one("User"), free("String"), one(type)]],
    ],
  );
  test.each(questions)("%s uses indexes only", (_, variables) => {
    const made = plan(variables);
    expect(made.kind).toBe("statement");
    expect(factScans(store, made)).toEqual([]);
  });

  test.each([
    ["Folder", "create_repository"],
    ["Repository", "delete"],
    ["Organization", "delete"],
  ])("who may, for a %s, starts from the resource", (type, action) => {
    const made = plan([free("User"), constant(action), one(type)]);
    expect(made.kind).toBe("statement");
    expect(factScans(store, made)).toEqual([]);
  });

  test("no parameter stands alone, or SQLite would plan the statement again for each question", () => {
    for (const [, variables] of questions) {
      const made = plan(variables);
      expect(made.kind === "statement" && made.sql.match(/[^(]\?\d/)).toBeNull();
    }
  });

  test("the index on a folder is preferred to one on role names", () => {
    const made = plan([one("User"), constant("write"), one("Repository")]);
    const indexes = steps(store, made).flatMap(
      (step) => /USING COVERING INDEX fact_\d+_by_(\S+)/.exec(step)?.[1] ?? [],
    );
    expect(indexes.length).toBeGreaterThan(0);
    expect(indexes.filter((order) => order.startsWith("2_"))).toEqual([]);
  });

  test("the facts of an actor are found with one search, restricted to the right type", () => {
    const roles = must(factTable(store, "has_role", 3));
    const made = plan([one("User"), constant("read"), one("Repository")]);
    const lookups = stepsOn(store, made, roles);
    expect(lookups.length).toBeGreaterThan(4);
    for (const lookup of lookups) expect(lookup).toMatch(new RegExp(`INDEX ${roles}_by_1_3_2 \\(a1=\\? AND a3`));
  });

  test.each(["Folder", "Repository"])("list %s starts from the user", (type) => {
    const made = plan([one("User"), constant("write"), free(type)]);
    expect(made.kind).toBe("statement");
    expect(factScans(store, made)).toEqual([]);
  });
});

describe("recursion", () => {
  const head =
    'actor User {} resource Folder { roles = ["reader"]; permissions = ["read"]; relations = { parent: Folder }; ';

  test("over stored facts alone reads its closure and does not recurse", () => {
    const { store, plan } = planner(`${head} "read" if "reader"; role if role on "parent"; }`);
    const made = plan([one("User"), constant("read"), one("Folder")]);
    expect(made.kind).toBe("statement");
    expect(made.kind === "statement" && made.sql).toContain("closure_1");
    expect(steps(store, made).filter((step) => step.startsWith("RECURSIVE STEP"))).toEqual([]);
    expect(factScans(store, made)).toEqual([]);
  });

  test("with a condition on the path becomes one statement, which walks up from the resource and back", () => {
    const { store, plan } = planner(
      `${head} "read" if "reader"; }
      has_role(u: User, "reader", f: Folder) if
        up matches Folder and has_relation(f, "parent", up) and has_role(u, "reader", up) and not sealed(f);`,
    );
    const made = plan([one("User"), constant("read"), one("Folder")]);
    expect(made.kind).toBe("statement");
    expect(steps(store, made).filter((step) => step.startsWith("RECURSIVE STEP"))).toHaveLength(2);
    expect(factScans(store, made)).toEqual([]);
  });

  test("that is not linear goes to the evaluator", () => {
    const { plan } = planner(`${head} "read" if reaches(resource, resource); }
      reaches(a: Folder, c: Folder) if b matches Folder and reaches(a, b) and reaches(b, c);
      reaches(a: Folder, b: Folder) if has_relation(a, "parent", b);`);
    expect(plan([one("User"), constant("read"), one("Folder")]).kind).toBe("evaluator");
  });
});

describe("any of several roles", () => {
  const source = `
    actor User {}
    resource Folder { roles = ["reader", "writer", "visitor"]; permissions = ["read", "visit"]; relations = { parent: Folder };
      "reader" if "writer"; "read" if "reader"; "visit" if "visitor"; role if role on "parent"; }`;
  const role = (user: string, name: string, folder: number): Fact => ({
    predicate: "has_role",
    args: [
      { type: "User", id: user },
      { type: "String", id: name },
      { type: "Folder", id: String(folder) },
    ],
  });
  const several = Array.from({ length: 40 }, (_, folder) => role("ann", folder % 2 ? "reader" : "writer", folder));
  const asked = [one("User"), constant("read"), one("Folder")];
  const looksAt = (facts: readonly Fact[], variables = asked): string[] => {
    const { store, plan } = planner(source, facts);
    const made = plan(variables);
    const ranges = stepsOn(store, made, must(factTable(store, "has_role", 3))).filter((step) => step.includes("a3>?"));
    return ranges.map((step) => step.replace(/^SEARCH t\d+ USING /, ""));
  };

  test("is one lookup, however many roles there are", () => {
    expect(looksAt(several)).toEqual([expect.stringMatching(/^COVERING INDEX fact_\d+_by_1_3_2 \(a1=\? AND a3>/)]);
  });

  test("is one lookup if users have few other roles, and one for each role if they have many", () => {
    const besides = (count: number) => Array.from({ length: count }, (_, folder) => role("bob", "visitor", folder));
    expect(looksAt([...several, ...besides(16)])).toHaveLength(1);
    expect(looksAt([...several, ...besides(17)])).toEqual([
      "PRIMARY KEY (a1=? AND a2=? AND a3>? AND a3<?)",
      "PRIMARY KEY (a1=? AND a2=? AND a3>? AND a3<?)",
    ]);
    const listing = [one("User"), constant("read"), free("Folder")];
    const whole = "PRIMARY KEY (a1=? AND a2=? AND a3>? AND a3<?)";
    expect(looksAt([...several, ...besides(16)], listing)).toContainEqual(expect.stringContaining("_by_1_3_2"));
    expect(looksAt([...several, ...besides(17)], listing)).toEqual([whole, whole]);
  });

  test("is also one lookup if rules pass on the role that they are asked for", () => {
    const steps = Array.from(
      { length: 20 },
      (_, step) => `grant${step}(user: User, role: String, folder: Folder) if grant${step + 1}(user, role, folder);`,
    );
    const orders = indexOrders(
      activate(
        `${source} has_role(user: User, role: String, folder: Folder) if grant0(user, role, folder); ${steps.toReversed().join("\n")}`,
        null,
      ).program,
    );
    expect(orders.get("grant20/3")).toEqual([
      [2, 0, 1],
      [0, 2, 1],
    ]);
  });
});

test("a prefix that several clauses share is looked up once, if it has few rows", () => {
  const source = `
    actor User {} resource Organization { roles = ["owner"]; }
    resource Folder { roles = ["admin"]; permissions = ["delete"];
      relations = { organization: Organization, parent: Folder };
      "admin" if "owner" on "organization"; "admin" if "admin" on "parent"; "delete" if "admin"; }`;
  const fact = (predicate: string, ...args: string[]): Fact => ({
    predicate,
    args: args.map((arg) => ({ type: must(arg.split(":")[0]), id: must(arg.split(":")[1]) })),
  });
  const owns = (count: number) =>
    Array.from({ length: count }, (_, organization) =>
      fact("has_role", "User:ann", "String:owner", `Organization:${organization}`),
    );
  const inside = [
    fact("has_relation", "Folder:0", "String:organization", "Organization:0"),
    ...Array.from({ length: 8 }, (_, above) =>
      fact("has_relation", `Folder:${above + 1}`, "String:parent", `Folder:${above}`),
    ),
  ];
  const looksForOwners = (facts: readonly Fact[]): number => {
    const { store, plan } = planner(source, facts);
    const made = plan([one("User"), constant("delete"), one("Folder")]);
    const owner = must(findSymbol(store, { type: "String", id: "owner" }));
    return (made.kind === "statement" ? made.sql : "").split(`a2 = ${owner}`).length - 1;
  };
  expect(looksForOwners([...inside, ...owns(1)])).toBe(1);
  expect(looksForOwners([...inside, ...owns(4)])).toBe(1);
  // The folder's organization and those of its ancestors are one clause, unless an organization has many folders.
  expect(looksForOwners([...inside, ...owns(5)])).toBe(1);
  const large = Array.from({ length: 33 }, (_, other) =>
    fact("has_relation", `Folder:other${other}`, "String:organization", "Organization:1"),
  );
  expect(looksForOwners([...inside, ...large, ...owns(4)])).toBe(1);
  expect(looksForOwners([...inside, ...large, ...owns(5)])).toBe(2);

  const { store } = planner(source, [...inside, ...owns(1)]);
  const engine = new Engine(store, { inTransaction: true });
  const may = (user: string, folder: string): boolean =>
    engine.authorize({
      actor: { type: "User", id: user },
      action: "delete",
      resource: { type: "Folder", id: folder },
      contextFacts: [],
    });
  expect([may("ann", "0"), may("ann", "8"), may("bob", "8"), may("ann", "9")]).toEqual([true, true, false, false]);
});

test("roles on a resource or on one of its ancestors are one lookup, if they are few", () => {
  const source = `
    actor User {} actor Team {}
    resource Folder { roles = ["admin", "owner"]; permissions = ["delete", "sell"]; relations = { parent: Folder };
      "admin" if "admin" on "parent"; "owner" if "owner" on "parent"; "delete" if "admin"; "sell" if "owner"; }
    has_role(user: User, "owner", folder: Folder) if
      team matches Team and is_in(user, team) and owns(team, folder);`;
  const fact = (predicate: string, ...args: string[]): Fact => ({
    predicate,
    args: args.map((arg) => ({ type: must(arg.split(":")[0]), id: must(arg.split(":")[1]) })),
  });
  // So deep that it would not pay to visit all ancestors.
  const folders = Array.from({ length: 40 }, (_, above) =>
    fact("has_relation", `Folder:${above + 1}`, "String:parent", `Folder:${above}`),
  );
  const roles = (name: string, role: string, count: number): Fact[] =>
    Array.from({ length: count }, (_, other) => fact("has_role", name, `String:${role}`, `Folder:other${other}`));
  const owned = (count: number) =>
    Array.from({ length: count }, (_, other) => fact("owns", "Team:red", `Folder:other${other}`));
  const lookups = (action: string, facts: readonly Fact[]): number => {
    const { store, plan } = planner(source, facts);
    const made = plan([one("User"), constant(action), one("Folder")]);
    const tables = [factTable(store, "has_role", 3), factTable(store, "owns", 2)];
    return tables.flatMap((table) => stepsOn(store, made, must(table))).length;
  };
  const few = [...folders, fact("is_in", "User:bob", "Team:red"), fact("owns", "Team:red", "Folder:1")];
  expect(lookups("delete", [...few, ...roles("User:ann", "admin", 32)])).toBe(1);
  expect(lookups("delete", [...few, ...roles("User:ann", "admin", 33)])).toBe(2);
  // One lookup for the roles of the user, and one for those of a team.
  expect(lookups("sell", [...few, ...roles("User:ann", "owner", 1)])).toBe(2);
  expect(lookups("sell", [...few, ...roles("User:ann", "owner", 1), ...owned(33)])).toBe(3);

  const { store } = planner(source, [...few, fact("has_role", "User:ann", "String:owner", "Folder:1")]);
  const engine = new Engine(store, { inTransaction: true });
  const sells = (user: string): string[] =>
    ["0", "1", "2", "40", "41"].filter((id) =>
      engine.authorize({
        actor: { type: "User", id: user },
        action: "sell",
        resource: { type: "Folder", id },
        contextFacts: [],
      }),
    );
  expect([sells("ann"), sells("bob"), sells("cat")]).toEqual([["1", "2", "40"], ["1", "2", "40"], []]);
});

test("an action that no rule grants needs no statement at all", () => {
  const { plan } = planner('actor User {} resource Doc { roles = ["r"]; permissions = ["p", "q"]; "p" if "r"; }');
  expect(plan([one("User"), constant("q"), one("Doc")])).toEqual({ kind: "nothing" });
});

test("joins begin with the fewest rows for the given values, and change when the store has grown", () => {
  const source = `
    actor User {} actor Team {}
    resource Note { permissions = ["read"]; }
    has_permission(user: User, "read", note: Note) if is_in(user, team) and shares(team, note) and team matches Team;`;
  const fact = (predicate: string, user: string, id: number, type: string, other: number) => ({
    predicate,
    args: [
      { type: user, id: String(id) },
      { type, id: String(other) },
    ],
  });
  const { store } = planner(source);
  const engine = new Engine(store, { inTransaction: true });
  const mayRead = (user: string) =>
    engine.authorize({
      actor: { type: "User", id: user },
      action: "read",
      resource: { type: "Note", id: "1" },
      contextFacts: [],
    });
  const insert = (facts: ReturnType<typeof fact>[]): void =>
    store.transaction(() =>
      applyEvent(store, {
        offset: 2,
        timeMs: 0,
        traceparent: null,
        effect: { kind: "facts", inserted: facts, deleted: [] },
      }),
    );
  const firstTable = (): string => {
    const plans = new Planner(
      store,
      readFactTypes(store, must(activationOf(store)).active, new TableStatistics(store)),
      defaultLimits,
      "statement",
      new TableStatistics(store),
    );
    const variables = [one("User"), constant("read"), one("Note")];
    const plan = plans.planFor("question", {
      calls: [{ predicate: "allow/3", variables: [0, 1, 2] }],
      variables,
      context: [],
    });
    if (plan.kind !== "statement") throw new Error("no statement");
    return must(plan.loops[0]?.table);
  };
  const members = must(factTable(store, "is_in", 2));
  expect(firstTable()).toBe(members);
  // One user is in many teams, but few teams share a note.
  insert(Array.from({ length: 500 }, (_, team) => fact("is_in", "User", 1, "Team", team)));
  insert([fact("shares", "Team", 7, "Note", 1)]);
  expect(firstTable()).toBe(must(factTable(store, "shares", 2)));
  expect(mayRead("1")).toBe(true);
  // Many teams share a note, by far more than one user is in.
  insert(Array.from({ length: 30_000 }, (_, team) => fact("shares", "Team", team + 1000, "Note", 1)));
  expect(firstTable()).toBe(members);
  expect(mayRead("1")).toBe(true);
  expect(mayRead("2")).toBe(false);
});
