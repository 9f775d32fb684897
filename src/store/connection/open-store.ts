/**
 * Opens the SQLite file of a node and migrates its fixed tables. The writer of a primary or a replica opens the file
 * for writing, the serving thread read-only; the write-ahead log isolates them. Migrations are imported as text,
 * because the binary has no folder to read them from. `PRAGMA user_version` counts the migrations that have run.
 */
import { AppError } from "../../util/app-error.ts";
import type { SqliteDatabase } from "../../runtime/sqlite.ts";
import { Connection } from "./connection.ts";
import fixedTables from "./migrations/0001-fixed-tables.sql" with { type: "text" };
import closures from "./migrations/0002-closures.sql" with { type: "text" };
import versions from "./migrations/0003-versions.sql" with { type: "text" };
import degrees from "./migrations/0004-degrees.sql" with { type: "text" };
import history from "./migrations/0005-history.sql" with { type: "text" };
import audit from "./migrations/0006-audit.sql" with { type: "text" };

const migrations: readonly string[] = [fixedTables, closures, versions, degrees, history, audit];

/** The format that this binary writes, and the newest one that it reads. */
export const schemaVersion = migrations.length;

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
}

/**
 * Opens the file at `path` and migrates it, unless it is opened read-only. Creates a missing file unless `readonly` or
 * `create` forbid it. Throws as `readFormat` does.
 */
export function openStore(path: string, options: StoreOptions = {}): Connection {
  const { readonly = false, wal = true, create = true, synchronous = "FULL" } = options;
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
    const format = readFormat(store);
    if (!readonly && format < schemaVersion)
      store.transaction(() => {
        runMigrations(store, format, schemaVersion);
        store.exec(`PRAGMA user_version = ${schemaVersion}`);
      }, "immediate");
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
