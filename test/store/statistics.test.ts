/**
 * Table statistics: they are upper bounds of the table contents through any history, and close to it if little was
 * deleted.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { repairDerived, refreshDerived } from "../../src/log/derived/derived-tables.ts";
import { defaultLimits } from "../../src/config/limits.ts";
import type { Connection } from "../../src/store/connection/connection.ts";
import { TableStatistics } from "../../src/store/statistics/table-statistics.ts";
import { factTable } from "../../src/store/facts/fact-tables.ts";
import { findSymbol, symbolRange, findTypeId, typeIdOf } from "../../src/store/facts/symbols.ts";
import { must } from "../../src/util/assert.ts";
import { seededRuns } from "../seeds.ts";
import { apply, deleted, fact, inserted, policy, storeWith } from "../engine/store.ts";

const source = `
  actor User {}
  resource Folder {
    roles = ["reader", "writer"]; permissions = ["read"]; relations = { parent: Folder };
    "read" if "reader"; "reader" if "writer"; role if role on "parent";
  }
  resource Note { roles = ["reader"]; permissions = ["read"]; "read" if "reader"; }`;
const withOwners = source
  .replace('"reader", "writer"', '"reader", "writer", "owner"')
  .replace('"reader" if', '"writer" if "owner"; "reader" if');

const role = (user: number, name: string, type: string, id: number) =>
  fact("has_role", `User:${user}`, `String:${name}`, `${type}:${id}`);
const parent = (child: number, above: number) =>
  fact("has_relation", `Folder:${child}`, "String:parent", `Folder:${above}`);

/** For each kind of row, the maximum number of rows with the same values in the columns, counted here. */
function* counted(store: Connection, table: string, columns: readonly number[], apart: ReadonlySet<number>) {
  const kindOf = (id: number): number => (apart.has(id) ? id : typeIdOf(id));
  const rows = store
    .prepare(`SELECT * FROM ${table}`)
    .values()
    .map((row) => row.map(Number));
  for (const [kinds, group] of Map.groupBy(rows, (row) => row.map(kindOf).join())) {
    const same = Map.groupBy(group, (row) => columns.map((column) => row[column - 1]).join());
    const within = kinds
      .split(",")
      .map(Number)
      .map((kind) => [typeIdOf(kind) === 0 ? symbolRange(kind) : { low: kind, high: kind }]);
    yield { within, most: Math.max(...[...same.values()].map(({ length }) => length)) };
  }
}

function checkBounds(store: Connection, slack: number): void {
  const statistics = new TableStatistics(store);
  const apart = new Set(
    ["reader", "writer", "owner", "parent"].flatMap((id) => findSymbol(store, { type: "String", id }) ?? []),
  );
  const tables: [string, number[][]][] = [
    [must(factTable(store, "has_role", 3)), [[1], [1, 2]]],
    [must(factTable(store, "has_relation", 3)), [[1], [1, 2]]],
    ["closure_1", [[1], [2]]],
  ];
  for (const [table, sets] of tables) {
    for (const columns of sets) {
      for (const { within, most } of counted(store, table, columns, apart)) {
        const bound = statistics.maxRows(table, columns, within);
        expect(bound).toBeGreaterThanOrEqual(most);
        expect(bound).toBeLessThanOrEqual(most * slack);
      }
    }
  }
}

test("they are exact as long as nothing is deleted and few values repeat", () => {
  const store = storeWith(
    policy(source),
    inserted(...Array.from({ length: 60 }, (_, id) => role(1, "reader", "Note", id))),
  );
  apply(
    store,
    inserted(role(1, "reader", "Folder", 1), role(1, "writer", "Folder", 2), role(2, "writer", "Folder", 2)),
  );
  const statistics = new TableStatistics(store);
  const table = must(factTable(store, "has_role", 3));
  const any = (type: string) => [symbolRange(must(findTypeId(store, type)))];
  const reader = must(findSymbol(store, { type: "String", id: "reader" }));
  expect(statistics.maxRows(table, [1], [undefined, undefined, any("Note")])).toBe(60);
  expect(statistics.maxRows(table, [1], [undefined, undefined, any("Folder")])).toBe(2);
  expect(statistics.maxRows(table, [1], [undefined, [{ low: reader, high: reader }], any("Folder")])).toBe(1);
  expect(statistics.maxRows(table, [1, 2], [undefined, undefined, undefined])).toBe(62);
  expect(statistics.maxRows(table, [1, 2, 3], [undefined, undefined, undefined])).toBe(1);
  expect(statistics.maxRows("fact_99", [1], [undefined, undefined])).toBe(Number.POSITIVE_INFINITY);
});

