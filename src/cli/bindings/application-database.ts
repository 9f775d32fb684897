/** Databases of applications for which local authorization writes SQL: PostgreSQL, MySQL, MariaDB and SQLite. */
import type { FieldPacket } from "mysql2";
import type { DialectName } from "../../local/dialect-names.ts";
import { openApplicationSqlite } from "../../runtime/application-sqlite.ts";
import { AppError } from "../../util/app-error.ts";
import { reasonOf } from "../../util/reason.ts";
import { UsageError } from "../command.ts";
import { connectMysql, connectPostgres } from "../reconcile/connect.ts";

/** All calls see one state. They reject with the error of the database. */
export interface ApplicationDatabase {
  readonly dialect: DialectName;
  /** The types of the columns that a query selects, in lower case; empty where the database does not know one. */
  columns(query: string): Promise<readonly string[]>;
  /** At most `max` rows, as texts. The columns may have equal names. */
  rows(query: string, max: number): Promise<(string | null)[][]>;
  /** Whether each table and index of the query is searched, even if reading all of it would be faster. */
  isSearch(query: string): Promise<boolean>;
  close(): Promise<void>;
}

/** How long a query may take. */
const queryMs = 30_000;

/**
 * `address` is a URL of PostgreSQL or MySQL, `sqlite:` and a path, or `$` and the name of a variable with one of these.
 * Throws UsageError, and `invalid_request` if there is no connection. No message has the URL, which contains a password.
 */
export async function openApplicationDatabase(address: string): Promise<ApplicationDatabase> {
  const connection = address.startsWith("$") ? variable(address.slice(1)) : address;
  const [, scheme = "", rest = ""] = /^([a-z]+):(.*)$/s.exec(connection) ?? [];
  const open = openers[scheme];
  if (open === undefined)
    throw new UsageError(
      "`--db` must be a URL such as postgres://…, mysql://… or sqlite:app.db, or `$` and the name of a variable with one",
    );
  try {
    return await open(connection, rest);
  } catch (error) {
    throw new AppError("invalid_request", `the database of \`--db\` (${scheme}): ${reasonOf(error)}`, { cause: error });
  }
}

function variable(name: string): string {
  const value = process.env[name.replace(/^\{(.*)\}$/, "$1")];
  if (value) return value;
  throw new UsageError(`\`--db\` names the variable ${name}, which is not set`);
}

type Open = (url: string, path: string) => Promise<ApplicationDatabase>;

const openers: Readonly<Record<string, Open>> = {
  postgres: openPostgres,
  postgresql: openPostgres,
  mysql: openMysql,
  mariadb: (url) => openMysql(url.replace(/^mariadb:/, "mysql:")),
  sqlite: (_, path) => openSqlite(path.replace(/^\/\/(?=\/)/, "")),
};

async function openPostgres(url: string): Promise<ApplicationDatabase> {
  const sql = await connectPostgres({ connection: url, ssl: undefined });
  /** An error would end the transaction, so each call has a savepoint. */
  const inSavepoint = async <T>(body: () => Promise<T>): Promise<T> => {
    await sql.unsafe("SAVEPOINT ostiary");
    try {
      return await body();
    } finally {
      await sql.unsafe("ROLLBACK TO SAVEPOINT ostiary");
    }
  };
  await sql.unsafe(`SET LOCAL statement_timeout = ${queryMs}`);
  return {
    dialect: "postgres",
    columns: (query) =>
      inSavepoint(async () => {
        const { columns } = await sql.unsafe(query).describe();
        const types = columns.map(({ type }, index) => `format_type(${Number(type)}, NULL) AS c${index}`);
        const [row] = await sql.unsafe(`SELECT ${types.join(", ")}`).values();
        return [...(row ?? [])].map(String);
      }),
    rows: (query, max) =>
      inSavepoint(async () => {
        const { columns } = await sql.unsafe(query).describe();
        const names = columns.map((_, index) => `c${index}`);
        const texts = names.map((name) => `${name}::text`);
        const limited = `SELECT ${texts.join(", ")} FROM (${query}\n) AS q(${names.join(", ")}) LIMIT ${max}`;
        const rows = await sql.unsafe(limited).values();
        return rows.map((row) => [...row] as (string | null)[]);
      }),
    isSearch: (query) =>
      inSavepoint(async () => {
        for (const method of ["seqscan", "hashjoin", "mergejoin", "material"])
          await sql.unsafe(`SET LOCAL enable_${method} = off`);
        const [row] = await sql.unsafe(`EXPLAIN (FORMAT JSON) ${query}`).values();
        const plans = plansOf(row?.[0]);
        if (plans.some(isWholeScan)) return false;
        for (const { "Index Name": index, "Index Cond": condition = "" } of plans) {
          if (index === undefined) continue;
          // A condition on other columns than the first reads the whole index.
          const firsts =
            await sql`SELECT pg_get_indexdef(oid, 1, true) FROM pg_class WHERE relname = ${index} AND relkind = 'i'`.values();
          if (!firsts.some(([first]) => condition.includes(String(first)))) return false;
        }
        return true;
      }),
    close: () => sql.end({ timeout: 1 }),
  };
}

