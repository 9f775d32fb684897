/**
 * Closures of recursion through several predicate nodes: folders in drives in folders, roles that alternate. A closure
 * contains values and not the rules that led to them, so it must not contain a path that no rules take: every decision
 * through every history is compared with the oracle.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { defaultLimits } from "../../src/config/limits.ts";
import { closurePredicates } from "../../src/datalog/ir/closure.ts";
import { findClosureDamage } from "../../src/log/derived/closures.ts";
import { Engine } from "../../src/engine/engine.ts";
import type { Fact, Value } from "../../src/store/facts/fact.ts";
import { closureTables } from "../../src/store/facts/closure-tables.ts";
import { compilePolicy } from "../cases/compile-policy.ts";
import { oracle } from "../oracle.ts";
import { quota, randomTestMs, seededRuns } from "../seeds.ts";
import { apply, closureRows, deleted, fact, inserted, policy, storeWith } from "./store.ts";

const folders = (more = "") => `
  actor User {}
  resource Folder {
    roles = ["reader", "owner"]; permissions = ["read", "manage"]; relations = { drive: Drive, parent: Folder };
    "read" if "reader"; "manage" if "owner"; "reader" if "owner";
    role if role on "drive";
    ${more}
  }
  resource Drive {
    roles = ["reader", "owner"]; permissions = ["read", "manage"]; relations = { home: Folder, backup: Drive };
    "read" if "reader"; "manage" if "owner"; "reader" if "owner";
    role if role on "home";
  }`;
const relation = (from: string, name: string, to: string) => fact("has_relation", from, `String:${name}`, to);
const role = (name: string, resource: string) => fact("has_role", "User:ann", `String:${name}`, resource);
const drive = (folder: string, to: string) => relation(`Folder:${folder}`, "drive", `Drive:${to}`);
const home = (of: string, folder: string) => relation(`Drive:${of}`, "home", `Folder:${folder}`);

describe("which recursion over several types has a closure", () => {
  const count = (source: string): number => closureTables(storeWith(policy(source))).length;
  const sees = (...rules: string[]) =>
    count(`actor User {} resource A {} resource B {} ${rules.map((rule) => `sees(u: User, ${rule};`).join("\n")}`);

  test("roles with the same steps share one", () => {
    expect(count(folders())).toBe(1);
  });

  test("a role with more steps has its own", () => {
    expect(count(folders('"reader" if "reader" on "parent";'))).toBe(2);
    expect(count(folders('role if role on "parent";'))).toBe(1);
  });

  test("mutually recursive predicates may have one, and steps may be chains", () => {
    expect(
      count(`actor User {} resource Team {} resource Org {}
        in_org(u: User, o: Org) if employed(u, o);
        in_org(u: User, o: Org) if t matches Team and contract matches Contract and signed(contract, t) and client(contract, o)
          and in_team(u, t);
        in_team(u: User, t: Team) if o matches Org and owned(t, o) and in_org(u, o);`),
    ).toBe(1);
  });

  test("both arguments may go through several types", () => {
    const member = (from: string, to: string) =>
      `sees(a: ${from}, x: Resource) if b matches ${to} and member(a, b) and sees(b, x);`;
    const above = (from: string, to: string) =>
      `sees(a: Actor, x: ${from}) if y matches ${to} and above(x, y) and sees(a, y);`;
    expect(
      count(`actor Group {} actor Team {} resource A {} resource B {} sees(a: Actor, x: Resource) if granted(a, x);
        ${member("Group", "Team")} ${member("Team", "Group")} ${above("A", "B")} ${above("B", "A")}`),
    ).toBe(2);
  });

  test("nodes of the same types may have one if all but one of them only call others", () => {
    const turns = `actor User {} resource A {}
      even(u: User, x: A) if granted(u, x);
      even(u: User, x: A) if y matches A and follows(x, y) and odd(u, y);
      odd(u: User, x: A) if y matches A and before(y, x) and even(u, y);`;
    const names = closureTables(storeWith(policy(turns))).map(({ name }) => name);
    expect(names.map((name) => [...closurePredicates(name)].sort())).toEqual([["before/2", "follows/2"]]);
    expect(count(`${turns} even(u: User, x: A) if y matches A and near(x, y) and even(u, y);`)).toBe(1);
    const both = ["even", "odd"].map(
      (name) => `${name}(u: User, x: A) if y matches A and near(x, y) and ${name}(u, y);`,
    );
    expect(count(`${turns} ${both.join("\n")}`)).toBe(0);
  });

  test.each([
    ["a condition on the way", "x: A) if y matches B and inside(x, y) and not hidden(x) and sees(u, y)"],
    ["a step that reads what stays", "x: A) if y matches B and opened(u, x, y) and sees(u, y)"],
    ["a rule that needs two answers", "x: A) if y matches B and inside(x, y) and sees(u, y) and sees(u, x)"],
  ])("%s has no closure", (_, rule) => {
    expect(sees("x: B) if granted(u, x)", "x: B) if y matches A and inside(x, y) and sees(u, y)", rule)).toBe(0);
  });

  test("an argument whose path depends on another's type has no closure", () => {
    const source = `actor Group {} actor Team {} resource A {} resource B {}
      sees(a: Actor, x: Resource) if granted(a, x);
      sees(a: Group, x: Resource) if b matches Team and member(a, b) and sees(b, x);
      sees(a: Team, x: Resource) if b matches Group and member(a, b) and sees(b, x);
      sees(a: Actor, x: A) if y matches B and above(x, y) and sees(a, y);
      sees(a: Group, x: B) if y matches A and above(x, y) and sees(a, y);`;
    const names = closureTables(storeWith(policy(source))).map(({ name }) => name);
    expect(names.filter((name) => name.includes("above"))).toEqual([]);
  });
});

test("a closure through two types matches the facts: cycles, diamonds, self-loops, one of several paths removed", () => {
  const store = storeWith(policy(folders('role if role on "parent";')), inserted(drive("f", "d"), home("d", "g")));
  const rows = (): string[] => closureRows(store)[0] ?? [];
  expect(rows()).toEqual(["d > g", "f > d", "f > g"]);
  apply(store, inserted(drive("f", "e"), home("e", "g")));
  expect(rows()).toEqual(["d > g", "e > g", "f > d", "f > e", "f > g"]);
  apply(store, deleted(home("d", "g")));
  expect(rows()).toEqual(["e > g", "f > d", "f > e", "f > g"]);
  apply(store, inserted(drive("g", "e")));
  expect(rows()).toEqual(["e > e", "e > g", "f > d", "f > e", "f > g", "g > e", "g > g"]);
  apply(store, inserted(relation("Folder:g", "parent", "Folder:g")), deleted(drive("g", "e")));
  expect(rows()).toEqual(["e > g", "f > d", "f > e", "f > g", "g > g"]);
  apply(store, deleted(drive("f", "e")));
  expect(rows()).toEqual(["e > g", "f > d", "g > g"]);
});

test("facts of the same relation between other types are no step, neither when they are inserted nor when others are deleted", () => {
  const store = storeWith(policy(folders()), inserted(drive("f", "d"), role("reader", "Folder:g")));
  // Stored as under a policy that accepts them: a drive's drive, a folder's home.
  const strangers = [relation("Drive:d", "drive", "Drive:e"), relation("Folder:f", "home", "Drive:d")];
  apply(store, inserted(...strangers, home("e", "g")));
  expect(closureRows(store)).toEqual([["e > g", "f > d"]]);
  apply(store, deleted(drive("f", "d")));
  expect(closureRows(store)).toEqual([["e > g"]]);
  expect(findClosureDamage(store, defaultLimits)).toBeUndefined();
});

const ids = ["1", "2", "3"];
const places = (...types: string[]) => types.flatMap((type) => ids.map((id) => ({ type, id })));
const oneOf = (...types: string[]) => fc.constantFrom(...places(...types).map(({ type, id }) => `${type}:${id}`));

/** Compares every decision after each change of random histories with the oracle. Some must be positive. */
function followHistories(
  source: string,
  facts: fc.Arbitrary<Fact>,
  actors: readonly Value[],
  resources: readonly Value[],
): void {
  const compiled = compilePolicy(source);
  const change = fc.record({ isInsert: fc.boolean(), facts: fc.array(facts, { minLength: 1, maxLength: 4 }) });
  const actions = ["read", "manage"];
  const named = [...actors, ...resources, ...actions.map((id) => ({ type: "String", id }))];
  const questions = actors.flatMap((actor) =>
    resources.flatMap((resource) => actions.map((action) => ({ actor, action, resource, contextFacts: [] }))),
  );
  let allowed = 0;
  const follow = (history: readonly { readonly isInsert: boolean; readonly facts: readonly Fact[] }[]): void => {
    const store = storeWith(policy(source));
    const engine = new Engine(store);
    const present = new Map<string, Fact>();
    for (const { isInsert, facts: changed } of history) {
      for (const one of changed) {
        if (isInsert) present.set(JSON.stringify(one), one);
        else present.delete(JSON.stringify(one));
      }
      const copies = structuredClone(changed) as ReturnType<typeof fact>[];
      apply(store, isInsert ? inserted(...copies) : deleted(...copies));
      expect(findClosureDamage(store, defaultLimits)).toBeUndefined();
      const slow = oracle(compiled, { facts: [...present.values()], now: 1, values: named });
      const may = questions.filter(({ actor, action, resource }) =>
        slow.holds("allow", [actor, { type: "String", id: action }, resource]),
      );
      expect(questions.filter((question) => engine.authorize(question))).toEqual(may);
      allowed += may.length;
    }
    store.close();
  };
  const histories = fc.array(change, { minLength: 4, maxLength: 20, size: "max" });
  for (const { seed, runs, isKnown } of seededRuns(20_263, 4)) {
    allowed = 0;
    fc.assert(fc.property(histories, follow), { numRuns: runs, seed });
    console.log(`seed ${seed}, ${runs} histories: ${allowed} positive decisions`);
    expect(allowed).toBeGreaterThanOrEqual(quota(runs, 4, isKnown));
  }
}

