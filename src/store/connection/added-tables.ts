/**
 * The tables that later formats have added, beside a database that keeps an older format: `added-tables.db`, which older
 * releases ignore. SQLite finds an attached table by its name alone, so all statements are the same for both formats.
 * The file belongs to the data directory: it stays when a snapshot replaces the database. A power cut can keep the last
 * commits of one of both files only.
 */
import { existsSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { SqliteDatabase } from "../../runtime/sqlite.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { AppError } from "../../util/app-error.ts";
import { isDamage } from "../../util/storage-failure.ts";
import type { Connection } from "./connection.ts";
import { oldestKeptFormat, runMigrations, schemaVersion } from "./database-format.ts";

/** The path of `added-tables.db` for the database at `path`. */
export function addedTablesPath(path: string): string {
  return join(dirname(path), "added-tables.db");
}

/** The number that tells attached tables from those of another data directory. */
export function readAddedTablesId(store: Connection): number {
  return Number(store.prepare("PRAGMA added.application_id").values()[0]?.[0]);
}

export function writeAddedTablesId(store: Connection, id: number): void {
  store.exec(`PRAGMA added.application_id = ${id}`);
}

/** Removes `added-tables.db` beside the database at `path`, which must have its rows. */
export function removeAddedTables(path: string): void {
  for (const file of filesOf(addedTablesPath(path))) rmSync(file, { force: true });
}

function filesOf(path: string): string[] {
  return [path, `${path}-wal`, `${path}-shm`];
}

/**
 * A damaged file is renamed: it must not look as if the database was damaged, and other nodes have its rows. Who only
 * reads, on the serving thread, leaves the search for damage to the writer.
 */
export function attachAddedTables(store: Connection, readonly: boolean): void {
  const path = addedTablesPath(store.path);
  try {
    createAddedTables(path, !readonly);
  } catch (error) {
    if (!isDamage(error)) throw error;
    const damaged = `${path}.damaged`;
    getLogger("store").error("{path} is damaged and was moved to {damaged}: {error}", { path, damaged, error });
    renameSync(path, damaged);
    removeAddedTables(store.path);
    createAddedTables(path, false);
  }
  store.prepare("ATTACH ?1 AS added").run(path);
  store.hasAddedTables = true;
}

/** Creates the file, or the tables that it lacks. Throws an error that `isDamage` recognises if it is damaged. */
function createAddedTables(path: string, isChecked: boolean): void {
  const isNew = !existsSync(path);
  const added = new SqliteDatabase(path, { create: true });
  const format = (): number => Number(added.prepare("PRAGMA user_version").values()[0]?.[0]);
  try {
    added.exec("PRAGMA busy_timeout = 5000");
    added.exec("PRAGMA trusted_schema = OFF");
    if (isNew) {
      added.exec("PRAGMA journal_mode = WAL");
      // Nothing can be lost, and a file that a power cut damages is made again.
      added.exec("PRAGMA synchronous = OFF");
    }
    const damage = isChecked ? String(added.prepare("PRAGMA quick_check(1)").values()[0]?.[0]) : "ok";
    if (damage !== "ok") throw Object.assign(new Error(damage), { code: "SQLITE_CORRUPT" });
    if (format() >= schemaVersion) return;
    added.transaction(() => {
      // Another thread may have been faster.
      runMigrations(added, Math.max(format(), oldestKeptFormat), schemaVersion);
      added.exec(`PRAGMA user_version = ${Math.max(format(), schemaVersion)}`);
    }, "immediate");
  } finally {
    added.close();
  }
}

/** A later release can have added tables that this one would lose. */
export function requireKnownAddedTables(store: Connection): void {
  const format = Number(store.prepare("PRAGMA added.user_version").values()[0]?.[0]);
  if (format <= schemaVersion) return;
  const path = addedTablesPath(store.path);
  throw new AppError(
    "conflict",
    `the file \`${path}\` has tables of format ${format}, and this version knows formats up to ${schemaVersion}: a newer version of Ostiary wrote it. Migrate with that version or a later one; until then this version works without a migration`,
  );
}

/** Moves the rows into the tables that the migration has created. Earlier ones have rows of their own. */
export function moveAddedRows(store: Connection, isCreated: (table: string) => boolean): void {
  const created = new Set(tablesOf(store, "main").filter(isCreated));
  for (const name of tablesOf(store, "added"))
    if (created.has(name)) store.exec(`INSERT OR IGNORE INTO main."${name}" SELECT * FROM added."${name}"`);
}

export function tablesOf(store: Connection, schema: "main" | "added"): string[] {
  const select = `SELECT name FROM ${schema}.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'`;
  return store
    .prepare(select)
    .values()
    .map(([name]) => String(name));
}
