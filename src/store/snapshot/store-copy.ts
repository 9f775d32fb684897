/**
 * A copy of a store as it is at one moment, made without stopping anybody: a reader of a WAL sees one state for as long as it likes. Tables are
 * copied one by one, as `VACUUM INTO` does it (SQLite's transfer of whole records, indexes included), so that what stays behind is never read, and
 * does not have to be deleted from a copy that then has to be written a second time.
 */
import { createSqliteWithSource, type SqliteDatabase } from "../../runtime/sqlite.ts";
import { mappedBytesMax, newerFormatError, openStore, schemaVersion } from "../connection/open-store.ts";
import { firstEpoch } from "../log/epochs.ts";
import { requireKnownSchema } from "../integrity/schema-check.ts";
import { earliestPointInTime, type PointInTime } from "../log/point-in-time.ts";
import type { SnapshotManifest } from "./snapshot-header.ts";
import { readState, type StoreState } from "../log/store-state.ts";

/**
 * Whose rows stay behind: what belongs to the sending node alone, and of a snapshot the log and what its events took
 * away: a receiver follows from here on.
 */
const excludedTables: Readonly<Record<SnapshotManifest["kind"], ReadonlySet<string>>> = {
  snapshot: new Set(["log", "cleared", "node"]),
  backup: new Set(["node"]),
};

export interface StoreCopy {
  readonly state: StoreState;
  /** The first epoch of its history. */
  readonly history: string;
  /** The earliest moment that it can be taken back to; of a snapshot there is none but its own. */
  readonly from: PointInTime | undefined;
}

/**
 * Copies the store at `source` into a new file at `target`, which has the format of this binary also where the source is older. Throws where the
 * source is no store, or of a newer format.
 */
export function copyStore(source: string, target: string, kind: SnapshotManifest["kind"]): StoreCopy {
  copyAsItIs(source, target, excludedTables[kind]);
  const copy = openStore(target, { wal: false });
  try {
    const { epoch: history } = firstEpoch(copy);
    return { state: readState(copy), history, from: kind === "backup" ? earliestPointInTime(copy) : undefined };
  } finally {
    copy.close();
  }
}

function copyAsItIs(source: string, target: string, left: ReadonlySet<string>): void {
  const copy = createSqliteWithSource(target, source);
  try {
    // Nobody else knows of the file, and it is worth nothing before it is whole.
    copy.exec("PRAGMA main.journal_mode = OFF");
    copy.exec("PRAGMA main.synchronous = OFF");
    copy.exec("PRAGMA main.cache_size = -65536");
    copy.exec(`PRAGMA source.mmap_size = ${mappedBytesMax}`);
    copy.transaction(() => {
      const schema = Number(copy.prepare("PRAGMA source.user_version").values()[0]?.[0]);
      if (schema > schemaVersion) throw newerFormatError(source, schema);
      // The copy gets what the source has, and a trigger would run with each row.
      requireKnownSchema(copy, "source");
      copyTables(copy, left);
      copy.exec(`PRAGMA main.user_version = ${schema}`);
    });
  } finally {
    copy.close();
  }
}

function copyTables(copy: SqliteDatabase, left: ReadonlySet<string>): void {
  const made = copy
    .prepare(
      "SELECT type, name, sql FROM source.sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite!_%' ESCAPE '!'",
    )
    .values()
    .map((row) => row.map(String) as [type: string, name: string, sql: string]);
  // With their indexes before any row: only between tables that are alike in everything are whole records transferred.
  for (const [, , sql] of made) copy.exec(sql);
  for (const [type, name] of made) {
    const quoted = `"${name.replaceAll('"', '""')}"`;
    if (type === "table" && !left.has(name)) copy.exec(`INSERT INTO main.${quoted} SELECT * FROM source.${quoted}`);
  }
}
