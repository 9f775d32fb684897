/**
 * The file of the decision log: an SQLite database of its own, so that neither its size nor its damage matters to the
 * data of the node. A row has integers and short texts: names that repeat are numbers of a table. The row id is the time
 * order and there are no further indexes on decisions, which would take as much space as the rows.
 */
import { randomBytes } from "node:crypto";
import { renameSync, rmSync } from "node:fs";
import { SqliteDatabase, type SqlStatement, type SqlValue } from "../runtime/sqlite.ts";
import { databaseFiles } from "../store/snapshot/snapshot.ts";
import { must } from "../util/assert.ts";

const format = 1;

const schema = `
  CREATE TABLE log (format INTEGER NOT NULL, name TEXT NOT NULL, exported INTEGER NOT NULL) STRICT;
  CREATE TABLE name (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;
  CREATE TABLE batch (last_id INTEGER PRIMARY KEY, min_ms INTEGER NOT NULL, max_ms INTEGER NOT NULL) STRICT;
  CREATE TABLE decision (
    id INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, kind INTEGER NOT NULL, result INTEGER NOT NULL, digest BLOB,
    actor_type ANY, actor_id ANY, action ANY, resource_type ANY, resource_id ANY, context TEXT, rest TEXT,
    clock INTEGER NOT NULL, duration_us INTEGER NOT NULL, is_cached INTEGER NOT NULL,
    epoch ANY NOT NULL, offset INTEGER NOT NULL, policy_id INTEGER NOT NULL,
    key_id ANY, request_id ANY, trace_id BLOB, redacted INTEGER, dropped INTEGER
  ) STRICT;
  CREATE TABLE expectation (
    key_id TEXT NOT NULL, request_id ANY NOT NULL, expected INTEGER NOT NULL, allowed INTEGER, time_ms INTEGER NOT NULL,
    decision_id INTEGER, result INTEGER NOT NULL, sequence INTEGER NOT NULL, PRIMARY KEY (key_id, request_id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX expectation_order ON expectation (result, sequence);
  CREATE INDEX expectation_key ON expectation (key_id, result, sequence);
  CREATE INDEX expectation_decision ON expectation (decision_id);`;

/** Names beyond these, and long ones, are stored in the rows. */
const namesMax = 10_000;
const nameLengthMax = 64;
const statementsMax = 100;

export class DecisionFile {
  /** The name of this log in the public ids of its decisions: no other log has it, also if this file is replaced. */
  readonly name: string;
  readonly #database: SqliteDatabase;
  readonly #names = new Map<string, number>();
  readonly #texts = new Map<number, string>();
  readonly #statements = new Map<string, SqlStatement>();
  /** Names that the open transaction added: a rollback forgets them. */
  #newNames: string[] = [];

  /** Opens the file, or creates it. Throws if it is damaged. */
  constructor(path: string) {
    const database = new SqliteDatabase(path, { create: true });
    this.#database = database;
    try {
      database.exec("PRAGMA busy_timeout = 5000");
      database.exec("PRAGMA trusted_schema = OFF");
      // Before the first table, or it has no effect.
      database.exec("PRAGMA auto_vacuum = INCREMENTAL");
      database.exec("PRAGMA journal_mode = WAL");
      // A crash of the process loses nothing that was written; a power cut may lose the last moments.
      database.exec("PRAGMA synchronous = NORMAL");
      // Deleted decisions may be personal data: their bytes are overwritten.
      database.exec("PRAGMA secure_delete = ON");
      database.exec("PRAGMA journal_size_limit = 8388608");
      if (Number(database.prepare("PRAGMA user_version").values()[0]?.[0]) === 0)
        database.transaction(() => {
          database.exec(schema);
          database.prepare("INSERT INTO log VALUES (?1, ?2, 0)").run(format, randomBytes(4).toString("hex"));
          database.exec(`PRAGMA user_version = ${format}`);
        }, "immediate");
      this.name = String(must(database.prepare("SELECT name FROM log").values()[0], "the log has a name")[0]);
      for (const [id, text] of database.prepare("SELECT id, text FROM name").values())
        this.#addName(textOfSql(String(text)), Number(id));
    } catch (error) {
      database.close();
      throw error;
    }
  }

  get path(): string {
    return this.#database.path;
  }

  /** Runs `body` in a transaction for writing, and rolls back if it throws. */
  transaction<T>(body: () => T): T {
    this.#newNames = [];
    try {
      return this.#database.transaction(body, "immediate");
    } catch (error) {
      for (const name of this.#newNames) {
        this.#texts.delete(must(this.#names.get(name)));
        this.#names.delete(name);
      }
      throw error;
    }
  }

  /** The texts differ only in the conditions of a filter, of which there are few combinations. */
  statement(sql: string): SqlStatement {
    let prepared = this.#statements.get(sql);
    if (prepared === undefined) {
      if (this.#statements.size >= statementsMax) {
        for (const statement of this.#statements.values()) statement.finalize();
        this.#statements.clear();
      }
      this.#statements.set(sql, (prepared = this.#database.prepare(sql)));
    }
    return prepared;
  }

  /** A statement that stays until the file is closed. */
  prepare(sql: string): SqlStatement {
    return this.#database.prepare(sql);
  }

  /** The number that a statement selects; undefined without a row, or for null. */
  number(sql: string, ...values: SqlValue[]): number | undefined {
    const found = this.statement(sql).values(...values)[0]?.[0];
    return typeof found === "number" ? found : undefined;
  }

  /** The number of a name, which is added if there is room; otherwise the name itself. Needs a transaction. */
  addedName(text: string | undefined): SqlValue {
    if (text === undefined) return null;
    const known = this.#names.get(text);
    if (known !== undefined) return known;
    if (this.#names.size >= namesMax || text.length > nameLengthMax) return textToSql(text);
    const id = this.#names.size + 1;
    this.statement("INSERT INTO name VALUES (?1, ?2)").run(id, textToSql(text));
    this.#addName(text, id);
    this.#newNames.push(text);
    return id;
  }

  /** A name as rows have it: its number, or the name itself. */
  knownName(text: string): SqlValue {
    return this.#names.get(text) ?? textToSql(text);
  }

  nameOf(value: SqlValue | undefined): string | null {
    if (typeof value === "number") return must(this.#texts.get(value), "the log has the name");
    return typeof value === "string" ? textOfSql(value) : null;
  }

  /** The bytes in use, without free pages. */
  get bytes(): number {
    const pragma = (name: string): number => Number(this.statement(`PRAGMA ${name}`).values()[0]?.[0]);
    return (pragma("page_count") - pragma("freelist_count")) * pragma("page_size");
  }

  /** Gives freed pages back to the file system, some at a time. */
  shrink(): void {
    this.#database.exec("PRAGMA incremental_vacuum(1000)");
  }

  close(): void {
    this.#database.close();
  }

  #addName(text: string, id: number): void {
    this.#names.set(text, id);
    this.#texts.set(id, text);
  }
}

/** Keeps a damaged file for inspection, and removes what belongs to it. */
export function quarantine(path: string): void {
  renameSync(path, `${path}.damaged`);
  for (const file of databaseFiles(path)) rmSync(file, { force: true });
}

/** Not every driver reads a text beyond a NUL: such a text is stored as JSON, with a mark in front of it. */
const jsonMark = "\u0001";

export function textToSql(text: string): string {
  return text.includes("\0") || text.startsWith(jsonMark) ? jsonMark + JSON.stringify(text) : text;
}

export function textOfSql(stored: string): string {
  return stored.startsWith(jsonMark) ? String(JSON.parse(stored.slice(1))) : stored;
}
