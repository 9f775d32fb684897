/** What the closures of a store have come to, for the tally. */
import type { Connection } from "../../src/store/connection/connection.ts";
import { closureTables } from "../../src/store/facts/closure-tables.ts";
import type { Fact } from "../../src/store/facts/fact.ts";
import { findSymbol } from "../../src/store/facts/symbols.ts";
import type { Tally } from "./tally.ts";

/** A path over two places between its ends. */
const isDeep = (table: string): string =>
  `SELECT EXISTS (SELECT 1 FROM ${table} x JOIN ${table} y ON y.a1 = x.a2 JOIN ${table} z ON z.a1 = y.a2
    WHERE x.a1 NOT IN (x.a2, y.a2, z.a2) AND x.a2 NOT IN (y.a2, z.a2) AND y.a2 <> z.a2)`;
const isCyclic = (table: string): string => `SELECT EXISTS (SELECT 1 FROM ${table} WHERE a1 = a2)`;

export function countClosures(store: Connection, edges: readonly Connection[], { closures }: Tally): void {
  const isSo = (sql: string): number => Number(store.statement(sql).values()[0]?.[0]);
  for (const { table, rows } of closureTables(store).filter(({ isMaterialized: kept }) => kept)) {
    closures.kept += 1;
    closures.filled += Number(rows > 0);
    closures.rowsMax = Math.max(closures.rowsMax, rows);
    closures.deep += isSo(isDeep(table));
    closures.cyclic += isSo(isCyclic(table));
  }
  closures.givenUp += edges.flatMap(closureTables).filter(({ isMaterialized: kept }) => !kept).length;
}

/** Of facts that have just gone: whether a closure goes on connecting two of their values. */
export function countWays(store: Connection, gone: readonly Fact[], tally: Tally): void {
  const tables = closureTables(store).filter(({ isMaterialized: kept, rows }) => kept && rows > 0);
  for (const { args } of gone) {
    const [first, last] = [args[0], args.at(-1)].map((value) => value && findSymbol(store, value));
    if (first === undefined || last === undefined || args.length < 2) continue;
    const knows = ({ table }: { readonly table: string }): boolean =>
      store.statement(`SELECT 1 FROM ${table} WHERE (a1 = ?1 AND a2 = ?2) OR (a1 = ?2 AND a2 = ?1)`).values(first, last)
        .length > 0;
    if (tables.some(knows)) tally.detours += 1;
    else tally.cuts += 1;
  }
}