describe("decisions through random histories", () => {
  /** Facts that are steps of some role, of none, or not even facts of the policy; all types have the same ids. */
  const place = oneOf("Folder", "Drive");
  const facts = fc.oneof(
    {
      weight: 3,
      arbitrary: fc
        .tuple(place, fc.constantFrom("drive", "home", "parent", "backup"), place)
        .map(([from, name, to]) => relation(from, name, to)),
    },
    {
      weight: 2,
      arbitrary: fc
        .tuple(place, fc.constantFrom("from", "to"), oneOf("Link"))
        .map(([from, name, to]) => relation(from, name, to)),
    },
    { weight: 1, arbitrary: fc.tuple(fc.constantFrom("reader", "owner"), place).map(([name, on]) => role(name, on)) },
  );

  test.each([
    ["the same steps for all roles", folders(), 1],
    ["a step that one role takes", folders('"reader" if "reader" on "parent";'), 2],
    ["a step from where only one role is", folders('"reader" if "owner" on "parent";'), 1],
    [
      "chains through a third type, against their facts, and a base of one type alone",
      `${folders()}
        resource Link {}
        has_role(u: User, "reader", f: Folder) if l matches Link and d matches Drive and has_relation(f, "from", l)
          and has_relation(d, "to", l) and has_role(u, "reader", d);
        has_role(u: User, "owner", d: Drive) if f matches Folder and has_relation(f, "drive", d) and has_role(u, "owner", f);
        has_permission(u: User, "read", f: Folder) if has_role(u, "owner", f) and has_relation(f, "parent", f);`,
      3,
    ],
  ])(
    "%s",
    (_, source, closures) => {
      expect(closureTables(storeWith(policy(source)))).toHaveLength(closures);
      const actors = [{ type: "User", id: "ann" }];
      followHistories(source, facts, actors, places("Folder", "Drive"));
    },
    randomTestMs,
  );

  const actor = oneOf("Group", "Team");
  const thing = oneOf("A", "B");
  const both = fc.oneof(
    fc.tuple(actor, actor).map((args) => fact("member", ...args)),
    fc.tuple(thing, thing).map((args) => fact("above", ...args)),
    fc.tuple(actor, thing).map((args) => fact("granted", ...args)),
    fc.tuple(thing, actor).map((args) => fact("granted", ...args)),
  );
  const member = (from: string, to: string, of: string) =>
    `sees(a: ${from}, x: ${of}) if b matches ${to} and member(a, b) and sees(b, x);`;
  const above = (of: string, from: string, to: string) =>
    `sees(a: ${of}, x: ${from}) if y matches ${to} and above(x, y) and sees(a, y);`;

  test.each([
    [
      "both arguments",
      [
        member("Group", "Team", "Resource"),
        member("Team", "Group", "Resource"),
        above("Actor", "A", "B"),
        above("Actor", "B", "A"),
      ],
    ],
    [
      "both arguments, one of a single type",
      [member("Group", "Team", "Resource"), member("Team", "Group", "Resource"), above("Actor", "A", "A")],
    ],
    [
      "both arguments, one's way by the other's type",
      [
        member("Group", "Team", "Resource"),
        member("Team", "Group", "Resource"),
        above("Actor", "A", "B"),
        above("Group", "B", "A"),
      ],
    ],
  ])(
    "%s",
    (_, rules) => {
      const source = `actor Group {} actor Team {} resource A {} resource B {} ${rules.join("\n")}
        sees(a: Actor, x: Resource) if granted(a, x);
        sees(a: Team, x: B) if granted(x, a);
        has_permission(a: Actor, "read", x: Resource) if sees(a, x);`;
      followHistories(source, both, places("Group", "Team"), places("A", "B"));
    },
    randomTestMs,
  );

  test.each([
    ["", 1],
    ['"owner" if "owner" on "drive";', 1],
    ['"owner" if "owner" on "drive"; "reader" if "reader" on "parent";', 0],
  ])(
    "roles that take turns %s",
    (more, closures) => {
      const source = `actor User {}
        resource Folder {
          roles = ["reader", "owner"]; permissions = ["read", "manage"]; relations = { drive: Folder, parent: Folder, home: Folder };
          "read" if "reader"; "manage" if "owner";
          "reader" if "owner" on "parent"; "reader" if "owner" on "home"; "owner" if "reader" on "drive"; ${more}
        }
        has_role(u: User, "owner", f: Folder) if granted(u, f) and not barred(f);
        has_role(u: User, "reader", f: Folder) if f = Folder{"2"} and above matches Folder and granted(u, above);`;
      expect(closureTables(storeWith(policy(source)))).toHaveLength(closures);
      const folder = oneOf("Folder");
      const inFolders = fc.oneof(
        {
          weight: 4,
          arbitrary: fc
            .tuple(folder, fc.constantFrom("drive", "parent", "home"), folder)
            .map((args) => relation(...args)),
        },
        { weight: 1, arbitrary: fc.tuple(fc.constantFrom("reader", "owner"), folder).map((args) => role(...args)) },
        { weight: 1, arbitrary: folder.map((one) => fact("granted", "User:ann", one)) },
        { weight: 1, arbitrary: folder.map((one) => fact("barred", one)) },
      );
      followHistories(source, inFolders, [{ type: "User", id: "ann" }], places("Folder"));
    },
    randomTestMs,
  );
});
