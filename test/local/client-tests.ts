/** The official client's calls for local authorization, unchanged, against a real node and real databases. */
import { describe, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CompiledQuery, Kysely, PostgresDialect, sql } from "kysely";
import { Oso, typedVar } from "oso-cloud";
import { Pool } from "pg";
import { startPostgres } from "../database-servers.ts";
import { adminKey, withDirectory } from "../replication/cluster.ts";
import { clientOf, Org, Repo, User, withPrimary } from "../http/api.ts";
import type { AppDatabase, NamedDatabase } from "./databases.ts";

const policy = `
actor User {}
global { roles = ["auditor"]; }
resource Org { roles = ["member", "admin"]; }
resource Repo {
  roles = ["reader", "admin"]; permissions = ["read", "delete"]; relations = { parent: Org };
  "reader" if "member" on "parent"; "admin" if "admin" on "parent"; "reader" if "admin";
  "read" if "reader"; "delete" if "admin"; "read" if global "auditor";
  "read" if is_public(resource);
}
has_permission(user: User, "edit", repo: Repo) if has_role(user, "reader", repo) and not is_archived(repo);
`;

/** The organisation of a repository is in the application, and so are the public ones; roles are in the node. */
const bindings = (dialect: string): string => `
dialect: ${dialect}
facts:
  has_relation(Repo:_, parent, Org:_):
    query: SELECT a0, a1 FROM repos
  is_public(Repo:_):
    query: SELECT a0 FROM repos WHERE a2 = 'public'
  is_archived(Repo:_):
    query: SELECT a0 FROM repos WHERE a2 = 'archived'
`;

const tables = [
  {
    name: "repos",
    types: ["text", "text", "text"],
    rows: [
      ["anvil", "acme", "private"],
      ["Anvil", "other", "private"],
      ["bolt", "acme", "private"],
      ["it's \\ ?$1", "other", "public"],
      ["lost", null, "private"],
      ["old", "acme", "archived"],
      // MariaDB keeps the results of subqueries by a column, in the collation of the column.
      ["Old", "acme", "private"],
      ["OLD", "acme", "archived"],
    ],
  },
];

const [ann, bob, eve, root] = ["ann", "bob", "eve", "root"].map(User) as [
  ReturnType<typeof User>,
  ReturnType<typeof User>,
  ReturnType<typeof User>,
  ReturnType<typeof User>,
];

/** A client with data bindings, of a node with the policy and the roles. */
async function withClient(dialect: string, body: (oso: Oso) => Promise<void>): Promise<void> {
  await withDirectory((directory) =>
    withPrimary(async ({ url }) => {
      const admin = clientOf(url);
      await admin.policy(policy);
      await admin.batch((transaction) => {
        transaction.insert(["has_role", ann, "member", Org("acme")]);
        transaction.insert(["has_role", bob, "admin", Org("acme")]);
        transaction.insert(["has_role", root, "auditor"]);
      });
      const file = join(directory, "bindings.yaml");
      await writeFile(file, bindings(dialect));
      await body(new Oso(url, adminKey, { dataBindings: file }));
    }),
  );
}

const texts = (rows: readonly (readonly (string | null)[])[]): string[] => rows.map(([id]) => String(id)).toSorted();

