/** SQL with parameters: the same rows as with literals, and no text of the question in the SQL. */
import { describe, expect, test } from "bun:test";
import type { LocalSql } from "../../src/engine/request/questions.ts";
import { openFilledEngine } from "../cases/engine-target.ts";
import type { NamedDatabase } from "./databases.ts";

const policy = `
actor User {}
resource Org { roles = ["member"]; }
resource Repo {
  roles = ["reader"]; permissions = ["read", "edit"]; relations = { parent: Org };
  "reader" if "member" on "parent"; "read" if "reader";
}
resource Folder { roles = ["reader"]; permissions = ["read"]; relations = { parent: Folder };
  "reader" if "reader" on "parent"; "read" if "reader"; }
has_permission(user: User, "edit", repo: Repo) if has_role(user, "reader", repo) and not is_locked(repo, user);
`;
const value = (type: string) => (id: string) => ({ type, id });
const [User, Org, Repo, Folder] = [value("User"), value("Org"), value("Repo"), value("Folder")];
const role = (user: string, name: string, resource: { type: string; id: string }) => ({
  predicate: "has_role",
  args: [User(user), { type: "String", id: name }, resource],
});
const names = ["it's", "back\\slash", "que?stion $1", "😀", "İ", "plain"];
const facts = [
  ...names.map((name) => role("o'ann", "member", Org(name))),
  role("o'ann", "reader", Repo("100")),
  role("o'ann", "reader", Folder("it's")),
];
const tables = [
  { name: "repos", types: ["bigint", "text"], rows: [...names.map((name, at) => [String(at), name]), ["7", "other"]] },
  {
    name: "locks",
    types: ["bigint", "text"],
    rows: [
      ["0", "o'ann"],
      ["1", "bob"],
    ],
  },
  {
    name: "folders",
    types: ["text", "text"],
    rows: [
      ["a", "it's"],
      ["b", "a"],
      ["c", "none"],
    ],
  },
];
const bindings = (dialect: string): string => `
dialect: ${dialect}
facts:
  has_relation(Repo:_, parent, Org:_):
    query: SELECT a0, a1 FROM repos
  is_locked(Repo:_, User:_):
    query: SELECT a0, a1 FROM locks
  has_relation(Folder:_, parent, Folder:_):
    query: SELECT a0, a1 FROM folders
sql_types:
  Repo: bigint
`;

/** Defines the tests for each database. */
export function parameterTests(databases: readonly NamedDatabase[]): void {
  describe.each(databases)("on %s", (_, open) => {
    test("rows are the same as with literals", async () => {
      const database = await open();
      using opened = openFilledEngine({ policy, facts, now: 1 });
      const { engine } = opened;
      const common = { actor: User("o'ann"), contextFacts: [], bindings: { text: bindings(database.dialect) } };
      /** The rows with parameters, which have to be those with literals. */
      const check = async (ask: (withParameters: boolean) => LocalSql, before = ""): Promise<(string | null)[]> => {
        const { sql, parameters = [] } = ask(true);
        expect(sql).not.toContain("o'ann");
        expect(parameters.length).toBeGreaterThan(0);
        const rows = await database.rows(before + sql, parameters);
        expect(rows).toEqual(await database.rows(before + ask(false).sql));
        return rows.map(([first = null]) => first).toSorted();
      };
      try {
        await database.fill(tables);
        const list = (action: string, resourceType: string, column: string) => (withParameters: boolean) =>
          engine.listLocal({ ...common, action, resourceType, column, withParameters });
        const repos = "SELECT a0 FROM repos WHERE ";
        expect(await check(list("read", "Repo", "repos.a0"), repos)).toEqual(["0", "1", "2", "3", "4", "5"]);
        expect(await check(list("edit", "Repo", "repos.a0"), repos)).toEqual(["1", "2", "3", "4", "5"]);
        expect(await check(list("read", "Folder", "a0"), "SELECT a0 FROM folders WHERE ")).toEqual(["a", "b"]);
        const decide = (id: string) => (withParameters: boolean) =>
          engine.authorizeLocal({ ...common, action: "edit", resource: Repo(id), withParameters });
        expect(await check(decide("3"))).toEqual(["1"]);
        expect(await check(decide("0"))).toEqual(["0"]);
        const actions = (withParameters: boolean) =>
          engine.actionsLocal({ ...common, resource: Repo("0"), withParameters });
        expect(await check(actions)).toEqual(["read"]);
        const { sql, parameters } = list("frob", "Repo", "repos.a0")(true);
        expect({ sql, parameters }).toEqual({ sql: "FALSE", parameters: [] });
      } finally {
        await database.fill([]);
        await database.close();
      }
    }, 60_000);

    test("a query with marks of its own is refused", async () => {
      const database = await open();
      using opened = openFilledEngine({ policy, facts, now: 1 });
      const ask = (mark: string) => () =>
        opened.engine.listLocal({
          ...{ actor: User("ann"), action: "read", resourceType: "Repo", column: "a0", contextFacts: [] },
          bindings: {
            text: `dialect: ${database.dialect}\nfacts:\n  is_locked(Repo:_, User:_):\n    query: SELECT a, b FROM t WHERE c = ${mark}\n`,
          },
          withParameters: true,
        });
      const mark = database.dialect === "postgres" ? "$1" : "?";
      expect(ask(mark)).toThrow(`has \`${mark}\`, which marks a parameter`);
      if (database.dialect === "postgres") expect(ask("(d ? 'e')")).not.toThrow();
      await database.close();
    });
  });
}
