/**
 * The ids of a type that begin with a text, in order, of the objects that facts mention. Candidates are a range of the
 * index of the symbols. A symbol stays when its last fact is deleted, so indexes of the fact tables tell which ones are
 * in use; arguments without an index are searched in a bounded number of rows, so that an id can be missing.
 */
import type { SqlValue } from "../../runtime/sqlite.ts";
import type { Connection } from "../connection/connection.ts";
import { factTables, indexesOf } from "./fact-tables.ts";
import { findTypeId } from "./symbols.ts";

export interface ObjectIds {
  readonly ids: readonly string[];
  /** Whether more candidates follow. */
  readonly more: boolean;
}

/** Candidates that are examined, and rows of arguments without an index. */
const [candidatesMax, scannedRowsMax] = [500, 20_000];

/** The caller has begun a transaction. */
export function readObjectIds(database: Connection, type: string, prefix: string, idsMax: number): ObjectIds {
  const typeId = findTypeId(database, type);
  if (typeId === undefined) return { ids: [], more: false };
  const rows = valuesOf(database, candidatesSql, typeId, prefix, behind(prefix), candidatesMax + 1);
  const candidates = rows.slice(0, candidatesMax).map(([id, value]) => ({ id: Number(id), value: String(value) }));
  const used = usedSymbols(
    database,
    candidates.map(({ id }) => id),
    idsMax + 1,
  );
  const ids = candidates.filter(({ id }) => used.has(id)).map(({ value }) => value);
  return { ids: ids.slice(0, idsMax), more: ids.length > idsMax || rows.length > candidatesMax };
}

export const candidatesSql =
  "SELECT id, value FROM symbol WHERE type = ?1 AND value >= ?2 AND value < ?3 ORDER BY value LIMIT ?4";

/** Those of the symbols that facts have: all, or at least the first `wanted` ones that an index finds. */
function usedSymbols(database: Connection, symbols: readonly number[], wanted: number): ReadonlySet<number> {
  const used = new Set<number>();
  const tables = factTables(database).map(({ table, arity }) => {
    const leading = indexesOf(database, table).map(({ name, order: [column] }) => [column, name] as const);
    return { table, columns: Array.from({ length: arity }, (_, column) => column), indexes: new Map(leading) };
  });
  const find = (sql: string, ...others: number[]): void => {
    const left = symbols.filter((symbol) => !used.has(symbol));
    if (left.length === 0) return;
    for (const [symbol] of valuesOf(database, sql, JSON.stringify(left), ...others)) used.add(Number(symbol));
  };
  for (const { table, columns, indexes } of tables)
    for (const column of columns)
      if (column === 0 || indexes.has(column)) find(indexedSql(table, column, indexes.get(column)));
  let rowsLeft = scannedRowsMax;
  for (const { table, columns, indexes } of tables)
    for (const column of columns) {
      if (column === 0 || indexes.has(column) || used.size >= wanted || rowsLeft <= 0) continue;
      find(scanSql(table, column), rowsLeft);
      rowsLeft -= Number(
        valuesOf(database, `SELECT count(*) FROM (SELECT 1 FROM ${table} LIMIT ?1)`, rowsLeft)[0]?.[0],
      );
    }
  return used;
}

/** The primary key begins with the first column. */
export function indexedSql(table: string, column: number, index: string | undefined): string {
  const rows = column === 0 ? table : `${table} INDEXED BY ${index}`;
  return `SELECT value FROM json_each(?1) WHERE EXISTS (SELECT 1 FROM ${rows} WHERE a${column + 1} = value)`;
}

function scanSql(table: string, column: number): string {
  return `SELECT DISTINCT symbol FROM (SELECT a${column + 1} AS symbol FROM ${table} LIMIT ?2) WHERE symbol IN (SELECT value FROM json_each(?1))`;
}

/** The first text behind all texts that begin with `prefix`, in the order of SQLite. */
export function behind(prefix: string): SqlValue {
  const points = Array.from(prefix, (character) => character.codePointAt(0) ?? 0);
  while (points.at(-1) === 0x10ffff) points.pop();
  const last = points.pop();
  // For SQLite every text is before every blob.
  if (last === undefined) return new Uint8Array();
  return String.fromCodePoint(...points, last === 0xd7ff ? 0xe000 : last + 1);
}

/** Not a statement of the connection: the texts depend on tables. */
function valuesOf(database: Connection, sql: string, ...parameters: SqlValue[]) {
  const statement = database.prepare(sql);
  try {
    return statement.values(...parameters);
  } finally {
    statement.finalize();
  }
}
