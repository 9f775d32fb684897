/**
 * The tables that later formats have added, beside a database that keeps an older format: `added-tables.db`, which older
 * releases ignore. SQLite finds an attached table by its name alone, so all statements are the same for both formats.
 * The file belongs to the data directory: it stays when a snapshot replaces the database. A power cut can keep the last
 * commits of one of both files only.
 */
import { existsSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { SqliteDatabase } from "../../runtime/sqlite.ts";
import { AppError } from "../../util/app-error.ts";
import { reasonOf } from "../../util/reason.ts";
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

/** The tables of the formats after the oldest that a database keeps. */
export const addedTables: readonly string[] = ["audit"];

/**
 * Removes `added-tables.db` beside the database at `path`, which has its rows. A file of a later release keeps the tables
 * that only that release knows. A damaged one stays under another name, and the result says so.
 */
export function removeAddedTables(path: string): string | undefined {
  const file = addedTablesPath(path);
  try {
    if (existsSync(file) && isOfLaterRelease(file)) emptyAddedTables(file);
    else removeFiles(file);
    return undefined;
  } catch (error) {
    if (!isDamage(error)) throw error;
    return moveAway(file, error);
  }
}

/** Moves `added-tables.db` beside the database at `path` away if it is damaged, and says so. Nobody may write it. */
export function moveDamagedAddedTables(path: string): string | undefined {
  const file = addedTablesPath(path);
  try {
    isOfLaterRelease(file);
    return undefined;
  } catch (error) {
    if (!isDamage(error)) throw error;
    return moveAway(file, error);
  }
}

/** Throws an error that `isDamage` recognises if the file is damaged. */
function isOfLaterRelease(file: string): boolean {
  const added = new SqliteDatabase(file, {});
  try {
    requireSoundTables(added);
    return formatOf(added) > schemaVersion;
  } finally {
    added.close();
  }
}

function emptyAddedTables(file: string): void {
  const added = new SqliteDatabase(file, {});
  try {
    added.exec("PRAGMA busy_timeout = 5000");
    for (const name of addedTables) added.exec(`DELETE FROM "${name}"`);
  } finally {
    added.close();
  }
}

function removeFiles(file: string): void {
  for (const each of [file, `${file}-wal`, `${file}-shm`]) rmSync(each, { force: true });
}

/**
 * No connection may use the file for writing: its end would remove the write-ahead log of the next file. Returns what an
 * operator has to know.
 */
function moveAway(file: string, error: unknown): string {
  const damaged = `${file}.damaged`;
  renameSync(file, damaged);
  removeFiles(file);
  return `\`${file}\`, which has the audit log of a database with an older format, is damaged (${reasonOf(error)}): it was moved to \`${damaged}\`, and other nodes have its entries; check the disk`;
}

/** Gets what an operator has to know about a damaged file that was moved away. */
export type MovedListener = (problem: string) => void;

interface AttachOptions {
  /** That of the connection that writes the file, or each of its commits would wait for the disk because of this file. */
  readonly synchronous?: "FULL" | "NORMAL" | undefined;
  /** Undefined if another connection writes the file: only that one may replace it. */
  readonly onMoved?: MovedListener | undefined;
}

/**
 * Attaches the file, and creates it if it is missing. One that is damaged is renamed: it must not look as if the database
 * was damaged, and other nodes have its rows. Who only reads, on the serving thread, leaves the search for damage to the
 * writer. Throws an error that `isDamage` recognises if the file is damaged and may not be replaced.
 */
export function attachAddedTables(store: Connection, { synchronous, onMoved }: AttachOptions): void {
  const path = addedTablesPath(store.path);
  try {
    createAddedTables(path, synchronous !== undefined);
  } catch (error) {
    if (onMoved === undefined || !isDamage(error)) throw error;
    onMoved(moveAway(path, error));
    createAddedTables(path, false);
  }
  // Before, so that the number of another file only costs another attachment.
  store.addedTablesInode = statSync(path).ino;
  store.prepare("ATTACH ?1 AS added").run(path);
  store.hasAddedTables = true;
  if (synchronous !== undefined) store.exec(`PRAGMA added.synchronous = ${synchronous}`);
}

/** Whether the attached file is still the one at its path. */
export function hasPresentAddedTables(store: Connection): boolean {
  return store.hasAddedTables && store.addedTablesInode === statSync(addedTablesPath(store.path)).ino;
}

/** Outside of a transaction. Throws while a statement of this connection reads the tables. */
export function detachAddedTables(store: Connection): void {
  store.exec("DETACH added");
  store.hasAddedTables = false;
}

/** Whether the attached tables are damaged, so that SQLite's report of damage does not concern the database itself. */
export function hasDamagedAddedTables(store: Connection): boolean {
  if (!store.hasAddedTables) return false;
  try {
    requireSoundTables(store, "added");
    return false;
  } catch (error) {
    // Otherwise the disk cannot read them now.
    return isDamage(error);
  }
}

/** Throws an error that `isDamage` recognises. */
export function requireSoundTables(database: SqliteDatabase, schema: "main" | "added" = "main"): void {
  const damage = String(database.prepare(`PRAGMA ${schema}.quick_check(1)`).values()[0]?.[0]);
  if (damage !== "ok") throw Object.assign(new Error(damage), { code: "SQLITE_CORRUPT" });
}

function formatOf(added: SqliteDatabase): number {
  return Number(added.prepare("PRAGMA user_version").values()[0]?.[0]);
}

/** Creates the file, or the tables that it lacks. Throws an error that `isDamage` recognises if it is damaged. */
function createAddedTables(path: string, isChecked: boolean): void {
  const isNew = !existsSync(path);
  const added = new SqliteDatabase(path, { create: true });
  try {
    added.exec("PRAGMA busy_timeout = 5000");
    added.exec("PRAGMA trusted_schema = OFF");
    // Also for a file whose creation was interrupted.
    added.exec("PRAGMA journal_mode = WAL");
    // Nothing can be lost, and a file that a power cut damages is made again.
    if (isNew) added.exec("PRAGMA synchronous = OFF");
    if (isChecked) requireSoundTables(added);
    if (formatOf(added) >= schemaVersion) return;
    added.transaction(() => {
      // Another thread may have been faster.
      const format = Math.max(formatOf(added), oldestKeptFormat);
      runMigrations(added, format, schemaVersion);
      added.exec(`PRAGMA user_version = ${Math.max(format, schemaVersion)}`);
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
