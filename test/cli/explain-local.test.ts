/** `ostiary explain --bindings`: which rows of an application's database decide. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { SqliteDatabase } from "../../src/runtime/sqlite.ts";
import { startDevNode, type DevNode } from "./dev-node.ts";
import { exampleTables, readExample } from "./issue-tracker.ts";
import { workspace } from "./workspace.ts";

const { write, path, run } = workspace();
let node: DevNode;

beforeAll(async () => {
  write("bindings.yaml", readExample("bindings.yaml"));
  const database = new SqliteDatabase(path("app.db"), { create: true });
  database.exec(exampleTables);
  database.close();
  write("policy.polar", readExample("policy.polar"));
  node = await startDevNode(["policy.polar"], { directory: path(".") });
  await run(["tell", "has_role", "User:sue", "support"], "", node.access);
});
afterAll(() => node.stop());

const explain = (words: string) => run(["explain", ...words.split(" ")], "", node.access);

test("names the rows that allow an action", async () => {
  const { status, output, errors } = await explain("User:ann read Issue:5 --bindings bindings.yaml --db sqlite:app.db");
  expect([status, errors]).toEqual([0, ""]);
  expect(output).toMatchInlineSnapshot(`
    "allowed with the rows of the database
      by allow(user: User, action: String, resource: Resource) if has_permission(user, action, resource) and … (policy.polar:40:1)
        by "read" if "read" on "repository" (policy.polar:34:3)
          by "reader" if "member" on "organization" (policy.polar:23:3)
            has_relation(Issue:5, String:repository, Repository:1) is a row of has_relation(Issue:_, repository, Repository:_)
            has_relation(Repository:1, String:organization, Organization:7) is a row of has_relation(Repository:_, organization, Organization:_)
            has_role(User:ann, String:member, Organization:7) is a row of has_role(User:_, String:_, Organization:_)
    without these rows
      denied: allow(User{"ann"}, "read", Issue{"5"})
        allow(user: User, action: String, resource: Resource) if has_permission(user, action, resource) and … (policy.polar:40:1)
          holds:   not is_banned(User{"ann"})
          missing: has_permission(User{"ann"}, "read", Issue{"5"})
            "read" if "read" on "repository" (policy.polar:34:3)
              missing: has_relation(Issue{"5"}, "repository", _: Repository)
              missing: has_permission(User{"ann"}, "read", _: Repository)
    "
  `);
});

test("names the rows that are missing", async () => {
  const { output } = await explain("User:ann close Issue:6 --bindings bindings.yaml --db sqlite:app.db");
  expect(output).toMatchInlineSnapshot(`
    "denied with the rows of the database; it would be allowed if
      by allow(user: User, action: String, resource: Resource) if has_permission(user, action, resource) and … (policy.polar:40:1)
        by "close" if "author" (policy.polar:36:3)
          has_relation(Issue:6, String:author, User:ann) is a row of has_relation(Issue:_, author, User:_)
      by allow(user: User, action: String, resource: Resource) if has_permission(user, action, resource) and … (policy.polar:40:1)
        by "close" if "maintainer" on "repository" (policy.polar:37:3)
          has_relation(Issue:6, String:repository, Repository:_) is a row of has_relation(Issue:_, repository, Repository:_)
          has_role(User:ann, String:maintainer, Repository:_) is a row of has_role(User:_, String:_, Repository:_)
      by allow(user: User, action: String, resource: Resource) if has_permission(user, action, resource) and … (policy.polar:40:1)
        by "close" if "maintainer" on "repository" (policy.polar:37:3)
          by "maintainer" if "owner" on "organization" (policy.polar:22:3)
            has_relation(Issue:6, String:repository, Repository:_) is a row of has_relation(Issue:_, repository, Repository:_)
            has_relation(Repository:_, String:organization, Organization:_) is a row of has_relation(Repository:_, organization, Organization:_)
            has_role(User:ann, String:owner, Organization:_) is a row of has_role(User:_, String:_, Organization:_)
    without these rows
      denied: allow(User{"ann"}, "close", Issue{"6"})
        allow(user: User, action: String, resource: Resource) if has_permission(user, action, resource) and … (policy.polar:40:1)
          holds:   not is_banned(User{"ann"})
          missing: has_permission(User{"ann"}, "close", Issue{"6"})
            "close" if "author" (policy.polar:36:3)
              missing: has_relation(Issue{"6"}, "author", User{"ann"})
            "close" if "maintainer" on "repository" (policy.polar:37:3)
              missing: has_relation(Issue{"6"}, "repository", _: Repository)
              missing: has_role(User{"ann"}, "maintainer", _: Repository)
    "
  `);
});

test("says what rows would decide, without a database", async () => {
  const { output } = await explain("User:bob close Issue:5 --bindings bindings.yaml");
  expect(output).toMatchInlineSnapshot(`
    "the rows of the bound queries decide; it is allowed if
      by allow(user: User, action: String, resource: Resource) if has_permission(user, action, resource) and … (policy.polar:40:1)
        by "close" if "author" (policy.polar:36:3)
          has_relation(Issue:5, String:author, User:bob) is a row of has_relation(Issue:_, author, User:_)
      by allow(user: User, action: String, resource: Resource) if has_permission(user, action, resource) and … (policy.polar:40:1)
        by "close" if "maintainer" on "repository" (policy.polar:37:3)
          has_relation(Issue:5, String:repository, Repository:_) is a row of has_relation(Issue:_, repository, Repository:_)
          has_role(User:bob, String:maintainer, Repository:_) is a row of has_role(User:_, String:_, Repository:_)
      by allow(user: User, action: String, resource: Resource) if has_permission(user, action, resource) and … (policy.polar:40:1)
        by "close" if "maintainer" on "repository" (policy.polar:37:3)
          by "maintainer" if "owner" on "organization" (policy.polar:22:3)
            has_relation(Issue:5, String:repository, Repository:_) is a row of has_relation(Issue:_, repository, Repository:_)
            has_relation(Repository:_, String:organization, Organization:_) is a row of has_relation(Repository:_, organization, Organization:_)
            has_role(User:bob, String:owner, Organization:_) is a row of has_role(User:_, String:_, Organization:_)
    without these rows
      denied: allow(User{"bob"}, "close", Issue{"5"})
        allow(user: User, action: String, resource: Resource) if has_permission(user, action, resource) and … (policy.polar:40:1)
          holds:   not is_banned(User{"bob"})
          missing: has_permission(User{"bob"}, "close", Issue{"5"})
            "close" if "author" (policy.polar:36:3)
              missing: has_relation(Issue{"5"}, "author", User{"bob"})
            "close" if "maintainer" on "repository" (policy.polar:37:3)
              missing: has_relation(Issue{"5"}, "repository", _: Repository)
              missing: has_role(User{"bob"}, "maintainer", _: Repository)
    "
  `);
});

test("says that no row can change a decision", async () => {
  const { output } = await explain("User:ann delete Issue:5 --bindings bindings.yaml --db sqlite:app.db");
  expect(output).toStartWith("no row of the bound queries can change this: denied\nwithout these rows\n");
});

test("stored bindings, and JSON", async () => {
  expect((await run(["bindings", "put", "tracker", "bindings.yaml"], "", node.access)).status).toBe(0);
  const { output } = await explain("User:bob close Issue:5 --bindings-name tracker --db sqlite:app.db --json");
  const { allowed, local, rows } = JSON.parse(output);
  expect([allowed, local.decision, rows.allowed]).toEqual([false, "depends", true]);
  const holding = rows.alternatives.filter(({ holds }: { holds: boolean }) => holds);
  const value = (type: string, id: string) => ({ type, id });
  expect(holding).toEqual([
    {
      holds: true,
      facts: [
        [
          {
            predicate: "has_relation",
            args: [value("Issue", "5"), value("String", "repository"), value("Repository", "1")],
          },
          {
            predicate: "has_role",
            args: [value("User", "bob"), value("String", "maintainer"), value("Repository", "1")],
          },
        ],
      ],
    },
  ]);
});

test("refuses wrong usage, another dialect and a database without the tables", async () => {
  expect((await explain("User:ann read Issue:5 --db sqlite:app.db")).status).toBe(2);
  expect((await explain("User:ann read Issue:5 --bindings bindings.yaml --bindings-name x")).status).toBe(2);
  new SqliteDatabase(path("empty.db"), { create: true }).close();
  const empty = await explain("User:ann read Issue:5 --bindings bindings.yaml --db sqlite:empty.db");
  expect(empty).toMatchObject({ status: 1, output: "" });
  expect(empty.errors).toStartWith("error: the database of `--db` refuses the SQL: ");
  write("postgres.yaml", readExample("bindings.yaml").replace("dialect: sqlite", "dialect: postgres"));
  const other = await explain("User:ann read Issue:5 --bindings postgres.yaml --db sqlite:app.db");
  expect(other.errors).toStartWith("error: the data bindings have `dialect: postgres`, and the database");
});
