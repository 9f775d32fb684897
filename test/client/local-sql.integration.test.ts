/** `localSql` with the real libraries, in queries of real databases. `local-sql.test.ts` needs none. */
import { PrismaPg } from "@prisma/adapter-pg";
import { getPrismaClient, sqltag as prismaSql } from "@prisma/client/runtime/client";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { and, asc, like, sql as drizzleSql } from "drizzle-orm";
import { drizzle as drizzleMySql } from "drizzle-orm/mysql2";
import { int, mysqlTable, varchar } from "drizzle-orm/mysql-core";
import { drizzle as drizzlePostgres } from "drizzle-orm/node-postgres";
import { integer, pgTable, text } from "drizzle-orm/pg-core";
import { Kysely, PostgresDialect, sql as kyselySql } from "kysely";
import { createPool } from "mysql2";
import { Pool } from "pg";
import { localSql, type LocalSqlAnswer } from "../../src/client/local-sql.ts";
import type { DialectName } from "../../src/local/dialect-names.ts";
import { parseBindings } from "../../src/local/bindings.ts";
import { parseFact } from "../cases/case.ts";
import { openFilledEngine } from "../cases/engine-target.ts";
import { type Server, startMariaDb, startPostgres } from "../database-servers.ts";
import { bindingLimits } from "../local/split.ts";

const policy = `
actor User {}
resource Doc { roles = ["reader"]; permissions = ["read"]; "read" if "reader"; }
has_permission(_: User, "read", doc: Doc) if is_public(doc);
`;
/** Characters that drivers could take for the mark of a parameter. */
const strange = "what's $1 ? :a \\";
const facts = [`has_role(User:ann, reader, Doc:${JSON.stringify(strange)})`, "has_role(User:ann, reader, Doc:Case)"];
const engine = openFilledEngine({ policy, facts: facts.map(parseFact), now: 1 });

const documents = [
  ...[[1, strange, "a letter"] as const, [2, "case", "a contract"] as const, [3, "Case", "a draft"] as const],
  ...[[4, "open", "an opening"] as const, [5, "note", "no letter"] as const],
];
const readable = [1, 3, 4];

function listOf(dialect: DialectName): string {
  const query = "SELECT id FROM docs WHERE id = 'open' AND '?' <> '$1' -- it's ?";
  const bindings = parseBindings(
    JSON.stringify({ dialect, facts: { "is_public(Doc:_)": { query } }, sql_types: { Doc: "text" } }),
    bindingLimits,
  );
  const actor = { type: "User", id: "ann" };
  return engine.engine.local.listSql({
    actor,
    action: "read",
    resourceType: "Doc",
    column: "docs.id",
    bindings,
    contextFacts: [],
  });
}

/** An answer as one text, and answers with parameters that have the same rows. */
function answersOf(dialect: DialectName): [name: string, answer: string | LocalSqlAnswer][] {
  const parameters = [strange, "Case", "open"];
  const raw: [string, string] = ["as text", listOf(dialect)];
  if (dialect === "postgres") {
    const sql = "(docs.id IN ($2, $1, $2, $3) AND $$?$1$$ <> E'\\'$1' AND docs.n <> 2)";
    return [
      raw,
      ["with parameters", { sql, parameters }],
      ["with others", { sql, parameters: parameters.toReversed() }],
    ];
  }
  const sql = "(docs.id IN (?, ?, ?) AND '?' <> '$1' /* it's ? */ -- \"?\n AND docs.n <> 2)";
  return [raw, ["with parameters", { sql, parameters }]];
}

const create = `CREATE TABLE docs (n integer, id varchar(100), title varchar(100));`;

async function fill({ execute }: Server, quoted: (text: string) => string): Promise<void> {
  const rows = documents.map(([n, id, title]) => `(${n}, ${quoted(id)}, '${title}')`);
  await execute(`${create} INSERT INTO docs VALUES ${rows.join(", ")};`);
}

afterAll(() => engine[Symbol.dispose]());

