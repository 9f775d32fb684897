/**
 * The facts that mention a value are all of them, each once, whatever is written between the pages, whichever store
 * answers and whichever indexes there are. `FUZZ_RUNS` is the number of random stores, and `FUZZ_SEED` the
 * seed.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Fact, Value } from "../../src/store/facts/fact.ts";
import type { Connection } from "../../src/store/connection/connection.ts";
import { factTables, setIndexes } from "../../src/store/facts/fact-tables.ts";
import type { FactPageBounds } from "../../src/store/facts/fact-walk.ts";
import { type ObjectFactPage, type ObjectFactPosition, readObjectFacts } from "../../src/store/facts/object-facts.ts";
import { must } from "../../src/util/assert.ts";
import { seededRuns } from "../seeds.ts";
import { allFacts, apply, storeWith } from "./store.ts";

const idOf = fc.constantFrom("a", "b", "c", "ä", "\u{1f600}", "\uffee", "\u0001");
const valueOf = fc.record({ type: fc.constantFrom("User", "Repo", "String"), id: idOf });
const factOf = fc.record({
  predicate: fc.constantFrom("p", "q", "has_role"),
  args: fc.array(valueOf, { minLength: 1, maxLength: 3 }),
});
const boundsOf = fc.record({
  factsMax: fc.integer({ min: 1, max: 20 }),
  bytesMax: fc.constantFrom(1, 200, 1_000_000),
  examinedMax: fc.constantFrom(1, 10, 100, 10_000),
  sortedMax: fc.constantFrom(1, 2, 10, 1000),
});
const changeOf = fc.record({
  inserted: fc.array(factOf, { maxLength: 4 }),
  deleted: fc.array(factOf, { maxLength: 4 }),
});
/** The second and the third argument may lead an index. */
const indexesOf = fc.constantFrom<(readonly (readonly number[])[])[]>(
  [],
  [[2, 1, 0]],
  [[1, 0, 2]],
  [
    [2, 0, 1],
    [1, 2, 0],
  ],
);

describe("the facts of an object", () => {
  test.each(seededRuns(20_251, 60))(
    "are all facts that mention it, each once: $runs stores with seed $seed",
    ({ seed, runs }) => {
      fc.assert(
        fc.property(
          fc.array(factOf, { maxLength: 60 }),
          valueOf,
          boundsOf,
          indexesOf,
          fc.array(changeOf, { maxLength: 20 }),
          (facts, value, bounds, indexes, changes) => {
            // All predicates have tables with three columns from the beginning, because new indexes end a read.
            const known = ["p", "q", "has_role"].map((predicate) => ({ predicate, args: [value, value, value] }));
            const stores = [[...facts, ...known], [...known, ...facts].toReversed()].map((all) =>
              storeOf(all, indexes),
            );
            const [store] = stores as [Connection];
            const always = new Set(expected(store, value));
            const ever = new Set(always);
            const read = readAll(stores, value, bounds, (page) => {
              const change = changes[page];
              if (change === undefined) return;
              for (const one of stores) apply(one, { kind: "facts", ...change });
              const now = new Set(expected(store, value));
              for (const key of always) if (!now.has(key)) always.delete(key);
              for (const key of now) ever.add(key);
            }).map(keyOf);
            expect(new Set(read).size).toBe(read.length);
            expect(new Set(read).isSupersetOf(always)).toBe(true);
            expect(ever.isSupersetOf(new Set(read))).toBe(true);
          },
        ),
        { numRuns: runs, seed },
      );
    },
  );

  test("cannot be continued when the indexes have changed", () => {
    const value = { type: "Repo", id: "a" };
    const facts = ["b", "c"].map((id) => ({ predicate: "p", args: [{ type: "User", id }, value] }));
    const store = storeOf(facts, []);
    const bounds = { factsMax: 1, bytesMax: 1000, examinedMax: 1000, sortedMax: 1000 };
    const first = must(readObjectFacts(store, value, undefined, bounds));
    expect(first.facts).toHaveLength(1);
    expect(readObjectFacts(store, value, must(first.next), bounds)?.facts).toHaveLength(1);
    for (const { table } of factTables(store)) setIndexes(store, table, [[1, 0]]);
    expect(readObjectFacts(store, value, must(first.next), bounds)).toBeUndefined();
  });
});

