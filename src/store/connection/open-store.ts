/**
 * Opens the SQLite file of a node, and creates or migrates its fixed tables. The writer of a primary or a replica opens
 * the file for writing, the serving thread read-only; the write-ahead log isolates them. A database of an older release
 * keeps its format until `ostiary migrate`, so that the older release can use it again (`added-tables.ts`).
 */
import {
  attachAddedTables,
  moveAddedRows,
  type MovedListener,
  requireKnownAddedTables,
  tablesOf,
} from "./added-tables.ts";
import { Connection } from "./connection.ts";
import { oldestKeptFormat, readFormat, runMigrations, schemaVersion } from "./database-format.ts";

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
  /**
   * Attaches `added-tables.db` to a database that keeps its format: for readers and writers of the audit log. A listener
   * permits that a damaged file is moved away.
   */
  readonly addedTables?: true | MovedListener;
}

/**
 * Opens the file at `path`, and migrates it unless it is opened read-only or keeps its format. Creates a missing file
 * unless `readonly` or `create` forbid it. Throws as `readFormat` does.
 */
export function openStore(path: string, options: StoreOptions = {}): Connection {
  const { readonly = false, wal = true, create = true, synchronous = "FULL" } = options;
  const { newFormat = schemaVersion, convert = false, addedTables } = options;
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
    if (addedTables !== undefined) {
      const onMoved = addedTables === true ? undefined : addedTables;
      attachAddedTables(store, { synchronous: readonly ? undefined : synchronous, onMoved });
    }
    if (convert && !readonly) migrate(schemaVersion);
    return store;
  } catch (error) {
    store.close();
    throw error;
  }
}
