/** Databases of applications: SQLite in memory, and real servers of PostgreSQL and MariaDB. */
import { createConnection } from "mysql2/promise";
import postgres from "postgres";
import { SqliteDatabase } from "../../src/runtime/sqlite.ts";
import type { DialectName } from "../../src/local/dialect-names.ts";
import { must } from "../../src/util/assert.ts";
import { hasMariaDb, postgresFolder, type Server, startMariaDb, startPostgres } from "../database-servers.ts";

export interface AppDatabase {
  readonly dialect: DialectName;
  /** Replaces all tables. Columns have this type, which is text unless it is given. */
  fill(tables: readonly AppTable[]): Promise<void>;
  /** The rows, as texts; booleans are 1 and 0. */
  rows(sql: string, parameters?: readonly string[]): Promise<(string | null)[][]>;
  close(): Promise<void>;
}

export interface AppTable {
  readonly name: string;
  /** The types of its columns `a0 …`. */
  readonly types: readonly string[];
  /** The names of its columns as SQL, if they are others. */
  readonly columns?: readonly string[];
  /** The columns with an index. */
  readonly indexes?: readonly number[];
  readonly rows: readonly (readonly (string | null)[])[];
}

/** A database by its name, and how to open it. */
export type NamedDatabase = readonly [name: "SQLite" | "PostgreSQL" | "MariaDB", open: () => Promise<AppDatabase>];

/** The database that every machine has. */
export const embeddedDatabases: readonly NamedDatabase[] = [["SQLite", () => Promise.resolve(sqliteDatabase())]];

/** The databases that are installed. */
export function installedDatabases(): readonly NamedDatabase[] {
  const isInstalled = { SQLite: true, PostgreSQL: postgresFolder !== undefined, MariaDB: hasMariaDb };
  return [...embeddedDatabases, ...serverDatabases].filter(([name]) => isInstalled[name]);
}

/** They stop with `stopDatabases`. A test fails where they are not installed. */
export const serverDatabases: readonly NamedDatabase[] = [
  ["PostgreSQL", async () => postgresDatabase(await (servers.postgres ??= startPostgres()))],
  ["MariaDB", async () => mysqlDatabase(await (servers.mysql ??= startMariaDb()))],
];

const servers: { postgres: Promise<Server> | undefined; mysql: Promise<Server> | undefined } = {
  postgres: undefined,
  mysql: undefined,
};

export async function stopDatabases(): Promise<void> {
  const running = [servers.postgres, servers.mysql];
  // The next test file of the process starts new ones.
  servers.postgres = servers.mysql = undefined;
  await Promise.all(running.map(async (server) => (await server)?.stop()));
}

function columns({ types, columns: names }: AppTable): string {
  return types.map((type, index) => `${names?.[index] ?? `a${index}`} ${type}`).join(", ");
}

function indexesOf({ name, indexes = [] }: AppTable): string[] {
  return indexes.map((column) => `CREATE INDEX ${name}_${column} ON ${name} (a${column})`);
}

export function sqliteDatabase(): AppDatabase {
  const database = new SqliteDatabase(":memory:");
  let known: string[] = [];
  return {
    dialect: "sqlite",
    async fill(tables) {
      for (const name of known) database.exec(`DROP TABLE ${name}`);
      known = tables.map(({ name }) => name);
      for (const table of tables) {
        const { name, types, rows } = table;
        database.exec(`CREATE TABLE ${name} (${columns(table)})`);
        const insert = database.prepare(`INSERT INTO ${name} VALUES (${types.map(() => "?").join(", ")})`);
        for (const row of rows) insert.run(...row);
        insert.finalize();
        indexesOf(table).forEach((sql) => database.exec(sql));
      }
      return Promise.resolve();
    },
    async rows(sql, parameters = []) {
      const statement = database.prepare(sql);
      const rows = statement.values(...parameters);
      statement.finalize();
      return Promise.resolve(rows.map((row) => row.map((value) => (value === null ? null : String(value)))));
    },
    async close() {
      database.close();
      return Promise.resolve();
    },
  };
}

export function postgresDatabase({ url }: Server): AppDatabase {
  // Compiling takes longer than such small tables need, and a statement that hangs must fail.
  const connection = { jit: "off", statement_timeout: 60_000 };
  const sql = postgres(url, { max: 1, onnotice: () => {}, fetch_types: false, connection });
  return {
    dialect: "postgres",
    async fill(tables) {
      const statements = ["DROP SCHEMA IF EXISTS app CASCADE", "CREATE SCHEMA app", "SET search_path = app"];
      for (const table of tables) {
        const { name, rows } = table;
        statements.push(`CREATE TABLE ${name} (${columns(table)})`);
        const values = rows.map((row) => `(${row.map(quoted).join(", ")})`);
        if (values.length > 0) statements.push(`INSERT INTO ${name} VALUES ${values.join(", ")}`);
        statements.push(...indexesOf(table));
      }
      await sql.unsafe(statements.join("; "));
    },
    async rows(text, parameters = []) {
      const rows = await sql.unsafe(text, [...parameters]).values();
      return rows.map((row) => [...row].map((value: unknown) => textOf(value)));
    },
    close: () => sql.end(),
  };
}

export async function mysqlDatabase({ url, execute }: Server): Promise<AppDatabase> {
  await execute("DROP DATABASE app; CREATE DATABASE app; GRANT ALL ON app.* TO app@'127.0.0.1'");
  const connection = await createConnection({ uri: url, charset: "utf8mb4", multipleStatements: true });
  let known: string[] = [];
  return {
    dialect: "mysql",
    async fill(tables) {
      const statements = known.length > 0 ? [`DROP TABLE ${known.join(", ")}`] : [];
      known = tables.map(({ name }) => name);
      for (const table of tables) {
        const { name, types, rows } = table;
        // The default collation of the column equates many ids.
        const typed = types.map((type) => (type === "text" ? "varchar(200) CHARACTER SET utf8mb4" : type));
        statements.push(`CREATE TABLE ${name} (${columns({ ...table, types: typed })}) ENGINE = MyISAM`);
        const values = rows.map((row) => `(${row.map(hexadecimal).join(", ")})`);
        if (values.length > 0) statements.push(`INSERT INTO ${name} VALUES ${values.join(", ")}`);
        statements.push(...indexesOf(table));
      }
      if (statements.length > 0) await connection.query(statements.join("; "));
    },
    async rows(sql, parameters) {
      const options = { sql, rowsAsArray: true };
      const [rows] =
        parameters === undefined ? await connection.query(options) : await connection.execute(options, [...parameters]);
      return Array.isArray(rows) ? (rows as unknown[][]).map((row) => row.map(textOf)) : [];
    },
    close: () => connection.end(),
  };
}

function hexadecimal(value: string | null): string {
  if (value === null) return "NULL";
  return /^-?\d+$/.test(value) ? `'${value}'` : `CONVERT(X'${Buffer.from(value).toString("hex")}' USING utf8mb4)`;
}

function quoted(value: string | null): string {
  return value === null ? "NULL" : `'${value.replaceAll("'", "''")}'`;
}

function textOf(value: unknown): string | null {
  if (value === null) return null;
  if (value instanceof Uint8Array) return new TextDecoder().decode(value);
  if (typeof value === "boolean") return value ? "1" : "0";
  return typeof value === "string" ? value : String(must(value as number));
}
