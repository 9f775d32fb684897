/** The issue tracker of `scripts/example/issues`: what its users see, and that its list uses indexes. */
import * as Bun from "bun";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type CompiledQuery, sql } from "kysely";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Oso } from "oso-cloud";
import { handwrittenList } from "../../scripts/benchmark/handwritten.ts";
import { projectRoot } from "../../scripts/built-binary.ts";
import { fillDatabase, type IssueDatabase, openDatabase, sizeOf } from "../../scripts/example/issues/database.ts";
import { IssueTracker, type ListedIssue, type ListOptions } from "../../scripts/example/issues/issue-tracker.ts";
import { type Server, startPostgres } from "../database-servers.ts";
import { apiOf } from "../http/api.ts";
import { adminKey, withCluster } from "../replication/cluster.ts";

const defaultIssues = 20_000;
const issues = Number(process.env["EXAMPLE_ISSUES"] ?? defaultIssues);
const example = join(projectRoot, "scripts", "example", "issues");
const read = (name: string): string => readFileSync(join(example, name), "utf8");

let node = "";
let stop = (): void => {};
let served: Promise<void>;
const folder = mkdtempSync(join(tmpdir(), "ostiary-example-"));

beforeAll(async () => {
  const ready = Promise.withResolvers<void>();
  served = withCluster(async (cluster) => {
    const primary = await cluster.primary();
    node = primary.url;
    await apiOf(primary).call("POST", "/api/policy", { body: { src: read("policy.polar"), filename: "policy.polar" } });
    const oso = new Oso(node, adminKey);
    await oso.insert(["is_banned", { type: "User", id: "eve" }]);
    await oso.insert(["has_role", { type: "User", id: "sue" }, "support"]);
    ready.resolve();
    await new Promise<void>((resolve) => (stop = resolve));
  });
  await Promise.race([ready.promise, served]);
}, 60_000);
afterAll(async () => {
  stop();
  await served;
  rmSync(folder, { recursive: true });
});

function trackerOf(database: IssueDatabase, dialect: string): IssueTracker {
  const path = join(folder, `${dialect}.yaml`);
  writeFileSync(path, read("bindings.yaml").replace("dialect: sqlite", `dialect: ${dialect}`));
  return new IssueTracker(database, new Oso(node, adminKey, { dataBindings: path }));
}

const databases = [
  ["sqlite", () => Promise.resolve(undefined)],
  ["postgres", startPostgres],
] as const;

