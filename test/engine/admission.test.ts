/**
 * Admission control: the cost bounds of statements, computed from SQLite's query plans and the statistics of the
 * tables.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { defaultLimits } from "../../src/config/limits.ts";
import { activationOf } from "../../src/policy/activation.ts";
import { readFactTypes } from "../../src/policy/head-facts.ts";
import { costBoundOf } from "../../src/engine/query/cost-bound.ts";
import { Engine } from "../../src/engine/engine.ts";
import { OffloadRequired } from "../../src/engine/query/offload-required.ts";
import { checkPolicy } from "../../src/engine/validation/policy-check.ts";
import { Planner } from "../../src/engine/query/planner.ts";
import type { Shape, ShapeVariable } from "../../src/engine/query/shapes.ts";
import type { SqlStatement } from "../../src/runtime/sqlite.ts";
import type { Connection } from "../../src/store/connection/connection.ts";
import { TableStatistics } from "../../src/store/statistics/table-statistics.ts";
import { must } from "../../src/util/assert.ts";
import { policySpec, writePolicy } from "../fuzz/policy.ts";
import { quota, randomTestMs, seededRuns } from "../seeds.ts";
import { entityTypes } from "../fuzz/rules.ts";
import { apply, deleted, fact, inserted, policy, storeWith } from "./store.ts";

const one = (type: string): ShapeVariable => ({ type, mode: "one", constant: undefined });
const free = (type: string): ShapeVariable => ({ type, mode: "free", constant: undefined });
const text = (id: string): ShapeVariable => ({ type: "String", mode: "constant", constant: { type: "String", id } });

function shapeOf(...variables: ShapeVariable[]): Shape {
  return { calls: [{ predicate: "allow/3", variables: [0, 1, 2] }], variables, context: [] };
}

function plannerOf(store: Connection): Planner {
  const statistics = new TableStatistics(store);
  const types = readFactTypes(store, must(activationOf(store)).active, statistics);
  return new Planner(store, types, defaultLimits, "statement", statistics);
}

/** `undefined` if no statement answers. */
function costBound(store: Connection, shape: Shape, listed = 1, planner = plannerOf(store)): number | undefined {
  const plan = planner.planFor(JSON.stringify(shape), shape);
  if (plan.kind !== "statement") return undefined;
  return costBoundOf(store, plan)({ statistics: new TableStatistics(store), listed });
}

const teams = `
  actor User {}
  actor Team { relations = { member: User }; }
  resource Note { roles = ["reader"]; permissions = ["read"]; "read" if "reader"; }
  has_role(user: User, "reader", note: Note) if team matches Team and is_in(user, team) and has_role(team, "reader", note);`;
const isIn = (user: number, team: number) => fact("is_in", `User:${user}`, `Team:${team}`);
const reader = (who: string, note: number) => fact("has_role", who, "String:reader", `Note:${note}`);
const times = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => make(index));

describe("the cost bound of a decision", () => {
  const mayRead = shapeOf(one("User"), text("read"), one("Note"));

  test("grows with the maximum number of teams of one user, not with the number of teams or notes", () => {
    const store = storeWith(policy(teams));
    const before = must(costBound(store, mayRead));
    apply(
      store,
      inserted(...times(500, (index) => isIn(index, index % 50)), ...times(900, (index) => reader("User:1", index))),
    );
    expect(must(costBound(store, mayRead))).toBeLessThan(before + 10);
    apply(store, inserted(...times(300, (team) => isIn(1, team))));
    const crowded = must(costBound(store, mayRead));
    expect(crowded).toBeGreaterThanOrEqual(300);
    expect(crowded).toBeLessThan(2000);
  });

  test("is the product of the lengths of the lists in the question", () => {
    const store = storeWith(policy(teams), inserted(isIn(1, 1), reader("Team:1", 1)));
    const shape = shapeOf({ type: "User", mode: "several", constant: undefined }, text("read"), one("Note"));
    const [few, many] = [must(costBound(store, shape, 2)), must(costBound(store, shape, 2000))];
    expect(few).toBeGreaterThanOrEqual(2);
    expect(many).toBeGreaterThanOrEqual(2000);
    // The list is searched for the string of each value.
    expect(many).toBeLessThan(10_000_000);
  });
});

