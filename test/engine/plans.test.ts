/** How questions are planned: no statement walks a whole fact table where a value is given to start from, and recursion becomes SQL where it is linear. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { defaultLimits } from "../../src/config/limits.ts";
import { activationOf } from "../../src/engine/active-policies.ts";
import { applyEvent } from "../../src/engine/apply.ts";
import { type Plan, Plans, type ShapeVariable } from "../../src/engine/plans.ts";
import type { SqlDatabase } from "../../src/runtime/sqlite.ts";
import { openStore } from "../../src/store/database.ts";
import { createState } from "../../src/store/state.ts";
import { must } from "../../src/util/assert.ts";

const example = readFileSync(join(import.meta.dir, "../../scripts/example/policy.polar"), "utf8");

function planner(policy: string): { store: SqlDatabase; plan(variables: ShapeVariable[]): Plan } {
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
  const plans = new Plans(store, must(activationOf(store)).active, defaultLimits, "statement");
  const calls = [{ predicate: "allow/3", variables: [0, 1, 2] }];
  return {
    store,
    plan: (variables) => plans.of(JSON.stringify(variables), () => ({ calls, variables, context: [], sorted: true })),
  };
}

const one = (type: string): ShapeVariable => ({ type, mode: "one", constant: undefined });
const free = (type: string): ShapeVariable => ({ type, mode: "free", constant: undefined });
const constant = (id: string): ShapeVariable => ({
  type: "String",
  mode: "constant",
  constant: { type: "String", id },
});

function steps(store: SqlDatabase, plan: Plan): string[] {
  if (plan.kind !== "statement") return [];
  const rows = store.prepare(`EXPLAIN QUERY PLAN ${plan.sql}`).values(...plan.parameters.map(() => null));
  return rows.map((row) => String(row[3]));
}

/** Steps that read all of a fact table. Tables have names in statements (`t7`); only those of facts are meant. */
function factScans(store: SqlDatabase, plan: Plan): string[] {
  if (plan.kind !== "statement") return [];
  const factAliases = new Set([...plan.sql.matchAll(/\bfact_\d+ AS (t\d+)/g)].map((match) => match[1]));
  return steps(store, plan).filter((step) => factAliases.has(/^SCAN (t\d+)/.exec(step)?.[1]));
}

describe("the example company", () => {
  const { store, plan } = planner(example);
  const questions: [string, ShapeVariable[]][] = ["Organization", "Team", "Folder", "Repository", "Issue"].flatMap(
    (type): [string, ShapeVariable[]][] => [
      [`authorize read ${type}`, [one("User"), constant("read"), one(type)]],
      [`authorize an unknown action on ${type}`, [one("User"), one("String"), one(type)]],
      [`actions on ${type}`, [one("User"), free("String"), one(type)]],
    ],
  );
  test.each(questions)("%s probes indexes only", (_, variables) => {
    const made = plan(variables);
    expect(made.kind).toBe("statement");
    expect(factScans(store, made)).toEqual([]);
  });

  test.each([
    ["Folder", "create_repository"],
    ["Repository", "delete"],
    ["Organization", "delete"],
  ])("who may, for a %s, starts from it", (type, action) => {
    const made = plan([free("User"), constant(action), one(type)]);
    expect(made.kind).toBe("statement");
    expect(factScans(store, made)).toEqual([]);
  });

  test("no parameter stands bare, or SQLite would plan the statement anew for each question", () => {
    for (const [, variables] of questions) {
      const made = plan(variables);
      expect(made.kind === "statement" && made.sql.match(/[^(]\?\d/)).toBeNull();
    }
  });

  test("the index on a folder is not passed over for one on names of roles", () => {
    const made = plan([one("User"), constant("write"), one("Repository")]);
    const indexes = steps(store, made).flatMap(
      (step) => /USING COVERING INDEX fact_\d+_by_(\S+)/.exec(step)?.[1] ?? [],
    );
    expect(indexes.length).toBeGreaterThan(0);
    expect(indexes.filter((order) => order.startsWith("2_"))).toEqual([]);
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

  test("over stored facts alone reads its closure and walks nothing", () => {
    const { store, plan } = planner(`${head} "read" if "reader"; role if role on "parent"; }`);
    const made = plan([one("User"), constant("read"), one("Folder")]);
    expect(made.kind).toBe("statement");
    expect(made.kind === "statement" && made.sql).toContain("closure_1");
    expect(steps(store, made).filter((step) => step.startsWith("RECURSIVE STEP"))).toEqual([]);
    expect(factScans(store, made)).toEqual([]);
  });

  test("with a condition on the way becomes one statement, walking up from the resource and back", () => {
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

test("an action that no rule gives needs no statement at all", () => {
  const { plan } = planner('actor User {} resource Doc { roles = ["r"]; permissions = ["p", "q"]; "p" if "r"; }');
  expect(plan([one("User"), constant("q"), one("Doc")])).toEqual({ kind: "nothing" });
});