interface PostgresPlan {
  readonly "Node Type": string;
  readonly "Index Name"?: string;
  readonly "Index Cond"?: string;
  readonly Plans?: readonly PostgresPlan[];
}

function plansOf(explained: unknown): PostgresPlan[] {
  const all = (explained as { readonly Plan: PostgresPlan }[]).map(({ Plan }) => Plan);
  // The list grows while it is iterated.
  for (const { Plans = [] } of all) all.push(...Plans);
  return all;
}

/** A scan of a table without a condition for an index. A bitmap heap scan has its condition in the plan below it. */
function isWholeScan(plan: PostgresPlan): boolean {
  if (["Seq Scan", "Sample Scan"].includes(plan["Node Type"])) return true;
  return /^(?:Bitmap )?Index /.test(plan["Node Type"]) && plan["Index Cond"] === undefined;
}

async function openMysql(url: string): Promise<ApplicationDatabase> {
  const connection = await connectMysql({ connection: url, ssl: undefined });
  const { Types } = await import("mysql2");
  const names = new Map(Object.entries(Types).map(([name, code]) => [code, name.toLowerCase()]));
  const database = connection.promise();
  const query = async (sql: string, max: number): Promise<[rows: (string | null)[][], fields: FieldPacket[]]> => {
    await database.query(`SET SESSION sql_select_limit = ${max}`);
    const [rows, fields] = await database.query({ sql, timeout: queryMs });
    return [rows as (string | null)[][], fields];
  };
  return {
    dialect: "mysql",
    async columns(text) {
      const [, fields] = await query(text, 0);
      return fields.map((field) => {
        const name = names.get(field.columnType ?? -1) ?? "";
        return mysqlNames[name] ?? name;
      });
    },
    rows: async (text, max) => (await query(text, max))[0],
    async isSearch(text) {
      const [rows, fields] = await query(`EXPLAIN ${text}`, 1000);
      const at = (name: string): number => fields.findIndex((field) => field.name === name);
      // `table` is empty, or in angle brackets, for what is no table. A small table is read whole, despite its keys.
      return rows.every((row) => /^(?:$|<)/.test(row[at("table")] ?? "") || row[at("possible_keys")] !== null);
    },
    close: () => database.end(),
  };
}

/** The names of types in SQL, where those of the protocol differ. */
const mysqlNames: Readonly<Record<string, string>> = {
  ...{ tiny: "tinyint", short: "smallint", int24: "mediumint", long: "int", longlong: "bigint" },
  ...{ var_string: "varchar", string: "char", blob: "text", newdecimal: "decimal" },
};

async function openSqlite(path: string): Promise<ApplicationDatabase> {
  const connection = openApplicationSqlite(path);
  const values = (sql: string): (string | null)[][] => {
    const statement = connection.prepare(sql);
    try {
      return statement.values().map((row) => row.map((value) => (value === null ? null : textOf(value))));
    } finally {
      statement.finalize();
    }
  };
  // A missing file is only noticed by the first statement.
  values("SELECT count(*) FROM sqlite_schema");
  return Promise.resolve({
    dialect: "sqlite",
    async columns(query) {
      // A view knows the types of the columns behind it. It is temporary, so that the file stays as it is.
      connection.exec(`CREATE TEMP VIEW ostiary_columns AS ${query}`);
      try {
        return await Promise.resolve(
          values("PRAGMA table_info(ostiary_columns)").map((row) => (row[2] ?? "").toLowerCase()),
        );
      } finally {
        connection.exec("DROP VIEW temp.ostiary_columns");
      }
    },
    rows: (query, max) => Promise.resolve(values(`SELECT * FROM (${query}\n) LIMIT ${max}`)),
    isSearch: (query) =>
      Promise.resolve(isSqliteSearch(values(`EXPLAIN QUERY PLAN ${query}`).map((row) => row[3] ?? ""))),
    close: () => Promise.resolve(connection.close()),
  });
}

/** `details` are lines such as `SCAN issues` and `SEARCH issues USING INDEX …`. */
function isSqliteSearch(details: readonly string[]): boolean {
  const subqueries = new Set(details.flatMap((line) => /^(?:CO-ROUTINE|MATERIALIZE) (.*)$/.exec(line)?.[1] ?? []));
  return details.every((line) => {
    const [, scanned] = /^SCAN (?!CONSTANT ROW|\d+ CONSTANT ROWS)(\S+)/.exec(line) ?? [];
    // `ANY` skips through an index whose first column has no condition.
    return !/ AUTOMATIC |\(ANY\(/.test(line) && (scanned === undefined || subqueries.has(scanned));
  });
}

function textOf(value: string | number | Uint8Array): string {
  return value instanceof Uint8Array ? new TextDecoder().decode(value) : String(value);
}
