/**
 * Opens the SQLite file of a node, and creates or migrates its fixed tables. The writer of a primary or a replica opens
 * the file for writing, the serving thread read-only; the write-ahead log isolates them. Migrations are imported as
 * text, because the binary has no folder to read them from. `PRAGMA user_version` counts the migrations that have run.
 *
 * A database of an older release keeps its format until `ostiary migrate`, so that the older release can use it again.
 * Tables that later formats have added are in a file beside it, `added-tables.db`, which older releases ignore. SQLite
 * finds an attached table by its name alone, so all statements are the same for both formats. The file belongs to the
 * data directory: it stays when a snapshot replaces the database. A power cut can keep the last commits of one of both
 * files only.
 */
import { existsSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { AppError } from "../../util/app-error.ts";
import { isDamage } from "../../util/storage-failure.ts";
import { SqliteDatabase } from "../../runtime/sqlite.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { Connection } from "./connection.ts";
import fixedTables from "./migrations/0001-fixed-tables.sql" with { type: "text" };
import closures from "./migrations/0002-closures.sql" with { type: "text" };
import versions from "./migrations/0003-versions.sql" with { type: "text" };
import degrees from "./migrations/0004-degrees.sql" with { type: "text" };
import history from "./migrations/0005-history.sql" with { type: "text" };
import audit from "./migrations/0006-audit.sql" with { type: "text" };

const migrations: readonly string[] = [fixedTables, closures, versions, degrees, history, audit];

/** The newest format that this binary reads, and the one of new databases. */
export const schemaVersion = migrations.length;

/**
 * The oldest format that a database keeps: that of release 0.1.0. Later migrations only add tables (a test checks it),
 * and older releases refuse a newer format.
 */
export const oldestKeptFormat = 5;

/** How much of a file is mapped into memory: SQLite allows no more. Ten million facts take half of it. */
export const mappedBytesMax = 0x7fff_0000;

export interface StoreOptions {
  readonly readonly?: boolean;
  /** False for a file that others will read from a directory that they may not write to. */
  readonly wal?: boolean;
  /** False if a missing file is an error. */
  readonly create?: boolean;
  /** `FULL` survives a power cut (the primary), `NORMAL` a crash of the process (nodes that can catch up). */
  readonly synchronous?: "FULL" | "NORMAL";
  /** The format of a new database, if not the newest one; it is one that databases keep. */
  readonly newFormat?: number;
  /** Migrates also a database that would keep its format. Nobody else may use the file. */
  readonly convert?: boolean;
  /** Attaches `added-tables.db` to a database that keeps its format: for readers and writers of the audit log. */
  readonly addedTables?: boolean;
}

/**
 * Opens the file at `path`, and migrates it unless it is opened read-only or keeps its format. Creates a missing file
 * unless `readonly` or `create` forbid it. Throws as `readFormat` does.
 */
export function openStore(path: string, options: StoreOptions = {}): Connection {
  const { readonly = false, wal = true, create = true, synchronous = "FULL" } = options;
  const { newFormat = schemaVersion, convert = false, addedTables = false } = options;
  const store = new Connection(path, readonly ? { readonly } : { create });
  try {
    // First, because the pragmas below may have to wait for a lock of another connection.
    store.exec("PRAGMA busy_timeout = 5000");
    // A schema that somebody changed could call functions that do more than compute. No schema of ours calls any.
    store.exec("PRAGMA trusted_schema = OFF");
    if (!readonly && wal) store.exec("PRAGMA journal_mode = WAL");
    if (!readonly) store.exec(`PRAGMA synchronous = ${synchronous}`);
    store.exec("PRAGMA cache_size = -65536");
    store.exec(`PRAGMA mmap_size = ${mappedBytesMax}`);
    store.exec("PRAGMA temp_store = MEMORY");
    let format = readFormat(store);
    const migrate = (to: number): void => {
      if (store.hasAddedTables) requireKnownAddedTables(store);
      store.transaction(() => {
        const earlier = new Set(tablesOf(store, "main"));
        runMigrations(store, format, to);
        if (store.hasAddedTables) moveAddedRows(store, (name) => !earlier.has(name));
        store.exec(`PRAGMA user_version = ${to}`);
      }, "immediate");
      format = to;
    };
    if (!readonly && format < oldestKeptFormat) migrate(format === 0 ? newFormat : schemaVersion);
    if (format < oldestKeptFormat || format === schemaVersion) return store;
    if (addedTables) {
      attachAddedTables(store, readonly);
      // Otherwise each commit would wait for the disk because of them.
      if (!readonly) store.exec(`PRAGMA added.synchronous = ${synchronous}`);
    }
    if (convert && !readonly) migrate(schemaVersion);
    return store;
  } catch (error) {
    store.close();
    throw error;
  }
}

/** A greater difference means damage: bits have flipped in the number. */
const formatsAheadMax = 1000;

/**
 * The format of an open database, or of the one that is attached to it as `source` from `path`. Throws an AppError:
 * `internal` for a number that no version writes, `conflict` for the format of a newer version. Such a database is not
 * damaged: the node neither quarantines nor replaces it, it does not start, and the operator decides.
 */
export function readFormat(database: SqliteDatabase, schema: "main" | "source" = "main", path = database.path): number {
  const format = Number(database.prepare(`PRAGMA ${schema}.user_version`).values()[0]?.[0]);
  if (format < 0 || format > schemaVersion + formatsAheadMax)
    throw new AppError(
      "internal",
      `the database \`${path}\` has format ${format}, which no version of Ostiary writes: it is damaged, or another program has changed it. Use a backup, or the copy of another node`,
    );
  if (format > schemaVersion)
    throw new AppError(
      "conflict",
      `the database \`${path}\` has format ${format}, and this version knows formats up to ${schemaVersion}: a newer version of Ostiary wrote it. Start that version or a later one. To go back to this version, use a backup from before the upgrade; an edge or a fallback can also start with an empty data directory, and takes a snapshot from a primary of this version`,
    );
  return format;
}

/** Migrates the fixed tables from one format to another. */
export function runMigrations(database: SqliteDatabase, from: number, to: number): void {
  for (const sql of migrations.slice(from, to)) database.exec(sql);
}

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
function attachAddedTables(store: Connection, readonly: boolean): void {
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
function requireKnownAddedTables(store: Connection): void {
  const format = Number(store.prepare("PRAGMA added.user_version").values()[0]?.[0]);
  if (format <= schemaVersion) return;
  const path = addedTablesPath(store.path);
  throw new AppError(
    "conflict",
    `the file \`${path}\` has tables of format ${format}, and this version knows formats up to ${schemaVersion}: a newer version of Ostiary wrote it. Migrate with that version or a later one; until then this version works without a migration`,
  );
}

/** Moves the rows into the tables that the migration has created. Earlier ones have rows of their own. */
function moveAddedRows(store: Connection, isCreated: (table: string) => boolean): void {
  const created = new Set(tablesOf(store, "main").filter(isCreated));
  for (const name of tablesOf(store, "added"))
    if (created.has(name)) store.exec(`INSERT OR IGNORE INTO main."${name}" SELECT * FROM added."${name}"`);
}

function tablesOf(store: Connection, schema: "main" | "added"): string[] {
  const select = `SELECT name FROM ${schema}.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'`;
  return store
    .prepare(select)
    .values()
    .map(([name]) => String(name));
}