test("the bound for many rows of one kind is at most one or two quarters too high, although they are seldom counted", () => {
  const store = storeWith(policy(source));
  for (let first = 0; first < 20_000; first += 1000)
    apply(store, inserted(...Array.from({ length: 1000 }, (_, index) => role(1, "reader", "Note", first + index))));
  checkBounds(store, 1.6);
});

test("rows of two kinds that are treated alike are counted once", () => {
  const store = storeWith(policy(source), inserted(...[1, 2, 3].map((user) => role(user, "reader", "Note", 1))));
  // A writer that has just started does not have this in its cache.
  store.enableWriterCache();
  apply(store, inserted(role(4, "reader", "Note", 1), role(5, "writer", "Folder", 1), role(5, "reader", "Folder", 1)));
  apply(store, inserted(role(6, "reader", "Folder", 1), role(6, "writer", "Folder", 1)));
  const table = must(factTable(store, "has_role", 3));
  const folders = [undefined, undefined, [symbolRange(must(findTypeId(store, "Folder")))]];
  expect(new TableStatistics(store).maxRows(table, [3], folders)).toBe(4);
});

describe("they are upper bounds of the tables", () => {
  const small = fc.nat({ max: 12 });
  const someFact = fc.oneof(
    fc
      .tuple(small, fc.constantFrom("reader", "writer"), fc.constantFrom("Folder", "Note"), small)
      .map((of) => role(...of)),
    fc.tuple(small, small).map((of) => parent(...of)),
  );
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.array(someFact, { maxLength: 20 }).map((facts) => inserted(...facts)) },
    { weight: 3, arbitrary: fc.array(someFact, { maxLength: 20 }).map((facts) => deleted(...facts)) },
    { weight: 1, arbitrary: fc.constant({ kind: "clear" as const }) },
    { weight: 1, arbitrary: fc.constantFrom(source, withOwners).map((text) => policy(text, 1)) },
  );

  function countAnew(store: Connection): void {
    store.exec("DELETE FROM degree; DELETE FROM degree_shape");
    store.transaction(() => refreshDerived(store, defaultLimits, false));
  }

  test("and are counted again after most rows were deleted", () => {
    const notes = Array.from({ length: 100 }, (_, id) => role(1, "reader", "Note", id));
    const store = storeWith(policy(source), inserted(...notes));
    apply(store, deleted(...notes.slice(5)));
    const readable = [undefined, undefined, [symbolRange(must(findTypeId(store, "Note")))]];
    const table = must(factTable(store, "has_role", 3));
    expect(new TableStatistics(store).maxRows(table, [1], readable)).toBe(100);
    repairDerived(store, defaultLimits, false);
    expect(new TableStatistics(store).maxRows(table, [1], readable)).toBe(5);
  });

  test.each(seededRuns(7, 30))(
    "through $runs histories with seed $seed, and exact when they are counted again",
    ({ seed, runs }) => {
      const property = fc.property(fc.array(step, { maxLength: 25, size: "max" }), (steps) => {
        const store = storeWith(policy(source));
        store.enableWriterCache();
        let policies = 1;
        for (const effect of steps) {
          apply(store, effect.kind === "policy" ? { ...effect, id: ++policies } : effect);
          checkBounds(store, Number.POSITIVE_INFINITY);
        }
        repairDerived(store, defaultLimits, false);
        checkBounds(store, Number.POSITIVE_INFINITY);
        countAnew(store);
        checkBounds(store, 1);
        store.close();
      });
      fc.assert(property, { numRuns: runs, seed });
    },
  );
});
