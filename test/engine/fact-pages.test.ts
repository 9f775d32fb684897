/**
 * Facts in pages are all matching facts in order, each once, whatever is written between the pages and whichever store
 * answers. `FUZZ_RUNS` is the number of random stores, and `FUZZ_SEED` the
 * seed.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Connection } from "../../src/store/connection/connection.ts";
import { type FactFilter, type FactPage, type FactPosition, readFactPage } from "../../src/store/facts/fact-pages.ts";
import type { FactPageBounds } from "../../src/store/facts/fact-walk.ts";
import type { Fact } from "../../src/store/facts/fact.ts";
import { seededRuns } from "../seeds.ts";
import { allFacts, apply, storeWith } from "./store.ts";

const everything: FactFilter = { predicate: null, args: [], contains: null };

/** Ids in which the order of UTF-16 differs from that of UTF-8, and with control characters. */
const ids = ["a", "b", "c", "B", "aa", "ä", "\u{1f600}", "\uffee", "\u0001", " ", "*x", "'", '"', "0", "1", "10"];
const idOf = fc.constantFrom(...ids);
const valueOf = fc.record({ type: fc.constantFrom("User", "Repo", "String", "\u{1f600}", "\uffee"), id: idOf });
const factOf = fc.record({
  predicate: fc.constantFrom("p", "q", "has_role"),
  args: fc.array(valueOf, { minLength: 1, maxLength: 3 }),
});
const filterValueOf = fc.record({ type: fc.constantFrom("User", "Repo", "None"), id: fc.option(idOf) });
const filterOf = fc.record({
  predicate: fc.option(fc.constantFrom("p", "q", "has_role", "none")),
  args: fc.oneof(
    { weight: 3, arbitrary: fc.constant([]) },
    { weight: 2, arbitrary: fc.array(fc.option(filterValueOf), { maxLength: 3 }) },
  ),
  contains: fc.option(filterValueOf, { freq: 2 }),
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

describe.each(seededRuns(20_251, 60))("pages of facts of $runs random stores, with seed $seed,", ({ seed, runs }) => {
  test("are all matching facts in order, each once", () => {
    fc.assert(
      fc.property(fc.array(factOf, { maxLength: 80 }), filterOf, boundsOf, (facts, filter, bounds) => {
        const store = storeOf(facts);
        expect(readAll([store], filter, bounds)).toEqual(expected(store, filter));
      }),
      { numRuns: runs, seed },
    );
  });

  test("have each fact that exists during the whole read once, also if stores with other symbols answer", () => {
    fc.assert(
      fc.property(
        fc.array(factOf, { maxLength: 60 }),
        filterOf,
        boundsOf,
        fc.array(changeOf, { maxLength: 20 }),
        (facts, filter, bounds, changes) => {
          const stores = [storeOf(facts), storeOf(facts.toReversed()), storeOf(facts.toSorted(() => 1))];
          const [store] = stores as [Connection];
          const always = new Set(expected(store, filter).map(keyOf));
          const ever = new Set(always);
          const read = readAll(stores, filter, bounds, (page) => {
            const change = changes[page];
            if (change === undefined) return;
            for (const one of stores) apply(one, { kind: "facts", ...change });
            const now = new Set(expected(store, filter).map(keyOf));
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
  });
});

describe("a page of a large table", () => {
  const many = Array.from({ length: 20_000 }, (_, index): Fact => ({
    predicate: "has_role",
    args: [
      // Two users have most roles, so that their part of the table is divided further.
      { type: "User", id: index % 3 === 0 ? `u${index}` : `admin${index % 2}` },
      { type: "String", id: index % 5 === 0 ? "writer" : "reader" },
      { type: index % 7 === 0 ? "Org" : "Repo", id: `r${(index * 7919) % 20_000}` },
    ],
  }));
  const store = storeOf(many);
  const bounds = { factsMax: 1000, bytesMax: 1_000_000, examinedMax: 8000, sortedMax: 500 };

  test("examines few rows, and all pages together are the table", () => {
    const values = countValues(store);
    expect(readAll([store], everything, bounds)).toEqual(expected(store, everything));
    expect(values.most).toBeLessThan(10_000);
  });

  test.each([
    ["an argument that no index finds", { predicate: "has_role", args: [null, null, { type: "Repo", id: "r7919" }] }],
    ["a value anywhere", { contains: { type: "Org", id: "r0" } }],
    ["a value that has no fact", { args: [{ type: "User", id: "r0" }] }],
    ["the argument of most facts", { args: [{ type: "User", id: "admin1" }] }],
    ["a type", { contains: { type: "Org", id: null } }],
  ])("with %s", (_, wanted) => {
    const filter = { ...everything, ...wanted };
    expect(readAll([store], filter, bounds)).toEqual(expected(store, filter));
  });
});

function storeOf(inserted: readonly Fact[]): Connection {
  return storeWith({ kind: "facts", inserted: inserted.map((fact) => structuredClone(fact) as never), deleted: [] });
}

/** Reads all pages, from the stores in turns. Checks the bounds of each. `between` runs after each page. */
function readAll(
  stores: readonly Connection[],
  filter: FactFilter,
  bounds: FactPageBounds,
  between: (page: number) => void = () => {},
): Fact[] {
  const facts: Fact[] = [];
  let after: FactPosition | undefined;
  for (let count = 0; ; count++) {
    const page: FactPage = readFactPage(stores[count % stores.length] as Connection, filter, after, bounds);
    expect(page.facts.length).toBeLessThanOrEqual(bounds.factsMax);
    const bytes = page.facts.reduce((sum, fact) => sum + Buffer.byteLength(JSON.stringify(fact)), 0);
    if (page.facts.length > 1) expect(bytes).toBeLessThanOrEqual(bounds.bytesMax);
    facts.push(...page.facts);
    if (page.next === null) return facts;
    expect(page.next).not.toEqual(after);
    after = page.next;
    between(count);
  }
}

function expected(store: Connection, filter: FactFilter): Fact[] {
  return allFacts(store)
    .filter((fact) => matches(fact, filter))
    .map((fact) => ({ fact, order: orderOf(fact) }))
    .sort((one, other) => Buffer.compare(one.order, other.order))
    .map(({ fact }) => fact);
}

function matches({ predicate, args }: Fact, filter: FactFilter): boolean {
  if (filter.predicate !== null && filter.predicate !== predicate) return false;
  if (args.length < filter.args.length) return false;
  const fits = (wanted: FactFilter["contains"], value: Fact["args"][number] | undefined): boolean =>
    wanted === null || (wanted.type === value?.type && (wanted.id === null || wanted.id === value.id));
  return (
    filter.args.every((wanted, index) => fits(wanted, args[index])) &&
    (filter.contains === null || args.some((value) => fits(filter.contains, value)))
  );
}

/** Bytes whose order is that of the facts: each text in UTF-8, followed by what sorts before all characters. */
function orderOf({ predicate, args }: Fact): Buffer {
  const texts = [predicate, String(args.length), ...args.flatMap(({ type, id }) => [type, id])];
  return Buffer.from(texts.map((text) => text.replaceAll("\0", "\0\u0001") + "\0\0").join(""));
}

function keyOf(fact: Fact): string {
  return JSON.stringify([fact.predicate, fact.args.map(({ type, id }) => [type, id])]);
}

/** Counts the rows that the statements of one page return. */
function countValues(store: Connection): { readonly most: number } {
  const prepare = store.prepare.bind(store);
  const counts = { most: 0 };
  store.prepare = (sql) => {
    const statement = prepare(sql);
    const values = statement.values.bind(statement);
    statement.values = (...parameters) => {
      const rows = values(...parameters);
      const count = sql.startsWith("SELECT count") ? Number(rows[0]?.[0]) : rows.length;
      counts.most = Math.max(counts.most, count);
      return rows;
    };
    return statement;
  };
  return counts;
}