for (const [dialect, start] of databases) {
  describe(`with ${dialect}, ${issues} issues`, () => {
    let server: Server | undefined;
    let database: IssueDatabase;
    let tracker: IssueTracker;
    beforeAll(async () => {
      server = await start();
      database = openDatabase(server?.url ?? "sqlite::memory:");
      await fillDatabase(database, sizeOf(issues));
      tracker = trackerOf(database, dialect);
    }, 600_000);
    afterAll(async () => {
      await database.destroy();
      await server?.stop();
    });

    const rowsOf = async (query: CompiledQuery<unknown>): Promise<unknown[]> =>
      (await database.executeQuery(query)).rows;

    test.each(["ann", "bob", "user-7", "nobody"])(
      "the newest issues of %s are those of a hand-written query",
      async (user) => {
        const found = await tracker.list(user);
        expect(found).toHaveLength(50);
        expect(found as unknown[]).toEqual(await rowsOf(handwrittenList(database, user)));
      },
    );

    test("support reads all issues, and a banned owner none", async () => {
      const newest = await database.selectFrom("issues").select("id").orderBy("id", "desc").limit(50).execute();
      expect((await tracker.list("sue")).map(({ id }) => id)).toEqual(newest.map(({ id }) => id));
      expect(await tracker.list("eve")).toEqual([]);
    });

    test("pages, searches and sorts add up to the whole list", async () => {
      const pagesOf = async (options: ListOptions): Promise<ListedIssue[]> => {
        const all: ListedIssue[] = [];
        for (let after: ListedIssue | undefined; ;) {
          const page = await tracker.list("bob", { ...options, size: 30, ...(after && { after }) });
          all.push(...page);
          after = page.at(-1);
          if (page.length < 30 || all.length > 300) return all;
        }
      };
      for (const sort of ["newest", "oldest", "title"] as const) {
        const whole = await tracker.list("bob", { search: "Crash", sort, size: 300 });
        expect(whole.length).toBeGreaterThan(30);
        expect(whole.every(({ title }) => title.includes("Crash"))).toBe(true);
        expect((await pagesOf({ search: "Crash", sort })).slice(0, 300)).toEqual(whole);
      }
      const titles = (await tracker.list("bob", { sort: "title" })).map(({ title }) => title);
      expect(titles).toEqual(titles.toSorted());
    });

    test("actions follow the author, the maintainer and the ban", async () => {
      const [own] = await tracker.list("bob", { size: 1, search: "" });
      const { id } = own ?? { id: 0 };
      await sql`UPDATE issues SET repository_id = 2, author_id = 'ann' WHERE id = ${id}`.execute(database);
      expect(await tracker.actions("bob", id)).toEqual(["close", "comment", "read"]);
      expect(await tracker.actions("ann", id)).toContain("close");
      expect(await tracker.actions("eve", id)).toEqual([]);
      expect(tracker.close("eve", id)).rejects.toThrow(`eve may not close the issue ${id}`);
      await tracker.close("ann", id);
      expect(await tracker.actions("bob", id)).toEqual([]);
    });

    test("the list uses indexes", async () => {
      const { sql: text, parameters } = (await tracker.listQuery("ann")).compile();
      const explain = {
        ...sql.raw(`${dialect === "sqlite" ? "EXPLAIN QUERY PLAN" : "EXPLAIN"} ${text}`).compile(database),
        parameters,
      };
      const plan = await database.transaction().execute(async (transaction) => {
        // Small tables are read whole otherwise.
        if (dialect === "postgres") await sql`SET LOCAL enable_seqscan = off`.execute(transaction);
        return (await transaction.executeQuery(explain)).rows;
      });
      const lines = plan.map((row) => String(Object.values(row as object).at(-1)));
      const uses = lines.flatMap((line) => /(?:SCAN|SEARCH|TEMP) .*|using \w+|Seq Scan.*|Sort.*/.exec(line)?.[0] ?? []);
      expect(uses.slice(0, 2)).toEqual(plans[dialect].slice(0, 2));
      // The order of joins may depend on the number of rows.
      if (issues === defaultIssues) expect(uses.slice(2)).toEqual(plans[dialect].slice(2));
      else expect(uses.slice(2).filter((use) => /^SCAN|TEMP|Seq Scan|Sort/.test(use))).toEqual([]);
    });
  });
}

/** Newest issues first, and for each the rows that let Ann read it. */
const plans = {
  sqlite: [
    "SCAN issues USING INDEX issues_newest",
    "SEARCH issues USING INTEGER PRIMARY KEY (rowid=?)",
    "SEARCH repositories USING INTEGER PRIMARY KEY (rowid=?)",
    "SEARCH repositories USING INTEGER PRIMARY KEY (rowid=?)",
    "SEARCH organization_members USING COVERING INDEX sqlite_autoindex_organization_members_1 (user_id=? AND organization_id=?)",
    "SEARCH repository_members USING COVERING INDEX sqlite_autoindex_repository_members_1 (user_id=? AND repository_id=?)",
    "SEARCH repositories USING INTEGER PRIMARY KEY (rowid=?)",
  ],
  postgres: [
    ...["using issues_newest", "using issues_pkey", "using repositories_pkey", "using organization_members_pkey"],
    ...["using repositories_organization", "using repository_members_pkey", "using repositories_pkey"],
  ],
};

test("the program runs on SQLite without set-up", async () => {
  const child = Bun.spawn([process.execPath, join(example, "main.ts"), "--exit"], { stdout: "pipe", stderr: "pipe" });
  const [output, errors, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  expect([status, errors]).toEqual([0, ""]);
  expect(output).toContain("the newest issues of ann\n");
  expect(output).toContain("the newest issues of eve: none\n");
  expect(output).toContain("crashes for ann, by title\n");
  expect(output).toMatch(/bob may do with the issue \d+: close, comment, read\n/);
}, 120_000);

test("PostgreSQL refuses columns that are not of the type in sql_types", async () => {
  const server = await startPostgres();
  const database = openDatabase(server.url);
  try {
    await fillDatabase(database, sizeOf(100));
    await sql`ALTER TABLE repositories ALTER COLUMN id TYPE numeric`.execute(database);
    const listed = trackerOf(database, "postgres").list("ann");
    expect(listed).rejects.toThrow("function pg_catalog.int8eq(numeric, integer) does not exist");
    await listed.catch(() => {});
  } finally {
    await database.destroy();
    await server.stop();
  }
}, 60_000);
