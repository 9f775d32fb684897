/** The ids that begin with a text are those of the facts, in order, and their statements search indexes. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { factTables, setIndexes } from "../../src/store/facts/fact-tables.ts";
import { behind, candidatesSql, indexedSql, readObjectIds } from "../../src/store/facts/object-ids.ts";
import type { SqlValue } from "../../src/runtime/sqlite.ts";
import { must } from "../../src/util/assert.ts";
import { seededRuns } from "../seeds.ts";
import { allFacts, deleted, fact, inserted, storeWith } from "./store.ts";

const textOf = fc.string({
  unit: fc.constantFrom("a", "b", "ä", "%", "\ud7ff", "\u{1f600}", "\u{10ffff}"),
  maxLength: 3,
});

describe("ids that begin with a text", () => {
  test.each(seededRuns(20_261, 100))("are all ids of the facts: $runs stores with seed $seed", ({ seed, runs }) => {
    fc.assert(
      fc.property(fc.array(textOf), fc.array(textOf), textOf, fc.boolean(), (ids, gone, prefix, isIndexed) => {
        const facts = ids.map((id) => fact("p", "Repo:x", `User:${id}`));
        const former = gone.map((id) => fact("p", "Repo:y", `User:${id}`));
        const store = storeWith(inserted(...facts, ...former), deleted(...former));
        if (isIndexed) for (const { table } of factTables(store)) setIndexes(store, table, [[1, 0]]);
        const kept = allFacts(store).map(({ args }) => String(args[1]?.id));
        const wanted = [...new Set(kept)].filter((id) => id.startsWith(prefix)).toSorted(byBytes);
        expect(readObjectIds(store, "User", prefix, 100)).toEqual({ ids: wanted, more: false });
        store.close();
      }),
      { seed, numRuns: runs },
    );
  });

  test("are at most as many as wanted", () => {
    const ids = Array.from({ length: 30 }, (_, index) => `u${String(index).padStart(2, "0")}`);
    const store = storeWith(inserted(...ids.map((id) => fact("p", `User:${id}`))));
    expect(readObjectIds(store, "User", "u", 20)).toEqual({ ids: ids.slice(0, 20), more: true });
    expect(readObjectIds(store, "User", "u1", 10)).toEqual({ ids: ids.slice(10, 20), more: false });
    expect(readObjectIds(store, "Robot", "", 10)).toEqual({ ids: [], more: false });
    store.close();
  });

  test("are found by statements that only search indexes, and examine a bounded part of many facts", () => {
    const facts = Array.from({ length: 50_000 }, (_, index) => fact("p", `User:user-${index}`, "Repo:x"));
    const store = storeWith(inserted(...facts));
    const { table } = must(factTables(store)[0]);
    setIndexes(store, table, [[1, 0]]);
    const planOf = (sql: string, ...parameters: SqlValue[]): string =>
      store
        .prepare(`EXPLAIN QUERY PLAN ${sql}`)
        .values(...parameters)
        .map((row) => String(row.at(-1)))
        .join("\n");
    expect(planOf(candidatesSql, 1, "user-1", behind("user-1"), 100)).toMatch(
      /^SEARCH symbol USING (?:COVERING )?INDEX \S+ \(type=\? AND value>\? AND value<\?\)$/,
    );
    expect(planOf(indexedSql(table, 0, undefined), "[]")).toEndWith(`SEARCH ${table} EXISTS USING PRIMARY KEY (a1=?)`);
    expect(planOf(indexedSql(table, 1, `${table}_by_2_1`), "[]")).toContain(
      `SEARCH ${table} EXISTS USING COVERING INDEX`,
    );
    // A scan of all ids would take a hundred times as long as this bound allows.
    const before = performance.now();
    for (let times = 0; times < 20; times++) readObjectIds(store, "User", "user-1", 20);
    expect((performance.now() - before) / 20).toBeLessThan(50);
    store.close();
  });
});

function byBytes(one: string, other: string): number {
  return Buffer.compare(Buffer.from(one), Buffer.from(other));
}
