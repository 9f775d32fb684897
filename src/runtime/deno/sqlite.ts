/** SQLite on Deno: the driver is `node:sqlite`. */
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import type { SqliteDriverConnection, SqliteOpenMode, SqlRow, SqlStatement, SqlValue } from "../platform.ts";

/** See `Platform`. */
export function openSqlite(location: string, mode: SqliteOpenMode): SqliteDriverConnection {
  const options = {
    readOnly: mode === "readonly",
    // The defaults of SQLite, as in all other programs that open the file.
    enableForeignKeyConstraints: false,
    enableDoubleQuotedStringLiterals: true,
  };
  // `node:sqlite` creates a missing file otherwise.
  const opened = mode === "readwrite" && location !== ":memory:" ? `${pathToFileURL(location).href}?mode=rw` : location;
  const database = withSqliteCode(() => new DatabaseSync(opened, options));
  return {
    prepare: (sql) => new DenoStatement(withSqliteCode(() => database.prepare(sql))),
    exec: (sql) => withSqliteCode(() => database.exec(sql)),
    get inTransaction() {
      return database.isTransaction;
    },
    close: () => database.close(),
  };
}

class DenoStatement implements SqlStatement {
  readonly #statement: StatementSync;

  constructor(statement: StatementSync) {
    this.#statement = statement;
    statement.setReturnArrays(true);
  }

  run(...parameters: SqlValue[]): number {
    return withSqliteCode(() => Number(this.#statement.run(...parameters).changes));
  }

  values(...parameters: SqlValue[]): SqlRow[] {
    try {
      return this.#statement.all(...(parameters as SQLInputValue[])) as unknown as SqlRow[];
    } catch (error) {
      throw named(error);
    }
  }

  *rows(...parameters: SqlValue[]): Generator<SqlRow> {
    try {
      yield* this.#statement.iterate(...parameters) as unknown as Iterable<SqlRow>;
    } catch (error) {
      throw named(error);
    }
  }

  /** `node:sqlite` finalizes a statement when it is collected, or when its connection is closed. */
  finalize(): void {}
}

function withSqliteCode<Result>(body: () => Result): Result {
  try {
    return body();
  } catch (error) {
    throw named(error);
  }
}

/** The error with the name of its result code of SQLite as `code`, such as `SQLITE_FULL`. */
function named(error: unknown): unknown {
  if (!(error instanceof Error) || (error as NodeJS.ErrnoException).code !== "ERR_SQLITE_ERROR") return error;
  const code = Number("errcode" in error ? error.errcode : codeOfMessage(error.message));
  const name = extendedCodes[code] ?? primaryCodes[code & 0xff];
  return name === undefined ? error : Object.assign(error, { code: name });
}

/** For errors of `exec` and of opening: Deno gives them only the message of SQLite (`sqlite3ErrStr` in its `main.c`). */
function codeOfMessage(message: string): number | undefined {
  return messageStarts.find(([, start]) => message.startsWith(start))?.[0];
}

const messageStarts: readonly (readonly [code: number, start: string])[] = [
  [5, "database is locked"],
  [7, "out of memory"],
  [8, "attempt to write a readonly database"],
  [10, "disk I/O error"],
  [11, "database disk image is malformed"],
  [11, "malformed database schema"],
  [13, "database or disk is full"],
  [14, "unable to open database"], // also `unable to open database: …`, of ATTACH
  [26, "file is not a database"],
];

/** The primary result codes, by number (https://sqlite.org/rescode.html). */
const primaryCodes: readonly (string | undefined)[] =
  `SQLITE_OK SQLITE_ERROR SQLITE_INTERNAL SQLITE_PERM SQLITE_ABORT SQLITE_BUSY SQLITE_LOCKED SQLITE_NOMEM SQLITE_READONLY
  SQLITE_INTERRUPT SQLITE_IOERR SQLITE_CORRUPT SQLITE_NOTFOUND SQLITE_FULL SQLITE_CANTOPEN SQLITE_PROTOCOL SQLITE_EMPTY
  SQLITE_SCHEMA SQLITE_TOOBIG SQLITE_CONSTRAINT SQLITE_MISMATCH SQLITE_MISUSE SQLITE_NOLFS SQLITE_AUTH SQLITE_FORMAT
  SQLITE_RANGE SQLITE_NOTADB`.split(/\s+/);

/** The extended codes that this program distinguishes from their primary codes. */
const extendedCodes: Readonly<Record<number, string>> = {
  522: "SQLITE_IOERR_SHORT_READ",
  1032: "SQLITE_READONLY_DBMOVED",
  8202: "SQLITE_IOERR_DATA",
};
