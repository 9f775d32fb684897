/**
 * One node's SQLite file. The primary and the writer of an edge open it for writing, the serving thread read-only; WAL keeps them apart.
 * Migrations are imported as text, because a single binary has no folder to read; `PRAGMA user_version` counts those that ran.
 */
import { AppError } from "../../util/app-error.ts";
import { openSqlite, type SqliteDatabase } from "../../runtime/sqlite.ts";
import { Connection } from "./connection.ts";
import fixedTables from "./migrations/0001-fixed-tables.sql" with { type: "text" };
import closures from "./migrations/0002-closures.sql" with { type: "text" };
import versions from "./migrations/0003-versions.sql" with { type: "text" };
import degrees from "./migrations/0004-degrees.sql" with { type: "text" };
import history from "./migrations/0005-history.sql" with { type: "text" };

const migrations: readonly string[] = [fixedTables, closures, versions, degrees, history];

/** The version of the file format that this binary writes and the newest that it reads. */
export const schemaVersion = migrations.length;

/** How much of a file is mapped: the most that SQLite takes, since all past it is read and copied. Ten million facts are half of it. */
export const mappedBytesMax = 0x7fff_0000;

export interface StoreOptions {
  readonly readonly?: boolean;
  /** False for a file that will be read where nothing can be written beside it. */
  readonly wal?: boolean;
  /** False where a missing file is an error. */
  readonly create?: boolean;
  /** `FULL` survives a power cut (the primary), `NORMAL` a crash of the process (nodes that can catch up). */
  readonly synchronous?: "FULL" | "NORMAL";
}

/** Opens the file at `path` and brings its tables up to date; a writable one is created where it is missing, unless that is refused. Throws on a newer format. */
export function openStore(path: string, options: StoreOptions = {}): Connection {
  const database = openSqlite(path, options.readonly ? { readonly: true } : { create: options.create ?? true });
  try {
    // The time-out comes first: the pragmas below may have to wait for another connection's lock.
    database.exec("PRAGMA busy_timeout = 5000");
    // No schema needs a function that may do more than compute: a file that was changed by others could name one.
    database.exec("PRAGMA trusted_schema = OFF");
    if (!options.readonly) {
      if (options.wal ?? true) database.exec("PRAGMA journal_mode = WAL");
      database.exec(`PRAGMA synchronous = ${options.synchronous ?? "FULL"}`);
    }
    database.exec("PRAGMA cache_size = -65536");
    database.exec(`PRAGMA mmap_size = ${mappedBytesMax}`);
    database.exec("PRAGMA temp_store = MEMORY");
    migrate(database, options.readonly ?? false);
    return new Connection(database);
  } catch (error) {
    database.close();
    throw error;
  }
}

/** A format that is further ahead is damage: bits have flipped in its number. */
const formatsAheadMax = 1000;

/**
 * A database of a newer version is not damaged. Its code is `conflict`, so nobody puts the file aside or replaces it: the node does not start, and the
 * operator decides.
 */
export function newerFormatError(path: string, version: number): AppError {
  if (version > schemaVersion + formatsAheadMax)
    return new AppError("internal", `the database \`${path}\` has format ${version}, which no version of Ostiary has`);
  return new AppError(
    "conflict",
    `the database \`${path}\` has format ${version}, and this version knows formats up to ${schemaVersion}: a newer version of Ostiary wrote it. Start that version or a later one. To go back to this version, use a backup from before the upgrade; an edge or a fallback can also start with an empty data directory, and takes a snapshot from a primary of this version`,
  );
}

function migrate(database: SqliteDatabase, readonly: boolean): void {
  const version = Number(database.prepare("PRAGMA user_version").values()[0]?.[0]);
  if (version > schemaVersion) throw newerFormatError(database.path, version);
  if (readonly || version === schemaVersion) return;
  database.transaction(() => {
    runMigrations(database, version, schemaVersion);
    database.exec(`PRAGMA user_version = ${schemaVersion}`);
  }, "immediate");
}

/** Brings the fixed tables from one format to another. */
export function runMigrations(database: SqliteDatabase, from: number, to: number): void {
  for (const sql of migrations.slice(from, to)) database.exec(sql);
}
