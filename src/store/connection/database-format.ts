/**
 * The format of a database, which `PRAGMA user_version` counts: how many migrations of the fixed tables have run.
 * Migrations are imported as text, because the binary has no folder to read them from.
 */
import { AppError } from "../../util/app-error.ts";
import type { SqliteDatabase } from "../../runtime/sqlite.ts";
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
