/**
 * Reads rows from PostgreSQL, MySQL and CSV files, as texts and without keeping all of them. All queries of one database
 * see one state of it.
 */
import { createReadStream } from "node:fs";
import { join } from "node:path";
import { parse } from "csv-parse";
import { AppError } from "../../util/app-error.ts";
import { reasonOf } from "../../util/reason.ts";
import { connectMysql, connectPostgres } from "./connect.ts";
import type { Database, FactSource } from "./reconcile-file.ts";
import { columnsOf } from "../../local/signature.ts";

export type Row = readonly (string | null)[];

export interface Source {
  /** Throws `invalid_request` if the source fails or has another number of columns. */
  rows(from: FactSource): AsyncIterable<Row>;
  close(): Promise<void>;
}

/** Throws `invalid_request`. No message has the connection string, which contains a password. */
export async function openSource(database: Database): Promise<Source> {
  try {
    if (database.kind === "csv") return csvSource(database);
    return database.kind === "mysql" ? await mysqlSource(database) : await postgresSource(database);
  } catch (error) {
    throw sourceError(database, error);
  }
}

/** Rows that a cursor or a stream holds at a time. */
const rowsAtATime = 1000;

async function postgresSource(database: Database): Promise<Source> {
  const sql = await connectPostgres(database);
  return {
    async *rows(from) {
      if (!("query" in from)) return;
      const query = from.query.trim().replace(/;$/, "");
      try {
        const { columns } = await sql.unsafe(query).describe();
        checkColumns(from, columns.length);
        const names = columns.map((_, index) => `c${index + 1}`);
        // The text form of each value, whatever its type is. The line break ends a comment of the query.
        const text = `SELECT ${names.map((each) => `${each}::text AS ${each}`).join(", ")} FROM (${query}\n) AS q(${names.join(", ")})`;
        for await (const rows of sql.unsafe<Record<string, string | null>[]>(text).cursor(rowsAtATime))
          for (const row of rows) yield names.map((each) => row[each] ?? null);
      } catch (error) {
        throw sourceError(database, error, from);
      }
    },
    close: () => sql.end({ timeout: 1 }),
  };
}

async function mysqlSource(database: Database): Promise<Source> {
  const connection = await connectMysql(database);
  return {
    async *rows(from) {
      if (!("query" in from)) return;
      const stream = connection.query(from.query).stream({ highWaterMark: rowsAtATime });
      try {
        for await (const row of stream as AsyncIterable<Row>) {
          checkColumns(from, row.length);
          yield row;
        }
      } catch (error) {
        throw sourceError(database, error, from);
      }
    },
    close: () => connection.promise().end(),
  };
}

function csvSource(database: Database): Source {
  return {
    async *rows(from) {
      if (!("file" in from)) return;
      const path = join(database.connection, from.file);
      try {
        const file = createReadStream(path);
        const parser = file.pipe(parse({ bom: true, skip_empty_lines: true }));
        // A pipe does not pass on errors.
        file.once("error", (error) => parser.destroy(error));
        let indexes: readonly number[] | undefined;
        for await (const record of parser as AsyncIterable<string[]>) {
          if (indexes === undefined) indexes = indexesOf(from, record);
          else yield indexes.map((index) => record[index] ?? null);
        }
      } catch (error) {
        throw sourceError(database, error, from);
      }
    },
    close: () => Promise.resolve(),
  };
}

/** The positions of the columns of a CSV file, by the names in its first line. */
function indexesOf(from: FactSource, header: readonly string[]): number[] {
  const names = ("columns" in from && from.columns) || header;
  checkColumns(from, names.length);
  return names.map((name) => {
    const index = header.indexOf(name);
    if (index === -1) throw new AppError("invalid_request", `there is no column \`${name}\` in the first line`);
    return index;
  });
}

function checkColumns({ signature }: FactSource, count: number): void {
  const expected = columnsOf(signature);
  if (count === expected) return;
  const found = count === 1 ? "1 column" : `${count} columns`;
  throw new AppError("invalid_request", `it has ${found}, and the signature has ${expected} \`_\``);
}

function sourceError({ name, kind }: Database, error: unknown, from?: FactSource): AppError {
  const place = from === undefined ? `\`dbs.${name}\` (${kind})` : `\`facts.${from.signature.text}\``;
  return new AppError("invalid_request", `${place}: ${reasonOf(error)}`, { cause: error });
}
