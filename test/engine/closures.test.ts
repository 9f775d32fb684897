/**
 * Materialized closures: which recursion has one, that it matches the facts after any history, and what happens when it
 * grows too large.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { defaultLimits, type Limits } from "../../src/config/limits.ts";
import { applyEvent } from "../../src/log/state/apply.ts";
import { findClosureDamage } from "../../src/log/derived/closures.ts";
import { Engine } from "../../src/engine/engine.ts";
import type { Effect } from "../../src/log/event/event.ts";
import type { Connection } from "../../src/store/connection/connection.ts";
import { closureTables } from "../../src/store/facts/closure-tables.ts";
import { quota, randomTestMs, seededRuns } from "../seeds.ts";
import { apply, closureRows, deleted, fact, inserted, policy, storeWith } from "./store.ts";

const folders = `
  actor User {}
  resource Folder {
    roles = ["reader", "writer"];
    permissions = ["read"];
    relations = { parent: Folder, shortcut: Folder };
    "reader" if "writer";
    "read" if "reader";
    role if role on "parent";
  }`;
const parent = (child: string, above: string) =>
  fact("has_relation", `Folder:${child}`, "String:parent", `Folder:${above}`);
const reader = (user: string, folder: string) => fact("has_role", `User:${user}`, "String:reader", `Folder:${folder}`);

function mayRead(engine: Engine, folder: string): boolean {
  const actor = { type: "User", id: "ann" };
  return engine.authorize({ actor, action: "read", resource: { type: "Folder", id: folder }, contextFacts: [] });
}

describe("which recursion has a closure", () => {
  const count = (source: string): number => closureTables(storeWith(policy(source))).length;

  test("the roles of folders share the closure of their parents", () => {
    expect(count(folders)).toBe(1);
  });

  test("two relations upwards are one closure if a role follows either, and two if each role follows one", () => {
    expect(count(`${folders.replace(/}$/, '"reader" if "reader" on "shortcut"; }')}`)).toBe(2);
    expect(count(`${folders.replace(/}$/, 'role if role on "shortcut"; }')}`)).toBe(1);
  });

  test("a step may be a chain of relations, and may lead upwards or downwards", () => {
    expect(
      count(`actor User {} resource Team {}
        inside(user: User, team: Team) if member(user, team);
        inside(user: User, team: Team) if grant matches Grant and child matches Team and
          given(grant, team) and taken(child, grant) and inside(user, child);`),
    ).toBe(1);
  });

  test("both arguments of a predicate may have a closure", () => {
    expect(
      count(`actor User {} actor Group {} resource Folder {}
        sees(g: Group, f: Folder) if granted(g, f);
        sees(g: Group, f: Folder) if other matches Group and inside(g, other) and sees(other, f);
        sees(g: Group, f: Folder) if above matches Folder and parent(f, above) and sees(g, above);`),
    ).toBe(2);
  });

  test.each([
    ["a condition on the way", "parent(f, up) and not hidden(up) and sees(u, up)"],
    ["a comparison on the way", "depth(f, n) and n < 5 and parent(f, up) and sees(u, up)"],
    ["a step that depends on who asks", "opened(u, f, up) and sees(u, up)"],
    ["a rule that needs two answers", "parent(f, up) and linked(f, other) and sees(u, up) and sees(u, other)"],
  ])("%s has no closure", (_, body) => {
    const source = `actor User {} resource Folder {}
      sees(u: User, f: Folder) if granted(u, f);
      sees(u: User, f: Folder) if up matches Folder and ${body.includes("other") ? "other matches Folder and " : ""}${
        body.includes("n <") ? "n matches Integer and " : ""
      }${body};`;
    expect(count(source)).toBe(0);
  });
});

describe("a closure matches the facts", () => {
  test("with cycles, self-loops, several paths, and after one of them is removed", () => {
    const store = storeWith(policy(folders), inserted(parent("a", "b"), parent("b", "c")));
    expect(closureRows(store)).toEqual([["a > b", "a > c", "b > c"]]);
    apply(store, inserted(parent("a", "c")), deleted(parent("b", "c")));
    expect(closureRows(store)).toEqual([["a > b", "a > c"]]);
    apply(store, inserted(parent("c", "a"), parent("c", "c")));
    expect(closureRows(store)).toEqual([["a > a", "a > b", "a > c", "c > a", "c > b", "c > c"]]);
    apply(store, deleted(parent("a", "c")));
    expect(closureRows(store)).toEqual([["a > b", "c > a", "c > b", "c > c"]]);
    apply(store, { kind: "clear" });
    expect(closureRows(store)).toEqual([[]]);
  });

  test("when a policy with another recursion becomes active over stored facts, and is replaced again", () => {
    const store = storeWith(policy(folders), inserted(parent("a", "b"), parent("b", "c"), reader("ann", "c")));
    const flat = folders.replace('role if role on "parent";', "");
    apply(store, policy(flat, 2));
    expect(closureTables(store)).toEqual([]);
    expect(mayRead(new Engine(store), "a")).toBe(false);
    apply(store, policy(folders, 3));
    expect(closureRows(store)).toEqual([["a > b", "a > c", "b > c"]]);
    expect(mayRead(new Engine(store), "a")).toBe(true);
  });

  test("after an event is rolled back", () => {
    const store = storeWith(policy(folders), inserted(parent("a", "b")));
    const event = { offset: 9, timeMs: 1, traceparent: null, effect: inserted(parent("b", "c")) };
    expect(() =>
      store.transaction(() => {
        applyEvent(store, event);
        throw new Error("no");
      }),
    ).toThrow("no");
    expect(findClosureDamage(store, defaultLimits)).toBeUndefined();
    apply(store, inserted(parent("b", "d")));
    expect(findClosureDamage(store, defaultLimits)).toBeUndefined();
    expect(closureRows(store)).toEqual([["a > b", "a > d", "b > d"]]);
  });

  const nodes = ["a", "b", "c", "d", "e", "f"];
  const node = fc.constantFrom(...nodes);
  const chains = `actor User {} resource Folder {}
    sees(u: User, f: Folder) if granted(u, f);
    sees(u: User, f: Folder) if up matches Folder and parent(f, up) and sees(u, up);
    sees(u: User, f: Folder) if up matches Folder and link matches Link and from(f, link) and to(link, up) and sees(u, up);`;
  const edge = fc.oneof(
    fc.tuple(node, node).map(([from, to]) => fact("parent", `Folder:${from}`, `Folder:${to}`)),
    fc.tuple(node, fc.constantFrom("k", "l")).map(([from, link]) => fact("from", `Folder:${from}`, `Link:${link}`)),
    fc.tuple(node, fc.constantFrom("k", "l")).map(([to, link]) => fact("to", `Link:${link}`, `Folder:${to}`)),
  );
  const changes = fc.array(
    fc.record({ isInsert: fc.boolean(), facts: fc.array(edge, { minLength: 1, maxLength: 3 }) }),
    { maxLength: 40, size: "max" },
  );

  test.each(seededRuns(20_261, 30))(
    "through $runs random histories of steps of two kinds, with seed $seed",
    ({ seed, runs, isKnown }) => {
      let rows = 0;
      fc.assert(
        fc.property(changes, (history) => {
          const store = storeWith(policy(chains));
          const present = new Set<string>();
          for (const { isInsert, facts } of history) {
            for (const one of facts) present[isInsert ? "add" : "delete"](JSON.stringify(one));
            apply(store, isInsert ? inserted(...facts) : deleted(...facts));
            expect(findClosureDamage(store, defaultLimits)).toBeUndefined();
            expect(closureRows(store)).toEqual([reachable([...present].map((text) => JSON.parse(text)))]);
          }
          rows += closureRows(store)[0]?.length ?? 0;
          store.close();
        }),
        { numRuns: runs, seed },
      );
      console.log(`seed ${seed}, ${runs} histories: ${rows} rows at their ends`);
      expect(rows).toBeGreaterThanOrEqual(quota(runs, 2, isKnown));
    },
    randomTestMs,
  );
});

/** The pairs, computed naively. */
function reachable(facts: readonly ReturnType<typeof fact>[]): string[] {
  const of = (predicate: string) =>
    facts.filter((one) => one.predicate === predicate).map(({ args }) => args.map(({ id }) => id));
  const steps = [
    ...of("parent"),
    ...of("from").flatMap(([from, link]) => of("to").flatMap(([by, to]) => (by === link ? [[from, to]] : []))),
  ];
  const pairs = new Set(steps.map((pair) => pair.join(" > ")));
  for (let size = -1; size !== pairs.size;) {
    size = pairs.size;
    for (const pair of [...pairs]) {
      const [from, middle] = pair.split(" > ");
      for (const [start, to] of steps) if (start === middle) pairs.add(`${from} > ${to}`);
    }
  }
  return [...pairs].sort();
}

