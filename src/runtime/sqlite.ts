/**
 * The SQLite driver: the only file that uses `bun:sqlite`. Rows are arrays. Integers above 2^53 never occur: symbols
 * stay below, and hashes are strings.
 */
import { constants, Database as BunDatabase, type Statement as BunStatement, type SQLQueryBindings } from "bun:sqlite";
import { closeSync, openSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { drizzle, type BunSQLiteDatabase } from "drizzle-orm/bun-sqlite";

export type SqlValue = string | number | null | Uint8Array;
export type SqlRow = SqlValue[];

export interface SqlStatement {
  /** Runs the statement and returns how many rows changed. */
  run(...parameters: SqlValue[]): number;
  /** All rows, as arrays in column order. */
  values(...parameters: SqlValue[]): SqlRow[];
  /** The rows one by one, for results that do not fit into memory. The columns need distinct names. */
  rows(...parameters: SqlValue[]): Iterable<SqlRow>;
  finalize(): void;
}

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
  readonly orm: BunSQLiteDatabase;
  readonly #bun: BunDatabase;
  readonly #statements = new LiveStatements();
  #rollbacks = 0;

  /** Opens the file at `path`. Throws if it is missing and `create` is not set, or if it is not a database. */
  constructor(path: string, { readonly = false, create = false, source }: SqliteOptions = {}) {
    if (create && path !== memory) makePrivate(path);
    this.path = path;
    this.#bun = source === undefined ? open(path, readonly, create) : openWithSource(path, source);
    this.#statements.watch(this.#bun);
    this.orm = drizzle(this.#bun);
  }

  /** Whether a transaction is open. Some disk errors end a transaction. */
  get inTransaction(): boolean {
    return this.#bun.inTransaction;
  }

  /** How often a savepoint or a transaction was rolled back on this connection. */
  get rollbacks(): number {
    return this.#rollbacks;
  }

  prepare(sql: string): SqlStatement {
    return new BunSqliteStatement(this.#bun.prepare(sql));
  }

  /** Runs one or more statements without parameters. */
  exec(sql: string): void {
    if (sql.startsWith("ROLLBACK")) this.#rollbacks++;
    this.#bun.run(sql);
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
    this.#bun.run(mode === "immediate" ? "BEGIN IMMEDIATE" : "BEGIN");
    return {
      commit: () => void this.#bun.run("COMMIT"),
      rollback: () => {
        this.#rollbacks++;
        // Some errors have rolled it back already.
        if (this.#bun.inTransaction) this.#bun.run("ROLLBACK");
      },
    };
  }

  close(): void {
    this.#statements.finalize();
    this.#bun.close();
  }
}

function open(path: string, readonly: boolean, create: boolean): BunDatabase {
  return new BunDatabase(path, readonly ? { readonly } : { readwrite: true, create });
}

/** Creates or opens the file at `path`, with the file at `source` attached. */
function openWithSource(path: string, source: string): BunDatabase {
  const { SQLITE_OPEN_READWRITE, SQLITE_OPEN_CREATE, SQLITE_OPEN_URI } = constants;
  // Only a URI can attach a file read-only.
  const flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI;
  const bun = new BunDatabase(pathToFileURL(path).href, flags);
  try {
    bun.run("PRAGMA busy_timeout = 5000");
    bun.run("ATTACH ?1 AS source", [`${pathToFileURL(source).href}?mode=ro`]);
    return bun;
  } catch (error) {
    bun.close();
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

/**
 * The statements of a connection that were not garbage collected yet, also those of the object mapper. SQLite keeps the
 * file and the locks of a closed connection until its last statement is finalized.
 */
class LiveStatements {
  readonly #statements = new Set<WeakRef<BunStatement>>();
  #pruneAt = 256;

  watch(bun: BunDatabase): void {
    const prepare = bun.prepare.bind(bun);
    const watched = (...call: Parameters<BunDatabase["prepare"]>): BunStatement => {
      const statement = prepare(...call);
      this.#add(statement);
      return statement;
    };
    Object.defineProperty(bun, "prepare", { value: watched });
  }

  finalize(): void {
    for (const reference of this.#statements) reference.deref()?.finalize();
    this.#statements.clear();
  }

  #add(statement: BunStatement): void {
    this.#statements.add(new WeakRef(statement));
    if (this.#statements.size < this.#pruneAt) return;
    for (const reference of this.#statements) if (!reference.deref()) this.#statements.delete(reference);
    this.#pruneAt = Math.max(256, this.#statements.size * 2);
  }
}

class BunSqliteStatement implements SqlStatement {
  readonly #statement: BunStatement<unknown, SQLQueryBindings[]>;

  constructor(statement: BunStatement<unknown, SQLQueryBindings[]>) {
    this.#statement = statement;
  }

  run(...parameters: SqlValue[]): number {
    return this.#statement.run(...parameters).changes;
  }

  values(...parameters: SqlValue[]): SqlRow[] {
    return this.#statement.values(...parameters) as SqlRow[];
  }

  *rows(...parameters: SqlValue[]): Generator<SqlRow> {
    for (const row of this.#statement.iterate(...parameters)) yield Object.values(row as Record<string, SqlValue>);
  }

  finalize(): void {
    this.#statement.finalize();
  }
}
