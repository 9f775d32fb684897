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
import { damageCodes } from "../util/storage-failure.ts";

export type { SqlRow, SqlStatement, SqlValue } from "./platform.ts";

export type Orm = BaseSQLiteDatabase<"sync", void>;

export type TransactionMode = "deferred" | "immediate";

export interface Transaction {
  commit(): void;
  rollback(): void;
}

export interface SqliteDatabase {
  readonly path: string;
  /** Whether a transaction is open. Some disk errors end a transaction. */
  readonly inTransaction: boolean;
  /** How often a savepoint or a transaction was rolled back on this connection. */
  readonly rollbacks: number;
  /** Typed queries on the fixed tables, on the same connection. */
  readonly orm: Orm;
  prepare(sql: string): SqlStatement;
  /** One or more statements without parameters. */
  exec(sql: string): void;
  /** Runs `body` in a transaction (`immediate` takes the write lock at its start), and rolls back if it throws. */
  transaction<T>(body: () => T, mode?: TransactionMode): T;
  /** Begins a transaction. The caller must end it with a commit, or with a rollback if the commit throws. */
  begin(mode?: TransactionMode): Transaction;
  close(): void;
}

/**
 * Opens a file (or `:memory:`). Throws if it does not exist and `create` is not set, or if it is not a database. Only
 * the owner may open a new file and the files that SQLite creates for it.
 */
export function openSqlite(path: string, options: { readonly?: boolean; create?: boolean } = {}): SqliteDatabase {
  if (options.create === true && path !== memory) makePrivate(path);
  const mode = options.readonly === true ? "readonly" : options.create === true ? "create" : "readwrite";
  return new SqliteDriverDatabase(path, platform.openSqlite(path, mode));
}

const memory = ":memory:";

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

/**
 * Whether an error or one of its causes means that the file is damaged: its pages contradict each other, or are
 * missing. A full or failing disk is not damage (`util/storage-failure.ts`).
 */
export function isDamage(error: unknown): boolean {
  return damageIn(error) !== undefined;
}

/** SQLite's message about the damage; undefined for other errors. */
export function damageIn(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code } = error as { readonly code?: unknown };
  return typeof code === "string" && damageCodes.test(code) ? error.message : damageIn(error.cause);
}

/** Creates a file at `path`, with the file at `source` attached read-only as the schema `source`. */
export function createSqliteWithSource(path: string, source: string): SqliteDatabase {
  makePrivate(path);
  // Only a URL can attach a file read-only.
  const driver = platform.openSqlite(pathToFileURL(path).href, "create");
  try {
    driver.exec("PRAGMA busy_timeout = 5000");
    driver.prepare("ATTACH ?1 AS source").run(`${pathToFileURL(source).href}?mode=ro`);
  } catch (error) {
    driver.close();
    throw error;
  }
  return new SqliteDriverDatabase(path, driver);
}

class SqliteDriverDatabase implements SqliteDatabase {
  readonly path: string;
  readonly orm: Orm;
  readonly #driver: SqliteDriverConnection;
  #rollbacks = 0;

  constructor(path: string, driver: SqliteDriverConnection) {
    this.path = path;
    this.#driver = driver;
    this.orm = ormOver(driver);
  }

  prepare(sql: string): SqlStatement {
    return this.#driver.prepare(sql);
  }

  exec(sql: string): void {
    if (sql.startsWith("ROLLBACK")) this.#rollbacks++;
    this.#driver.exec(sql);
  }

  get inTransaction(): boolean {
    return this.#driver.inTransaction;
  }

  get rollbacks(): number {
    return this.#rollbacks;
  }

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
