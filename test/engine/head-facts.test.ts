/** Head facts: stored facts whose types only heads of rules have. Answers change with them, and plans read no others. */
import { describe, expect, test } from "bun:test";
import { defaultLimits } from "../../src/config/limits.ts";
import { Engine } from "../../src/engine/engine.ts";
import { explainDecision } from "../../src/engine/explain/decision.ts";
import { repairDerived } from "../../src/log/derived/derived-tables.ts";
import { activationOf } from "../../src/policy/activation.ts";
import { unusedFacts, unusedFactsWarning } from "../../src/policy/fact-schema.ts";
import { readFactTypes } from "../../src/policy/head-facts.ts";
import { runPolicyTests } from "../../src/engine/validation/policy-tests.ts";
import { checkPolicy } from "../../src/engine/validation/policy-check.ts";
import type { Connection } from "../../src/store/connection/connection.ts";
import { factTable } from "../../src/store/facts/fact-tables.ts";
import { TableStatistics } from "../../src/store/statistics/table-statistics.ts";
import { must } from "../../src/util/assert.ts";
import { openLiveEngine } from "../cases/engine-target.ts";
import { allFacts, apply, deleted, fact, inserted, policy, storeWith } from "./store.ts";

const source = `
  actor User {}
  resource Org { roles = ["member"]; permissions = ["read"]; "read" if "member"; }
  resource Repo { roles = ["member"]; permissions = ["pull", "push"]; "pull" if "push"; "push" if "member"; }
  is_open(_: Org) if everything_is("open");
  is_open(_: Repo) if everything_is("open");
`;
const other = `
  actor User {}
  resource Org { roles = ["member"]; permissions = ["read"]; }
  allow(user: User, "read", org: Org) if has_role(user, "member", org);
`;
const bobReads = fact("has_permission", "User:bob", "String:read", "Org:acme");
const question = {
  actor: { type: "User", id: "bob" },
  action: "read",
  resource: { type: "Org", id: "acme" },
  contextFacts: [],
};

function readTypes(store: Connection) {
  return readFactTypes(store, must(activationOf(store)).active, new TableStatistics(store));
}

function mayRead(store: Connection): boolean {
  return new Engine(store, { inTransaction: true }).authorize(question);
}

describe("a decision", () => {
  test.each(["statement", "evaluator"] as const)("changes with each fact and policy (%s)", (strategy) => {
    using engine = openLiveEngine(0, { strategy });
    const target = engine.asking([]);
    const open = (type: string): string[] =>
      target
        .query({
          calls: [{ predicate: "is_open", variables: ["x"] }],
          variables: new Map([["x", { type, ids: null }]]),
          contextFacts: [],
        })
        .map((row) => String(row["x"]));
    const reads = (): boolean => target.authorize(question);
    engine.apply(policy(source));
    expect(reads()).toBe(false);
    engine.apply(inserted(fact("has_permission", "User:bob", "String:push", "Repo:r")));
    expect(reads()).toBe(false);
    engine.apply(inserted(bobReads));
    expect(reads()).toBe(true);
    expect(target.list(question.actor, "read", "Org")).toEqual(["acme"]);
    expect(target.actions(question.actor, question.resource)).toEqual(["read"]);
    engine.apply(deleted(bobReads));
    expect(reads()).toBe(false);
    engine.apply(inserted(bobReads));
    expect(reads()).toBe(true);
    engine.apply(policy(other, 2));
    expect(reads()).toBe(false);
    engine.apply(policy(source, 3));
    expect(reads()).toBe(true);
    engine.apply({ kind: "clear" });
    expect(reads()).toBe(false);

    expect(open("Org")).toEqual([]);
    engine.apply(inserted(fact("is_open", "Repo:r")));
    expect([open("Org"), open("Repo")]).toEqual([[], ["r"]]);
    engine.apply(inserted(fact("is_open", "Org:acme")));
    expect([open("Org"), open("Repo")]).toEqual([["acme"], ["r"]]);
  });

  test("is explained by the fact", () => {
    const store = storeWith(policy(source), inserted(bobReads));
    const { allowed, derivation } = store.transaction(() =>
      explainDecision(store, question, { limits: defaultLimits, clock: 0 }),
    );
    expect(allowed).toBe(true);
    expect(JSON.stringify(derivation)).toContain('"stored"');
  });

  test("in a policy test reads them too", () => {
    const text = `${source} test "direct" {
      setup { has_permission(User{"bob"}, "read", Org{"acme"}); }
      assert allow(User{"bob"}, "read", Org{"acme"});
      assert allow(User{"bob"}, action: String, Org{"acme"}) iff action in ["read"];
      assert_not allow(User{"bob"}, "read", Org{"other"});
    }`;
    const sources = [{ name: "policy.polar", text }];
    const { active, diagnostics } = checkPolicy(sources, { runTests: false });
    expect(diagnostics.map(({ code }) => code).filter((code) => code !== "rule/unused")).toEqual([]);
    const run = runPolicyTests(must(active), sources, { limits: defaultLimits, startMs: performance.now() });
    expect(run.failures).toEqual([]);
  });
});