test("on the serving thread, a question with many calls is offloaded before it is planned", () => {
  const store = storeWith(policy(teams));
  const facts = readFactTypes(store, must(activationOf(store)).active, new TableStatistics(store));
  const limits = { ...defaultLimits, servingThreadQueryCallsMax: 2 };
  const asked = (calls: number): Shape => ({
    ...shapeOf(one("User"), text("read"), one("Note")),
    calls: times(calls, () => ({ predicate: "allow/3", variables: [0, 1, 2] })),
  });
  const plannerFor = (onServingThread: boolean) =>
    new Planner(store, facts, limits, "statement", new TableStatistics(store), { onServingThread });
  expect(plannerFor(true).planFor("two", asked(2)).kind).toBe("statement");
  expect(() => plannerFor(true).planFor("three", asked(3))).toThrow(OffloadRequired);
  expect(plannerFor(false).planFor("three", asked(3)).kind).toBe("statement");
});

test("a list may examine everything that many teams have", () => {
  const store = storeWith(policy(teams));
  apply(
    store,
    inserted(...times(100, (team) => isIn(1, team)), ...times(1000, (note) => reader(`Team:${note % 4}`, note))),
  );
  const found = must(costBound(store, shapeOf(one("User"), text("read"), free("Note"))));
  // Each of the 100 teams may have as many notes as the team with the most, which has 250.
  expect(found).toBeGreaterThanOrEqual(25_000);
  expect(found).toBeLessThan(200_000);
});

test("a list of constants that no rule mentions one by one counts with its length", () => {
  const tags = ["a", "b", "c", "d"];
  const tagged = `
    actor User {}
    resource Note { permissions = ["read"]; }
    tag(user: User, name: String, note: Note) if tagged(user, name, note);
    ${tags.map((name) => `has_permission(user: User, "read", note: Note) if tag(user, "${name}", note);`).join("\n")}`;
  const facts = tags.flatMap((name) =>
    times(50, (note) => fact("tagged", "User:1", `String:${name}`, `Note:${name}${note}`)),
  );
  // All facts together are many more, so the maximum for one user does not restrict the bound.
  const others = times(4000, (note) => fact("tagged", "User:2", `String:other${note}`, `Note:${note}`));
  const store = storeWith(policy(tagged), inserted(...facts), inserted(...others));
  expect(must(costBound(store, shapeOf(one("User"), text("read"), free("Note"))))).toBeGreaterThanOrEqual(200);
});

test("recursion without a closure is bounded by what it can reach", () => {
  const nested = `
    actor User {}
    resource Folder { roles = ["reader"]; permissions = ["read"]; relations = { parent: Folder };
      "read" if "reader"; }
    has_role(user: User, "reader", folder: Folder) if
      has_relation(folder, "parent", above) and not sealed(folder) and has_role(user, "reader", above);`;
  const parent = (child: number) => fact("has_relation", `Folder:${child}`, "String:parent", `Folder:${child + 1}`);
  const store = storeWith(policy(nested), inserted(...times(20, parent)));
  const shape = shapeOf(one("User"), text("read"), one("Folder"));
  const few = must(costBound(store, shape));
  expect(few).toBeGreaterThanOrEqual(20);
  expect(few).toBeLessThan(100_000);
  apply(store, inserted(...times(1000, (index) => parent(index + 20))));
  expect(must(costBound(store, shape))).toBeGreaterThan(few * 20);
});

test("an engine on the serving thread refuses a query with a high cost bound, and accepts it again when the bound falls", () => {
  const store = storeWith(policy(teams), inserted(...times(50, (team) => isIn(1, team)), reader("Team:7", 1)));
  const limits = { ...defaultLimits, servingThreadQueryRowsMax: 1000 };
  const engine = new Engine(store, { limits, onServingThread: true });
  const question = {
    actor: { type: "User", id: "1" },
    action: "read",
    resource: { type: "Note", id: "1" },
    contextFacts: [],
  };
  expect(engine.authorize(question)).toBe(true);
  const crowd = [...times(1000, (team) => isIn(2, team)), ...times(1000, (team) => reader(`Team:${team}`, 2))];
  apply(store, inserted(...crowd));
  expect(() => engine.authorize({ ...question, actor: { type: "User", id: "3" } })).toThrow(OffloadRequired);
  expect(new Engine(store, { limits }).authorize(question)).toBe(true);
  apply(store, deleted(...crowd), { kind: "clear" });
  expect(engine.authorize(question)).toBe(false);
});