describe("PostgreSQL", () => {
  let server: Server;
  let pool: Pool;
  beforeAll(async () => {
    server = await startPostgres();
    await fill(server, (text) => `'${text.replaceAll("'", "''")}'`);
    pool = new Pool({ connectionString: server.url, max: 2 });
  }, 60_000);
  afterAll(async () => {
    await pool.end();
    await server.stop();
  });

  test.each(answersOf("postgres"))("Drizzle, %s", async (_, answer) => {
    const docs = pgTable("docs", { n: integer(), id: text(), title: text() });
    const database = drizzlePostgres(pool);
    const condition = localSql(drizzleSql<boolean>, answer);
    const select = (letters: string) =>
      database
        .select({ n: docs.n })
        .from(docs)
        .where(and(condition, like(docs.title, letters)))
        .orderBy(asc(docs.n));
    expect((await select("a%")).map(({ n }) => n)).toEqual(readable);
    expect((await select("a draft")).map(({ n }) => n)).toEqual([3]);
  });

  test.each(answersOf("postgres"))("Kysely, %s", async (_, answer) => {
    const database = new Kysely<{ docs: { n: number; id: string; title: string } }>({
      dialect: new PostgresDialect({ pool }),
    });
    const select = (letters: string) =>
      database
        .selectFrom("docs")
        .select("n")
        .where("title", "like", letters)
        .where(localSql(kyselySql<boolean>, answer))
        .orderBy("n")
        .execute();
    expect((await select("a%")).map(({ n }) => n)).toEqual(readable);
    expect((await select("a draft")).map(({ n }) => n)).toEqual([3]);
  });

  test.each(answersOf("postgres"))("Prisma, %s", async (_, answer) => {
    const prisma = prismaClient(server.url);
    try {
      const condition = localSql(prismaSql, answer);
      const select = (letters: string) =>
        prisma.$queryRaw(prismaSql`SELECT n FROM docs WHERE title LIKE ${letters} AND ${condition} ORDER BY n`);
      expect(await select("a%")).toEqual(readable.map((n) => ({ n })));
      expect(await select("a draft")).toEqual([{ n: 3 }]);
    } finally {
      await prisma.$disconnect();
    }
  });
});

describe("MariaDB", () => {
  let server: Server;
  beforeAll(async () => {
    server = await startMariaDb();
    await fill(server, (text) => `CONVERT(X'${Buffer.from(text).toString("hex")}' USING utf8mb4)`);
  }, 60_000);
  afterAll(() => server.stop());

  test.each(answersOf("mysql"))("Drizzle, %s", async (_, answer) => {
    const docs = mysqlTable("docs", { n: int(), id: varchar({ length: 100 }), title: varchar({ length: 100 }) });
    const pool = createPool({ uri: server.url });
    const database = drizzleMySql(pool.promise());
    const condition = localSql(drizzleSql<boolean>, answer);
    const rows = await database
      .select({ n: docs.n })
      .from(docs)
      .where(and(condition, like(docs.title, "a%")))
      .orderBy(docs.n);
    expect(rows.map(({ n }) => n)).toEqual(readable);
    await new Promise((resolve) => pool.end(resolve));
  });
});

/** The client that `prisma generate` writes for a schema without models; that program needs a download. */
function prismaClient(url: string) {
  const inlineSchema = `generator client {\n  provider = "prisma-client"\n}\n\ndatasource db {\n  provider = "postgresql"\n}\n`;
  const Client = getPrismaClient({
    ...{
      previewFeatures: [],
      clientVersion: "7.10.0",
      engineVersion: "none",
      activeProvider: "postgresql",
      inlineSchema,
    },
    runtimeDataModel: { models: {}, enums: {}, types: {} },
    parameterizationSchema: { strings: [], graph: "AAAA" },
    compilerWasm: {
      getRuntime: () => compiler<Awaited<ReturnType<CompilerWasm["getRuntime"]>>>("mjs"),
      async getQueryCompilerWasmModule() {
        const { wasm } = await compiler<{ readonly wasm: string }>("wasm-base64.mjs");
        return new WebAssembly.Module(Buffer.from(wasm, "base64"));
      },
      importName: "./query_compiler_small_bg.js",
    },
  });
  return new Client({ adapter: new PrismaPg({ connectionString: url }) });
}

type CompilerWasm = NonNullable<Parameters<typeof getPrismaClient>[0]["compilerWasm"]>;

/** These files have no types. */
function compiler<Exports>(ending: string): Promise<Exports> {
  return import(`@prisma/client/runtime/query_compiler_small_bg.postgresql.${ending}`) as Promise<Exports>;
}