describe("plans", () => {
  test("read the fact types of the policy alone while no head facts are stored", () => {
    const store = storeWith(policy(source));
    const { factTypes, signatures } = must(activationOf(store)).active;
    expect(readTypes(store)).toMatchObject({ key: "" });
    // The policy asks for permissions on repositories, so these are no head facts.
    apply(store, inserted(fact("has_permission", "User:bob", "String:push", "Repo:r")));
    expect(readTypes(store).factTypes).toBe(factTypes);
    expect(readTypes(store).signatures).toBe(signatures);
  });

  test("stay valid while facts of the same types come and go", () => {
    const store = storeWith(policy(source), inserted(bobReads));
    const { key } = readTypes(store);
    expect(key).not.toBe("");
    const { signatures } = readTypes(store);
    apply(store, inserted(fact("has_permission", "User:eve", "String:read", "Org:acme")), deleted(bobReads));
    expect(readTypes(store).key).toBe(key);
    // With a large policy it takes long to infer them, and each change of the statistics asks for them.
    expect(readTypes(store).signatures).toBe(signatures);
    apply(store, { kind: "clear" });
    expect(readTypes(store).key).toBe("");
  });

  test("have a cost bound, since the table of a new predicate gets statistics with its first fact", () => {
    const store = storeWith(policy(source), inserted(fact("is_open", "Org:acme")));
    const rows = new TableStatistics(store).rows(must(factTable(store, "is_open", 1)));
    expect(rows).toBeGreaterThan(0);
    expect(rows).toBeLessThan(10);
  });

  test("read facts that a release stored which kept no statistics of them", () => {
    const store = storeWith(policy(source), inserted(bobReads));
    for (const table of ["degree", "degree_shape"])
      store.statement(`DELETE FROM ${table} WHERE table_name = ?1`).run(must(factTable(store, "has_permission", 3)));
    store.statement("UPDATE state SET degree_stamp = degree_stamp + 1").run();
    expect(mayRead(store)).toBe(true);
    repairDerived(store, defaultLimits, false);
    expect(mayRead(store)).toBe(true);
    expect(new TableStatistics(store).rows(must(factTable(store, "has_permission", 3)))).toBeLessThan(10);
  });
});

test("a policy without the head keeps the facts, and says that it does not use them", () => {
  const store = storeWith(policy(source), inserted(bobReads));
  const { active } = checkPolicy([{ name: "policy.polar", text: other }], { runTests: false });
  expect(unusedFactsWarning(unusedFacts(store, must(active)))).toContain("1 `has_permission(User, String, Org)`");
  apply(store, policy(other, 2));
  expect(allFacts(store)).toEqual([bobReads]);
  expect(mayRead(store)).toBe(false);
});
