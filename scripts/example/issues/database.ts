/** The database of the issue tracker: SQLite in memory or in a file, or PostgreSQL, with tables and example rows. */
import { Kysely, PostgresDialect, sql, SqliteDialect } from "kysely";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { Pool } from "pg";

export interface Tables {
  readonly repositories: { readonly id: number; readonly organization_id: number; readonly name: string };
  readonly issues: {
    readonly id: number;
    readonly repository_id: number;
    readonly author_id: string;
    readonly title: string;
    readonly created_at: number;
  };
}

export type IssueDatabase = Kysely<Tables>;

/** `url` is `sqlite::memory:`, `sqlite:` and a path, or a URL of PostgreSQL. */
export function openDatabase(url: string): IssueDatabase {
  const path = /^sqlite:(.*)$/.exec(url)?.[1];
  if (path === undefined)
    return new Kysely<Tables>({ dialect: new PostgresDialect({ pool: new Pool({ connectionString: url }) }) });
  return new Kysely<Tables>({ dialect: new SqliteDialect({ database: sqliteOf(new DatabaseSync(path)) }) });
}

/** Kysely wants the interface of better-sqlite3. */
function sqliteOf(database: DatabaseSync) {
  const prepared = (statement: StatementSync, sql: string) => ({
    reader: /^\s*(?:select|with|explain)\b/i.test(sql),
    all: (parameters: readonly unknown[]) => statement.all(...(parameters as SQLInputValue[])),
    run: (parameters: readonly unknown[]) => statement.run(...(parameters as SQLInputValue[])),
    iterate: (parameters: readonly unknown[]) => statement.iterate(...(parameters as SQLInputValue[])),
  });
  return { close: () => database.close(), prepare: (sql: string) => prepared(database.prepare(sql), sql) };
}

export interface Size {
  readonly issues: number;
  readonly repositories: number;
  readonly organizations: number;
  readonly users: number;
}

/** 200 issues in a repository, 50 repositories in an organization, 100 users for each of these. */
export function sizeOf(issues: number): Size {
  const repositories = Math.max(10, Math.round(issues / 200));
  const organizations = Math.max(3, Math.round(repositories / 50));
  return { issues, repositories, organizations, users: organizations * 100 };
}

/**
 * Creates and fills the tables, from numbers only, so that each run has the same rows. Ann is in the organization 1, Bob
 * maintains the repository 2, and nobody else has a name; Eve will be banned, Sue is in support.
 */
export async function fillDatabase(
  database: IssueDatabase,
  { issues, repositories, organizations, users }: Size,
): Promise<void> {
  const tables = readFileSync(join(import.meta.dirname, "tables.sql"), "utf8");
  for (const statement of tables.split(";")) if (/create/i.test(statement)) await run(database, statement);
  const insert = (table: string, count: number, row: string): Promise<void> =>
    run(
      database,
      `INSERT INTO ${table} WITH RECURSIVE numbers(n) AS (
        SELECT CAST(1 AS bigint) UNION ALL SELECT n + 1 FROM numbers WHERE n < ${count}
      ) SELECT ${row} FROM numbers`,
    );
  // Multiples of primes, so that one row after the other differs.
  const some = (count: number, prime: number): string => `n * ${prime} % ${count} + 1`;
  const title =
    "CASE n / 7 % 4 WHEN 0 THEN 'Crash after' WHEN 1 THEN 'Typo in' WHEN 2 THEN 'Slow start of' ELSE 'Wish for' END";
  await insert("repositories", repositories, `n, ${some(organizations, 1)}, 'repository-' || n, n % 20 = 0`);
  const role = "CASE WHEN n % 50 = 0 THEN 'owner' ELSE 'member' END";
  await insert("organization_members", users, `${some(organizations, 1)}, 'user-' || n, ${role}`);
  await insert("repository_members", users, `${some(repositories, 7919)}, 'user-' || n, 'reader'`);
  await insert(
    "issues",
    issues,
    `n, ${some(repositories, 7919)}, 'user-' || (${some(users, 104_729)}), ${title} || ' part ' || (n % 1000), 1700000000 + n`,
  );
  await run(database, "INSERT INTO organization_members VALUES (1, 'ann', 'member'), (1, 'eve', 'owner')");
  await run(database, "INSERT INTO repository_members VALUES (2, 'bob', 'maintainer')");
  await run(database, "ANALYZE");
}

async function run(database: IssueDatabase, text: string): Promise<void> {
  await sql.raw(text).execute(database);
}
