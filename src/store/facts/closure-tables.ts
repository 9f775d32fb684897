/** Closure tables: one for each transitive closure that queries read. A row is a pair of symbols, indexed both ways. */
import type { Connection } from "../connection/connection.ts";
import { must } from "../../util/assert.ts";

export interface ClosureTable {
  readonly id: number;
  /** The name of the `Closure`. */
  readonly name: string;
  readonly table: string;
  readonly rows: number;
  /** False for a closure that is too large: its table is empty. */
  readonly isMaterialized: boolean;
}

/** All closures, materialized or not. */
export function closureTables(database: Connection): ClosureTable[] {
  const closures = database.statement("SELECT id, name, rows, kept FROM closure ORDER BY id").values();
  return closures.map(([id, name, rows, kept]) => ({
    id: Number(id),
    name: String(name),
    table: closureTableName(Number(id)),
    rows: Number(rows),
    isMaterialized: kept === 1,
  }));
}

export interface ClosureCounts {
  /** Closures with a table. */
  readonly kept: number;
  /** Closures that are too large for a table; queries walk the facts instead. */
  readonly walked: number;
  /** The rows of all tables. */
  readonly rows: number;
}

export function countClosures(database: Connection): ClosureCounts {
  const sql = "SELECT count(*) FILTER (WHERE kept = 1), count(*) FILTER (WHERE kept = 0), total(rows) FROM closure";
  const [kept, walked, rows] = must(database.statement(sql).values()[0]).map(Number) as [number, number, number];
  return { kept, walked, rows };
}

/** Creates the empty table of a closure. */
export function createClosureTable(database: Connection, name: string): ClosureTable {
  const id = must(database.number("SELECT coalesce(max(id), 0) + 1 FROM closure"));
  database.statement("INSERT INTO closure (id, name, rows, kept) VALUES (?1, ?2, 0, 1)").run(id, name);
  database.exec(closureTableSql(id));
  return { id, name, table: closureTableName(id), rows: 0, isMaterialized: true };
}

/** The statements that create the table and its index. */
export function closureTableSql(id: number): string {
  const table = closureTableName(id);
  return `CREATE TABLE ${table} (a1 INTEGER NOT NULL, a2 INTEGER NOT NULL, PRIMARY KEY (a1, a2)) WITHOUT ROWID;
     CREATE INDEX ${table}_by_2 ON ${table} (a2, a1)`;
}

function closureTableName(id: number): string {
  return `closure_${id}`;
}

export function dropClosureTable(database: Connection, { id, table }: ClosureTable): void {
  database.statement("DELETE FROM closure WHERE id = ?1").run(id);
  database.exec(`DROP TABLE ${table}`);
}

/** Adds to the row count of a closure. Returns the new count. */
export function addClosureRows(database: Connection, { id }: ClosureTable, grown: number): number {
  return must(database.number("UPDATE closure SET rows = rows + ?2 WHERE id = ?1 RETURNING rows", id, grown));
}

/** Deletes all rows, because there are too many. The closure is not materialized from now on. */
export function emptyClosureTable(database: Connection, { id, table }: ClosureTable): void {
  database.exec(`DELETE FROM ${table}`);
  database.statement("UPDATE closure SET rows = 0, kept = 0 WHERE id = ?1").run(id);
}
