/** SQLite on Bun: the driver is `bun:sqlite`. */
import { constants, Database, type SQLQueryBindings, type Statement } from "bun:sqlite";
import type { SqliteDriverConnection, SqliteOpenMode, SqlRow, SqlStatement, SqlValue } from "../platform.ts";

/** See `Platform`. */
export function openSqlite(location: string, mode: SqliteOpenMode): SqliteDriverConnection {
  const database = new Database(location, location.startsWith("file:") ? uriFlags : openOptions[mode]);
  const statements = new LiveStatements();
  return {
    prepare(sql) {
      const statement = database.prepare(sql);
      statements.add(statement);
      return new BunStatement(statement);
    },
    exec: (sql) => void database.run(sql),
    get inTransaction() {
      return database.inTransaction;
    },
    close() {
      statements.finalize();
      database.close();
    },
  };
}

const uriFlags = constants.SQLITE_OPEN_READWRITE | constants.SQLITE_OPEN_CREATE | constants.SQLITE_OPEN_URI;
const openOptions = {
  readonly: { readonly: true },
  readwrite: { readwrite: true, create: false },
  create: { readwrite: true, create: true },
} as const;

/**
 * All statements of a connection that were not garbage collected yet. SQLite keeps the file and the locks of a closed
 * connection until its last statement is finalized, which without this would be at some later garbage collection.
 */
class LiveStatements {
  readonly #statements = new Set<WeakRef<Statement>>();
  #pruneAt = 256;

  add(statement: Statement): void {
    this.#statements.add(new WeakRef(statement));
    if (this.#statements.size < this.#pruneAt) return;
    for (const reference of this.#statements) if (!reference.deref()) this.#statements.delete(reference);
    this.#pruneAt = Math.max(256, this.#statements.size * 2);
  }

  finalize(): void {
    for (const reference of this.#statements) reference.deref()?.finalize();
    this.#statements.clear();
  }
}

class BunStatement implements SqlStatement {
  readonly #statement: Statement<unknown, SQLQueryBindings[]>;

  constructor(statement: Statement<unknown, SQLQueryBindings[]>) {
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
