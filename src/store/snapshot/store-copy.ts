/**
 * Copies a store into another file, for snapshots, backups and new environments. Reads and writes continue meanwhile:
 * one read transaction sees one state. Tables are copied one by one, as `VACUUM INTO` does (SQLite moves whole records,
 * indexes included), so excluded tables are never read, and the copy is written only once.
 */
import { SqliteDatabase } from "../../runtime/sqlite.ts";
import { readFormat } from "../connection/database-format.ts";
import { mappedBytesMax, openStore } from "../connection/open-store.ts";
import { copyAddedAuditEntries } from "../log/audit-log.ts";
import { firstEpoch } from "../log/epochs.ts";
import { requireKnownSchema } from "../integrity/schema-check.ts";
import { earliestPointInTime, type PointInTime } from "../log/point-in-time.ts";
import type { SnapshotManifest } from "./snapshot-header.ts";
import { readState, type StoreState } from "../log/store-state.ts";

/** The tables whose rows are not copied. Settings never leave the node; a replica continues from a snapshot's offset. */
const excludedTables: Readonly<Record<SnapshotManifest["kind"], ReadonlySet<string>>> = {
  snapshot: new Set(["log", "cleared", "node"]),
  backup: new Set(["node"]),
};

interface StoreCopy {
  readonly format: number;
  readonly state: StoreState;
  /** The first epoch of its history. */
  readonly history: string;
  /** The earliest point in time that it can be recovered to; undefined for a snapshot, which has only its own. */
  readonly from: PointInTime | undefined;
  /** What is missing in the audit log, because a file is damaged. */
  readonly leftOut: string | undefined;
}

/**
 * Copies the store at `source` into a new file at `target`. A snapshot keeps the format of the source, because older
 * nodes may need it. A backup has everything, so it has the current format. Throws if the source is not a store, or has
 * a newer format.
 */
export function copyStore(source: string, target: string, kind: SnapshotManifest["kind"]): StoreCopy {
  copyTables(source, target, excludedTables[kind]);
  const isBackup = kind === "backup";
  const copy = openStore(target, { wal: false, convert: isBackup });
  try {
    const leftOut = isBackup ? copy.transaction(() => copyAddedAuditEntries(source, copy), "immediate") : undefined;
    const { epoch: history } = firstEpoch(copy);
    const from = isBackup ? earliestPointInTime(copy) : undefined;
    return { format: readFormat(copy), state: readState(copy), history, from, leftOut };
  } finally {
    copy.close();
  }
}

interface CopyOptions<Result> {
  /** The size that the new file may have. Beyond it the copy fails with `SQLITE_FULL`. */
  readonly bytesMax?: number;
  /** Reads from the schema `source` the same state as the copy. */
  readonly read?: (copy: SqliteDatabase) => Result;
}

/**
 * Copies all tables of the store at `source` into a new file at `target`, except the rows of the tables in `left`, with
 * the format of the source. Returns the result of `read`. Throws if the source is not a store, or has a newer format.
 */
export function copyTables<Result>(
  source: string,
  target: string,
  left: ReadonlySet<string>,
  { bytesMax, read }: CopyOptions<Result> = {},
): Result | undefined {
  const copy = new SqliteDatabase(target, { create: true, source });
  try {
    // Nobody else uses the file, and an incomplete copy is useless.
    copy.exec("PRAGMA main.journal_mode = OFF");
    copy.exec("PRAGMA main.synchronous = OFF");
    copy.exec("PRAGMA main.cache_size = -65536");
    copy.exec(`PRAGMA source.mmap_size = ${mappedBytesMax}`);
    if (bytesMax !== undefined) limitSize(copy, bytesMax);
    return copy.transaction(() => {
      // The copy gets the schema of the source, and a trigger in it would run with each row.
      const format = requireKnownSchema(copy, "source", source);
      copyRows(copy, left);
      copy.exec(`PRAGMA main.user_version = ${format}`);
      return read?.(copy);
    });
  } finally {
    copy.close();
  }
}

/** The most pages that SQLite accepts as a limit in all its versions. */
const pagesMax = 2 ** 30 - 1;

function limitSize(copy: SqliteDatabase, bytesMax: number): void {
  const pageBytes = Number(copy.prepare("PRAGMA main.page_size").values()[0]?.[0]);
  const pages = Math.min(pagesMax, Math.max(1, Math.floor(bytesMax / pageBytes)));
  copy.exec(`PRAGMA main.max_page_count = ${pages}`);
}

function copyRows(copy: SqliteDatabase, left: ReadonlySet<string>): void {
  const select =
    "SELECT type, name, sql FROM source.sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite!_%' ESCAPE '!'";
  const objects = copy.prepare(select).values() as [type: string, name: string, sql: string][];
  // Indexes before rows: SQLite transfers whole records only between tables that are identical, indexes included.
  for (const [, , sql] of objects) copy.exec(sql);
  for (const [type, name] of objects) {
    const quoted = `"${name.replaceAll('"', '""')}"`;
    if (type === "table" && !left.has(name)) copy.exec(`INSERT INTO main.${quoted} SELECT * FROM source.${quoted}`);
  }
}
