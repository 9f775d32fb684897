/**
 * A copy of a store as it is at one moment, made without stopping anybody: a reader of a WAL sees one state for as long as it likes. Tables are
 * copied one by one, as `VACUUM INTO` does it (SQLite's transfer of whole records, indexes included), so that what stays behind is never read, and
 * does not have to be deleted from a copy that then has to be written a second time.
 */
import { openSqliteBeside, type SqlDatabase } from "../runtime/sqlite.ts";
import { AppError } from "../util/app-error.ts";
import { schemaVersion } from "./database.ts";
import { readState, type State } from "./state.ts";

/** Whose rows stay behind: the log, which a receiver follows from here on, and what belongs to the sending node alone. */
const leftBehind: ReadonlySet<string> = new Set(["log", "node"]);

export interface StoreCopy {
  readonly state: State;
  /** The version of the file format. */
  readonly schema: number;
}

/** Copies the store at `source` into a new file at `target`. Throws where the source is no store, or of a newer format. */
export function copyStore(source: string, target: string): StoreCopy {
  const copy = openSqliteBeside(target, source);
  try {
    // Nobody else knows of the file, and it is worth nothing before it is whole.
    copy.exec("PRAGMA main.journal_mode = OFF");
    copy.exec("PRAGMA main.synchronous = OFF");
    copy.exec("PRAGMA main.cache_size = -65536");
    copy.exec("PRAGMA source.mmap_size = 1073741824");
    return copy.transaction(() => {
      const schema = Number(copy.prepare("PRAGMA source.user_version").values()[0]?.[0]);
      if (schema > schemaVersion)
        throw new AppError(
          "conflict",
          `\`${source}\` has format ${schema}, this binary knows formats up to ${schemaVersion}`,
        );
      copyTables(copy);
      copy.exec(`PRAGMA main.user_version = ${schema}`);
      return { state: readState(copy), schema };
    });
  } finally {
    copy.close();
  }
}

function copyTables(copy: SqlDatabase): void {
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
    if (type === "table" && !leftBehind.has(name))
      copy.exec(`INSERT INTO main.${quoted} SELECT * FROM source.${quoted}`);
  }
}