describe("a page of the facts of an object", () => {
  const value = { type: "Org", id: "acme" };
  const many = Array.from({ length: 20_000 }, (_, index): Fact => ({
    predicate: "has_role",
    args: [
      { type: "User", id: `u${index}` },
      { type: "String", id: index % 5 === 0 ? "writer" : "reader" },
      index % 4 === 0 ? value : { type: "Repo", id: `r${index}` },
    ],
  }));
  const bounds = { factsMax: 100, bytesMax: 1_000_000, examinedMax: 8000, sortedMax: 500 };

  test.each([[[2, 1, 0]], [[2, 0, 1]]])("reads ranges of the index %j only", (order) => {
    const store = storeOf(many, [order]);
    const plans = plansOf(store);
    const page = must(readObjectFacts(store, value, undefined, bounds));
    expect(page.facts).toHaveLength(100);
    const ofFacts = plans().filter((step) => /\bt\b/.test(step));
    expect(ofFacts.length).toBeGreaterThan(0);
    for (const step of ofFacts) expect(step).toMatch(/^SEARCH t USING (?:COVERING INDEX|PRIMARY KEY).*\(a[13]/);
    expect(readAll([store], value, bounds).map(keyOf).toSorted()).toEqual(expected(store, value).toSorted());
  });

  test("of the first argument reads a range of the primary key, and continues with a scan", () => {
    const store = storeOf(many, [[2, 1, 0]]);
    const user = { type: "User", id: "u8" };
    const page = must(readObjectFacts(store, user, undefined, bounds));
    expect(page.facts.map(({ args }) => args[0])).toEqual([user]);
    expect(readAll([store], user, bounds).map(keyOf)).toEqual(expected(store, user));
  });

  test("of an argument without an index examines few rows", () => {
    const store = storeOf(many, []);
    const role = { type: "String", id: "writer" };
    let pages = 0;
    expect(
      readAll([store], role, bounds, () => pages++)
        .map(keyOf)
        .toSorted(),
    ).toEqual(expected(store, role).toSorted());
    expect(pages).toBeGreaterThan(30);
  });

  test("of a value that no fact mentions is empty", () => {
    const store = storeOf(many, [[2, 1, 0]]);
    expect(readAll([store], { type: "User", id: "acme" }, bounds)).toEqual([]);
    expect(readAll([store], { type: "String", id: "u8" }, bounds)).toEqual([]);
  });
});

function storeOf(inserted: readonly Fact[], indexes: readonly (readonly number[])[]): Connection {
  const store = storeWith({
    kind: "facts",
    inserted: inserted.map((fact) => structuredClone(fact) as never),
    deleted: [],
  });
  for (const { table, arity } of factTables(store))
    setIndexes(
      store,
      table,
      indexes.filter((order) => order.length === arity),
    );
  return store;
}

/** Reads all pages, from the stores in turns. Checks the bounds of each. `between` runs after each page. */
function readAll(
  stores: readonly Connection[],
  value: Value,
  bounds: FactPageBounds,
  between: (page: number) => void = () => {},
): Fact[] {
  const facts: Fact[] = [];
  let after: ObjectFactPosition | undefined;
  for (let count = 0; ; count++) {
    const page: ObjectFactPage = must(readObjectFacts(must(stores[count % stores.length]), value, after, bounds));
    expect(page.facts.length).toBeLessThanOrEqual(bounds.factsMax);
    facts.push(...page.facts);
    if (page.next === null) return facts;
    expect(page.next).not.toEqual(after);
    after = page.next;
    between(count);
  }
}

function expected(store: Connection, { type, id }: Value): string[] {
  return allFacts(store)
    .filter(({ args }) => args.some((value) => value.type === type && value.id === id))
    .map(keyOf);
}

function keyOf({ predicate, args }: Fact): string {
  return JSON.stringify([predicate, args.map(({ type, id }) => [type, id])]);
}

/** Returns a function that gives the plans of all statements that were prepared since then. */
function plansOf(store: Connection): () => string[] {
  const prepare = store.prepare.bind(store);
  const texts = new Set<string>();
  store.prepare = (sql) => {
    texts.add(sql);
    return prepare(sql);
  };
  return () =>
    [...texts].flatMap((sql) =>
      prepare(`EXPLAIN QUERY PLAN ${sql}`)
        .values(...new Array(sql.split("?").length - 1).fill(0))
        .map((row) => String(row[3])),
    );
}
