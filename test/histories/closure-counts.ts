/** Counts the closures of a store. */
import type { Connection } from "../../src/store/connection/connection.ts";
import { closureTables } from "../../src/store/facts/closure-tables.ts";
import type { Fact } from "../../src/store/facts/fact.ts";
import { findSymbol } from "../../src/store/facts/symbols.ts";
import type { HistoryCounts } from "./history-counts.ts";

/** Whether the closure contains a path with two symbols between its ends. */
const isDeep = (table: string): string =>
  `SELECT EXISTS (SELECT 1 FROM ${table} x JOIN ${table} y ON y.a1 = x.a2 JOIN ${table} z ON z.a1 = y.a2
    WHERE x.a1 NOT IN (x.a2, y.a2, z.a2) AND x.a2 NOT IN (y.a2, z.a2) AND y.a2 <> z.a2)`;
const isCyclic = (table: string): string => `SELECT EXISTS (SELECT 1 FROM ${table} WHERE a1 = a2)`;

export function countClosures(store: Connection, edges: readonly Connection[], { closures }: HistoryCounts): void {
  const isSo = (sql: string): number => Number(store.statement(sql).values()[0]?.[0]);
  for (const { table, rows } of closureTables(store).filter(({ isMaterialized }) => isMaterialized)) {
    closures.materialized += 1;
    closures.filled += Number(rows > 0);
    closures.rowsMax = Math.max(closures.rowsMax, rows);
    closures.deep += isSo(isDeep(table));
    closures.cyclic += isSo(isCyclic(table));
  }
  closures.abandoned += edges.flatMap(closureTables).filter(({ isMaterialized }) => !isMaterialized).length;
}

/** Counts deleted facts: whether a closure still connects two of their values. */
export function countConnections(store: Connection, deleted: readonly Fact[], counts: HistoryCounts): void {
  const tables = closureTables(store).filter(({ isMaterialized, rows }) => isMaterialized && rows > 0);
  for (const { args } of deleted) {
    const [first, last] = [args[0], args.at(-1)].map((value) => value && findSymbol(store, value));
    if (first === undefined || last === undefined || args.length < 2) continue;
    const connects = ({ table }: { readonly table: string }): boolean =>
      store.statement(`SELECT 1 FROM ${table} WHERE (a1 = ?1 AND a2 = ?2) OR (a1 = ?2 AND a2 = ?1)`).values(first, last)
        .length > 0;
    if (tables.some(connects)) counts.detours += 1;
    else counts.cuts += 1;
  }
}