/** Defines the tests for each database. */
export function clientTests(databases: readonly NamedDatabase[]): void {
  describe.each(databases)("on %s", (name, open) => {
    const check = async (body: (oso: Oso, database: AppDatabase) => Promise<void>): Promise<void> => {
      const database = await open();
      try {
        await database.fill(tables);
        await withClient(database.dialect, (oso) => body(oso, database));
      } finally {
        // The server stays for the next test.
        await database.fill([]);
        await database.close();
      }
    };

    test("authorizeLocal, with context facts", () =>
      check(async (oso, database) => {
        const ask = async (...question: Parameters<Oso["authorizeLocal"]>) =>
          await database.rows(await oso.authorizeLocal(...question));
        expect(await ask(ann, "read", Repo("anvil"))).toEqual([["1"]]);
        expect(await ask(ann, "read", Repo("Anvil"))).toEqual([["0"]]);
        expect(await ask(ann, "delete", Repo("anvil"))).toEqual([["0"]]);
        expect(await ask(eve, "read", Repo("it's \\ ?$1"))).toEqual([["1"]]);
        expect(await ask(root, "read", Repo("no such repository"))).toEqual([["1"]]);
        expect(await ask(eve, "read", Repo("bolt"))).toEqual([["0"]]);
        expect(await ask(eve, "read", Repo("bolt"), [["has_role", eve, "member", Org("acme")]])).toEqual([["1"]]);
      }));

    test("listLocal, also with `not`", () =>
      check(async (oso, database) => {
        const list = async (...question: Parameters<Oso["listLocal"]>) =>
          texts(await database.rows(`SELECT repos.a0 FROM repos WHERE ${await oso.listLocal(...question)}`));
        expect(await list(ann, "read", "Repo", "repos.a0")).toEqual([
          "OLD",
          "Old",
          "anvil",
          "bolt",
          "it's \\ ?$1",
          "old",
        ]);
        expect(await list(ann, "edit", "Repo", "repos.a0")).toEqual(["Old", "anvil", "bolt"]);
        expect(await list(bob, "delete", "Repo", "a0")).toEqual(["OLD", "Old", "anvil", "bolt", "old"]);
        expect(await list(root, "read", "Repo", "a0")).toHaveLength(8);
        expect(await list(root, "frob", "Repo", "a0")).toEqual([]);
        expect(await list(eve, "read", "Repo", "a0", [["has_role", eve, "member", Org("other")]])).toEqual([
          "Anvil",
          "it's \\ ?$1",
        ]);
      }));

    test("actionsLocal", () =>
      check(async (oso, database) => {
        const actions = async (...question: Parameters<Oso["actionsLocal"]>) =>
          texts(await database.rows(await oso.actionsLocal(...question)));
        expect(await actions(bob, Repo("anvil"))).toEqual(["delete", "edit", "read"]);
        expect(await actions(ann, Repo("old"))).toEqual(["read"]);
        expect(await actions(eve, Repo("anvil"))).toEqual([]);
      }));

    test("evaluateLocalSelect and evaluateLocalFilter", () =>
      check(async (oso, database) => {
        const user = typedVar("User");
        const repo = typedVar("Repo");
        const readers = oso.buildQuery(["allow", user, "read", Repo("bolt")]).in(user, ["ann", "bob", "eve"]);
        expect(texts(await database.rows(await readers.evaluateLocalSelect({ user_id: user })))).toEqual([
          "ann",
          "bob",
        ]);
        const pairs = oso
          .buildQuery(["has_role", user, "reader", repo])
          .and(["has_relation", repo, "parent", Org("acme")])
          .in(user, ["ann", "bob"]);
        const rows = await database.rows(await pairs.evaluateLocalSelect({ reader: user, repository: repo }));
        expect(rows.map((row) => row.join()).toSorted()).toEqual([
          ..."ann,OLD ann,Old ann,anvil ann,bolt ann,old bob,OLD bob,Old bob,anvil bob,bolt bob,old".split(" "),
        ]);
        expect(await database.rows(await readers.evaluateLocalSelect())).toEqual([["1"]]);
        const fragment = await oso
          .buildQuery(["allow", ann, "read", repo])
          .and(["has_relation", repo, "parent", Org("acme")])
          .evaluateLocalFilter("listed.id", repo);
        const listed = "(SELECT 'anvil' AS id UNION ALL SELECT 'ANVIL' UNION ALL SELECT 'lost') AS listed";
        expect(texts(await database.rows(`SELECT listed.id FROM ${listed} WHERE ${fragment}`))).toEqual(["anvil"]);
        const context = oso
          .buildQuery(["allow", eve, "read", repo])
          .withContextFacts([["has_role", eve, "member", Org("acme")]]);
        expect(
          texts(await database.rows(`SELECT a0 FROM repos WHERE ${await context.evaluateLocalFilter("a0", repo)}`)),
        ).toEqual(["OLD", "Old", "anvil", "bolt", "it's \\ ?$1", "old"]);
      }));

    if (name === "PostgreSQL")
      test("with pg and Kysely", async () => {
        const server = await startPostgres();
        const pool = new Pool({ connectionString: server.url });
        const database = new Kysely<{ repos: { a0: string; a1: string | null } }>({
          dialect: new PostgresDialect({ pool }),
        });
        try {
          await server.execute(
            "CREATE TABLE repos (a0 text, a1 text, a2 text); INSERT INTO repos VALUES ('anvil', 'acme', 'private'), ('bolt', 'other', 'private'), ('it''s ?', 'other', 'public')",
          );
          await withClient("postgres", async (oso) => {
            const decision = await pool.query<{ allowed: boolean }>(
              await oso.authorizeLocal(ann, "read", Repo("anvil")),
            );
            expect(decision.rows).toEqual([{ allowed: true }]);
            const actions = await pool.query<{ actions: string }>(await oso.actionsLocal(bob, Repo("anvil")));
            expect(actions.rows.map((row) => row.actions).toSorted()).toEqual(["delete", "edit", "read"]);

            const fragment = await oso.listLocal(ann, "read", "Repo", "repos.a0");
            const page = await database
              .selectFrom("repos")
              .select("a0")
              .where(sql.raw<boolean>(fragment))
              .where("a0", "!=", "?")
              .orderBy("a0")
              .limit(10)
              .execute();
            expect(page).toEqual([{ a0: "anvil" }, { a0: "it's ?" }]);
            const repo = typedVar("Repo");
            const query = oso.buildQuery(["allow", bob, "delete", repo]);
            const text = await query.evaluateLocalSelect({ repository: repo });
            expect((await database.executeQuery(CompiledQuery.raw(text))).rows).toEqual([{ repository: "anvil" }]);
            const filter = sql.raw<boolean>(await query.evaluateLocalFilter("a0", repo));
            expect(await database.selectFrom("repos").select("a0").where(filter).execute()).toEqual([{ a0: "anvil" }]);
          });
        } finally {
          await database.destroy();
          await server.stop();
        }
      }, 60_000);
  });
}