describe("a closure that grows too large", () => {
  const chain = (length: number) => Array.from({ length }, (_, index) => parent(`f${index}`, `f${index + 1}`));
  const applyWithin = (store: Connection, limits: Limits, ...effects: Effect[]): void => {
    for (const effect of effects)
      store.transaction(() => applyEvent(store, { offset: 1, timeMs: 1, traceparent: null, effect }, limits));
  };

  test.each<[string, Partial<Limits>]>([
    ["rows", { closureRowsMax: 20 }],
    ["rows changed by one fact", { closureUpdateRowsMax: 7 }],
  ])("by its %s is abandoned, and materialized again when the data are cleared", (_, few) => {
    const limits = { ...defaultLimits, ...few };
    const store = storeWith(policy(folders));
    const engine = new Engine(store);
    applyWithin(store, limits, inserted(...chain(4), reader("ann", "f10")));
    expect(closureTables(store).map(({ isMaterialized }) => isMaterialized)).toEqual([true]);
    expect(mayRead(engine, "f0")).toBe(false);
    applyWithin(store, limits, inserted(...chain(10)));
    expect(closureTables(store).map(({ isMaterialized, rows }) => [isMaterialized, rows])).toEqual([[false, 0]]);
    expect(mayRead(engine, "f0")).toBe(true);
    applyWithin(store, limits, deleted(parent("f3", "f4")));
    expect([mayRead(engine, "f0"), mayRead(engine, "f4")]).toEqual([false, true]);
    applyWithin(store, limits, { kind: "clear" }, inserted(parent("f0", "f10"), reader("ann", "f10")));
    expect(closureTables(store).map(({ isMaterialized, rows }) => [isMaterialized, rows])).toEqual([[true, 1]]);
    expect(mayRead(engine, "f0")).toBe(true);
  });

  test("is tried again when a policy becomes active", () => {
    const store = storeWith(policy(folders));
    applyWithin(store, { ...defaultLimits, closureRowsMax: 20 }, inserted(...chain(10)));
    applyWithin(store, { ...defaultLimits, closureRowsMax: 20 }, policy(`${folders} #`, 2));
    expect(closureTables(store).map(({ isMaterialized }) => isMaterialized)).toEqual([false]);
    applyWithin(store, defaultLimits, policy(folders, 3));
    expect(closureTables(store).map(({ isMaterialized, rows }) => [isMaterialized, rows])).toEqual([[true, 55]]);
  });
});
