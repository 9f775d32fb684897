/**
 * The SQLite driver: the only file that uses `bun:sqlite`, so that another runtime needs another version of this file
 * only. Rows are arrays. Integers above 2^53 never occur: symbols stay below, and hashes are strings.
 */
import { constants, Database as BunDatabase, type Statement as BunStatement, type SQLQueryBindings } from "bun:sqlite";
import { closeSync, openSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { drizzle, type BunSQLiteDatabase } from "drizzle-orm/bun-sqlite";
import { damageCodes } from "../util/storage-failure.ts";

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

export type Orm = BunSQLiteDatabase;

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
  const bun = options.readonly
    ? new BunDatabase(path, { readonly: true })
    : new BunDatabase(path, { readwrite: true, create: options.create ?? false });
  return new BunSqlite(path, bun);
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
  const { SQLITE_OPEN_READWRITE, SQLITE_OPEN_CREATE, SQLITE_OPEN_URI } = constants;
  makePrivate(path);
  // Only a URI can attach a file read-only.
  const flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI;
  const bun = new BunDatabase(pathToFileURL(path).href, flags);
  try {
    bun.run("PRAGMA busy_timeout = 5000");
    bun.run("ATTACH ?1 AS source", [`${pathToFileURL(source).href}?mode=ro`]);
  } catch (error) {
    bun.close();
    throw error;
  }
  return new BunSqlite(path, bun);
}

class BunSqlite implements SqliteDatabase {
  readonly path: string;
  readonly orm: Orm;
  readonly #bun: BunDatabase;
  readonly #statements = new LiveStatements();
  #rollbacks = 0;

  constructor(path: string, bun: BunDatabase) {
    this.path = path;
    this.#bun = bun;
    this.#statements.watch(bun);
    this.orm = drizzle(bun);
  }

  prepare(sql: string): SqlStatement {
    return new BunSqliteStatement(this.#bun.prepare(sql));
  }

  exec(sql: string): void {
    if (sql.startsWith("ROLLBACK")) this.#rollbacks++;
    this.#bun.run(sql);
  }

  get inTransaction(): boolean {
    return this.#bun.inTransaction;
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

/**
 * All statements of a connection that were not garbage collected yet, also those of the object mapper. SQLite keeps the
 * file and the locks of a closed connection until its last statement is finalized, which without this would be at some
 * later garbage collection.
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
