/**
 * A connection to an SQLite database: transactions, statements and typed queries over the driver of the runtime. Rows
 * are arrays. Integers above 2^53 never occur: symbols stay below, and hashes are strings.
 */
import { closeSync, openSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { platform } from "#platform";
import { BetterSQLiteSession } from "drizzle-orm/better-sqlite3/session";
import { BaseSQLiteDatabase } from "drizzle-orm/sqlite-core/db";
import { SQLiteSyncDialect } from "drizzle-orm/sqlite-core/dialect";
import type { SqliteDriverConnection, SqlStatement, SqlValue } from "./platform.ts";

export type { SqlRow, SqlStatement, SqlValue } from "./platform.ts";

export type Orm = BaseSQLiteDatabase<"sync", void>;

export type TransactionMode = "deferred" | "immediate";

export interface Transaction {
  commit(): void;
  rollback(): void;
}

export interface SqliteOptions {
  readonly readonly?: boolean;
  /** Creates a missing file, which only its owner may open. */
  readonly create?: boolean;
  /** A file that is attached read-only as the schema `source`. */
  readonly source?: string;
}

const memory = ":memory:";

/** A connection to a database file, or to a database in memory. */
export class SqliteDatabase {
  readonly path: string;
  /** Typed queries on the fixed tables, on the same connection. */
  readonly orm: Orm;
  readonly #driver: SqliteDriverConnection;
  #rollbacks = 0;

  /** Opens the file at `path`. Throws if it is missing and `create` is not set, or if it is not a database. */
  constructor(path: string, { readonly = false, create = false, source }: SqliteOptions = {}) {
    if (create && path !== memory) makePrivate(path);
    this.path = path;
    const mode = readonly ? "readonly" : create ? "create" : "readwrite";
    this.#driver = source === undefined ? platform.openSqlite(path, mode) : openWithSource(path, source);
    this.orm = ormOver(this.#driver);
  }

  /** Whether a transaction is open. Some disk errors end a transaction. */
  get inTransaction(): boolean {
    return this.#driver.inTransaction;
  }

  /** How often a savepoint or a transaction was rolled back on this connection. */
  get rollbacks(): number {
    return this.#rollbacks;
  }

  prepare(sql: string): SqlStatement {
    return this.#driver.prepare(sql);
  }

  /** Runs one or more statements without parameters. */
  exec(sql: string): void {
    if (sql.startsWith("ROLLBACK")) this.#rollbacks++;
    this.#driver.exec(sql);
  }

  /** Runs `body` in a transaction (`immediate` takes the write lock at its start), and rolls back if it throws. */
  transaction<T>(body: () => T, mode?: TransactionMode): T {
    const transaction = this.begin(mode);
    try {
      const result = body();
      transaction.commit();
      return result;
    } catch (error) {
      transaction.rollback();
      throw error;
    }
  }

  /** Begins a transaction. The caller must end it with a commit, or with a rollback if the commit throws. */
  begin(mode: TransactionMode = "deferred"): Transaction {
    this.#driver.exec(mode === "immediate" ? "BEGIN IMMEDIATE" : "BEGIN");
    return {
      commit: () => this.#driver.exec("COMMIT"),
      rollback: () => {
        this.#rollbacks++;
        // Some errors have rolled it back already.
        if (this.#driver.inTransaction) this.#driver.exec("ROLLBACK");
      },
    };
  }

  close(): void {
    this.#driver.close();
  }
}

/** Creates or opens the file at `path`, with the file at `source` attached. */
function openWithSource(path: string, source: string): SqliteDriverConnection {
  // Only a URL can attach a file read-only.
  const driver = platform.openSqlite(pathToFileURL(path).href, "create");
  try {
    driver.exec("PRAGMA busy_timeout = 5000");
    driver.prepare("ATTACH ?1 AS source").run(`${pathToFileURL(source).href}?mode=ro`);
    return driver;
  } catch (error) {
    driver.close();
    throw error;
  }
}

/**
 * Creates a missing file, because SQLite would use the umask. SQLite gives the mode of the database to its log and
 * journal. An existing file is not opened: closing it would release the locks of all other connections of this process
 * (POSIX).
 */
function makePrivate(path: string): void {
  try {
    closeSync(openSync(path, "wx", 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
}

/** Drizzle over the driver: its synchronous session needs of a client only statements that return rows as arrays. */
function ormOver(driver: SqliteDriverConnection): Orm {
  const client = {
    prepare(sql: string) {
      const statement = driver.prepare(sql);
      const rows = {
        all: (...parameters: SqlValue[]) => statement.values(...parameters),
        get: (...parameters: SqlValue[]) => statement.values(...parameters)[0],
      };
      return { run: (...parameters: SqlValue[]) => statement.run(...parameters), raw: () => rows };
    },
  };
  const dialect = new SQLiteSyncDialect();
  const session = new BetterSQLiteSession(client as never, dialect, undefined);
  return new BaseSQLiteDatabase("sync", dialect, session as never, undefined);
}