test("the evaluator has a limit of steps on the serving thread", () => {
  const knows = `
    actor User {} resource Note { permissions = ["read"]; }
    has_permission(user: User, "read", note: Note) if near(user, other) and near(other, user) and owns(other, note);
    near(a: User, b: User) if knows(a, b);
    near(a: User, c: User) if near(a, b) and near(b, c);`;
  const known = times(60, (index) => fact("knows", `User:${index}`, `User:${(index + 1) % 60}`));
  const store = storeWith(policy(knows), inserted(...known, fact("owns", "User:9", "Note:1")));
  const question = {
    actor: { type: "User", id: "1" },
    action: "read",
    resource: { type: "Note", id: "1" },
    contextFacts: [],
  };
  const limits = { ...defaultLimits, servingThreadQueryStepsMax: 100 };
  const options = { limits, strategy: "evaluator" as const };
  expect(() => new Engine(store, { ...options, onServingThread: true }).authorize(question)).toThrow(OffloadRequired);
  expect(new Engine(store, options).authorize(question)).toBe(true);
});

describe("the number of rows read at a time is bounded, too:", () => {
  const source = `
    actor User {} resource Note { permissions = ["read", "open"]; }
    has_permission(user: User, "read", note: Note) if near(user, other) and owns(other, note);
    has_permission(_: User, "open", _: Note) if other matches User and not lonely(other);
    lonely(user: User) if not near(user, user);
    near(a: User, b: User) if knows(a, b);
    near(a: User, c: User) if near(a, b) and near(b, c);`;
  const people = times(3000, (index) => fact("knows", `User:${index % 2}`, `User:${index}`));
  const limits = { ...defaultLimits, servingThreadQueryStepsMax: 500, servingThreadQueryRowsMax: 1000 };

  function engineOver(strategy: "statement" | "evaluator") {
    const store = storeWith(policy(source), inserted(...people, fact("owns", "User:0", "Note:1")));
    const rowsMax = measured(store);
    return { engine: new Engine(store, { limits, strategy, onServingThread: true }), rowsMax };
  }

  test.each([
    ["facts", "read"],
    ["values of a type", "open"],
  ])("%s", (_, action) => {
    const { engine, rowsMax } = engineOver("evaluator");
    const resource = { type: "Note", id: "1" };
    expect(() => engine.authorize({ actor: { type: "User", id: "0" }, action, resource, contextFacts: [] })).toThrow(
      OffloadRequired,
    );
    expect(rowsMax()).toBeLessThan(1100);
  });

  test("facts that a client reads", () => {
    const { engine } = engineOver("statement");
    const any = { type: null, id: null };
    expect(() => engine.facts({ predicate: "knows", args: [{ type: "User", id: "0" }, any] })).toThrow(OffloadRequired);
    expect(() => engine.facts({ predicate: "knows", args: [any, { type: "User", id: "0" }] })).toThrow(OffloadRequired);
    expect(engine.facts({ predicate: "owns", args: [{ type: "User", id: "0" }, any] })).toHaveLength(1);
  });
});

/** The maximum number of rows that one statement of the store has returned since this call. */
function measured(store: Connection): () => number {
  let most = 0;
  const measure = (statement: SqlStatement): SqlStatement => {
    const values: typeof statement.values = (...parameters) => {
      const rows = statement.values(...parameters);
      most = Math.max(most, rows.length);
      return rows;
    };
    return {
      run: statement.run.bind(statement),
      values,
      rows: values,
      finalize: () => statement.finalize(),
    };
  };
  const [prepare, cached] = [store.prepare.bind(store), store.statement.bind(store)];
  store.prepare = (sql) => measure(prepare(sql));
  store.statement = (sql) => measure(cached(sql));
  return () => most;
}

test.each(seededRuns(20_253, 4))(
  "every statement of $runs random policies with seed $seed has a cost bound: all words in SQLite's query plans are known",
  ({ seed, runs, isKnown }) => {
    let statements = 0;
    const property = fc.property(policySpec.map(writePolicy), (source) => {
      if (!checkPolicy([{ name: "random.polar", text: source }], { runTests: false }).policy) return;
      const store = storeWith(policy(source));
      const planner = plannerOf(store);
      for (const [actor, resource] of entityTypes.flatMap((left) =>
        entityTypes.map((right) => [left, right] as const),
      )) {
        const asked = [one(resource), free(resource)].map((variable) => shapeOf(one(actor), free("String"), variable));
        for (const shape of [...asked, shapeOf(free(actor), text("read"), one(resource))]) {
          const found = costBound(store, shape, 1, planner);
          if (found === undefined) continue;
          expect(found).toBeGreaterThan(0);
          expect(found).toBeLessThan(Number.POSITIVE_INFINITY);
          statements += 1;
        }
      }
      store.close();
    });
    fc.assert(property, { numRuns: runs, seed });
    console.log(`seed ${seed}, ${runs} policies: ${statements} statements`);
    expect(statements).toBeGreaterThanOrEqual(quota(runs, 7, isKnown));
  },
  randomTestMs,
);
