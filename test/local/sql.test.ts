/** What folds, what is refused, and how the SQL of an example looks. */
import { afterAll, describe, expect, test } from "bun:test";
import { type DataBindings, parseBindings } from "../../src/local/bindings.ts";
import { parseFact } from "../cases/case.ts";
import { openFilledEngine } from "../cases/engine-target.ts";
import { sqliteDatabase } from "./databases.ts";
import { bindingLimits } from "./split.ts";

const policy = `
actor User {}
global { roles = ["admin"]; }
resource Org { roles = ["member", "owner"]; permissions = ["read"]; "member" if "owner"; "read" if "member"; }
resource Repo {
  roles = ["reader"]; permissions = ["read", "delete", "audit"]; relations = { org: Org, parent: Repo };
  "reader" if "member" on "org";
  "reader" if "reader" on "parent";
  "read" if "reader" and is_live(resource);
  "delete" if "owner" on "org";
  "read" if global "admin";
}
has_permission(u: User, "audit", r: Repo) if link(v, r) and near(u, v) and v matches User;
near(u: User, v: User) if near(u, m) and near(m, v) and m matches User;
`;

function bindings(
  dialect: "postgres" | "sqlite" | "mysql",
  facts: Record<string, string>,
  sqlTypes = {},
): DataBindings {
  const entries = Object.entries(facts).map(([signature, query]) => [signature, { query }]);
  return parseBindings(
    JSON.stringify({ dialect, facts: Object.fromEntries(entries), sql_types: sqlTypes }),
    bindingLimits,
  );
}

const relations = {
  "has_relation(Repo:_, org, Org:_)": "SELECT id, org FROM repos",
  "is_live(Repo:_)": "SELECT id FROM repos WHERE live",
};

const facts = [
  "has_role(User:ann, member, Org:acme)",
  "has_role(User:ann, owner, Org:o'x)",
  "has_role(User:root, admin)",
];
const engine = openFilledEngine({ policy, facts: facts.map(parseFact), now: 1 });
afterAll(() => engine[Symbol.dispose]());

const list = (
  actor: string,
  action: string,
  bound: DataBindings,
  context: string[] = [],
  column = "repos.id",
): string =>
  engine.engine.local.listSql({
    actor: { type: "User", id: actor },
    ...{ action, resourceType: "Repo", column, bindings: bound, contextFacts: context.map(parseFact) },
  });

const authorize = (actor: string, action: string, id: string, bound: DataBindings): string =>
  engine.engine.local.authorizeSql({
    actor: { type: "User", id: actor },
    ...{ action, resource: { type: "Repo", id }, bindings: bound, contextFacts: [] },
  });

describe("parts that do not depend on rows fold", () => {
  const bound = bindings("postgres", relations);

  test("a wildcard grant is TRUE", () => {
    expect(list("root", "read", bound)).toBe("TRUE");
    expect(authorize("root", "read", "any", bound)).toBe("SELECT TRUE AS allowed");
  });

  test("unknown names, and roles that no central fact gives, are FALSE", () => {
    expect(list("ann", "frob", bound)).toBe("FALSE");
    expect(list("nobody", "read", bound)).toBe("FALSE");
    expect(authorize("nobody", "read", "r", bound)).toBe("SELECT FALSE AS allowed");
  });

  test("context facts count as central facts", () => {
    expect(list("bob", "read", bound, ["has_role(User:bob, admin)"])).toBe("TRUE");
    expect(list("bob", "delete", bound, ["has_role(User:bob, owner, Org:acme)"])).toContain("'acme'");
  });
});

test("an id with U+0000 is a value of its own, which no fact has", () => {
  const own = 'actor User {} allow(u: User, "see", u: User); allow(u: User, "see", v: User) if friend(u, v);';
  using filled = openFilledEngine({ policy: own, facts: [], now: 1 });
  const bound = bindings("sqlite", { "friend(User:_, User:_)": "SELECT a, b FROM friends WHERE 1 = 0" });
  const ids = [...["", "0", "1", "12", "x"].map((end) => `\0${end}`), "bob"];
  for (const [actor, other] of ids.flatMap((id) => ids.map((another) => [id, another] as const))) {
    const sql = filled.engine.local.authorizeSql({
      ...{ actor: { type: "User", id: actor }, action: "see", resource: { type: "User", id: other } },
      ...{ contextFacts: [], bindings: bound },
    });
    expect([actor, other, sql.endsWith("TRUE AS allowed")]).toEqual([actor, other, actor === other]);
  }
});

test("a role on a bound relation", () => {
  expect(list("ann", "delete", bindings("postgres", relations))).toMatchInlineSnapshot(`
    "(COALESCE(CAST(repos.id AS text) COLLATE "C" NOT IN (''), FALSE) AND EXISTS (SELECT 1 FROM (SELECT ost_c0, ost_c1 FROM (SELECT id, org FROM repos
    ) AS ost_0q(ost_c0, ost_c1)) AS ost_0 WHERE COALESCE(CAST(ost_0.ost_c0 AS text) COLLATE "C" NOT IN ('', E'\\U0000002a'), FALSE) AND CAST(repos.id AS text) COLLATE "C" = CAST(ost_0.ost_c0 AS text) COLLATE "C" AND COALESCE(CAST(ost_0.ost_c1 AS text) COLLATE "C" NOT IN ('', E'\\U0000002a'), FALSE) AND CAST(ost_0.ost_c1 AS text) COLLATE "C" = E'o\\U00000027x'))"
  `);
  expect(list("ann", "delete", bindings("postgres", relations, { Repo: "uuid", Org: "text" }))).toMatchInlineSnapshot(`
    "(repos.id IS NOT NULL AND NOT (FALSE AND pg_catalog.uuid_eq(repos.id, repos.id)) AND EXISTS (SELECT 1 FROM (SELECT ost_c0, ost_c1 FROM (SELECT id, org FROM repos
    ) AS ost_0q(ost_c0, ost_c1)) AS ost_0 WHERE ost_0.ost_c0 IS NOT NULL AND NOT (FALSE AND pg_catalog.uuid_eq(ost_0.ost_c0, ost_0.ost_c0)) AND repos.id = ost_0.ost_c0 AND COALESCE(CAST(ost_0.ost_c1 AS text) COLLATE "C" NOT IN ('', E'\\U0000002a'), FALSE) AND ost_0.ost_c1 = CAST(E'o\\U00000027x' AS text) AND CAST(ost_0.ost_c1 AS text) COLLATE "C" = E'o\\U00000027x'))"
  `);
  expect(list("ann", "delete", bindings("sqlite", relations, { Repo: "integer" }))).toMatchInlineSnapshot(`
    "(COALESCE(CAST(repos.id AS TEXT) COLLATE BINARY NOT IN (''), 0) AND EXISTS (SELECT 1 FROM (WITH ost_0q(ost_c0, ost_c1) AS (SELECT id, org FROM repos
    ) SELECT * FROM ost_0q) AS ost_0 WHERE COALESCE(CAST(ost_0.ost_c0 AS TEXT) COLLATE BINARY NOT IN ('', char(42)), 0) AND repos.id = ost_0.ost_c0 AND CAST(repos.id AS TEXT) COLLATE BINARY = CAST(ost_0.ost_c0 AS TEXT) COLLATE BINARY AND COALESCE(CAST(ost_0.ost_c1 AS TEXT) COLLATE BINARY NOT IN ('', char(42)), 0) AND CAST(ost_0.ost_c1 AS TEXT) COLLATE BINARY = char(111, 39, 120)))"
  `);
  expect(authorize("ann", "delete", "r1", bindings("sqlite", relations))).toMatchInlineSnapshot(`
    "SELECT EXISTS (SELECT 1 FROM (WITH ost_0q(ost_c0, ost_c1) AS (SELECT id, org FROM repos
    ) SELECT * FROM ost_0q) AS ost_0 WHERE COALESCE(CAST(ost_0.ost_c0 AS TEXT) COLLATE BINARY NOT IN ('', char(42)), 0) AND CAST(ost_0.ost_c0 AS TEXT) COLLATE BINARY = 'r1' AND COALESCE(CAST(ost_0.ost_c1 AS TEXT) COLLATE BINARY NOT IN ('', char(42)), 0) AND CAST(ost_0.ost_c1 AS TEXT) COLLATE BINARY = char(111, 39, 120)) AS allowed"
  `);
});

test("recursion over rows", () => {
  const parent = { ...relations, "has_relation(Repo:_, parent, Repo:_)": "SELECT id, parent FROM repos" };
  expect(list("ann", "read", bindings("postgres", parent))).toMatchInlineSnapshot(`
    "(COALESCE(CAST(repos.id AS text) COLLATE "C" NOT IN (''), FALSE) AND CAST(repos.id AS text) COLLATE "C" IN (WITH RECURSIVE ost_r0(ost_tag, ost_c0) AS (SELECT 0 AS ost_tag, CAST(ost_0.ost_c0 AS text) COLLATE "C" AS ost_c0 FROM (SELECT ost_c0, ost_c1 FROM (SELECT id, org FROM repos
    ) AS ost_0q(ost_c0, ost_c1)) AS ost_0 WHERE COALESCE(CAST(ost_0.ost_c0 AS text) COLLATE "C" NOT IN ('', E'\\U0000002a'), FALSE) AND COALESCE(CAST(ost_0.ost_c1 AS text) COLLATE "C" NOT IN ('', E'\\U0000002a'), FALSE) AND CAST(ost_0.ost_c1 AS text) COLLATE "C" IN ('acme', E'o\\U00000027x') UNION SELECT ost_step.ost_tag, ost_step.ost_c0 FROM ost_r0 AS ost_1 CROSS JOIN LATERAL (SELECT 0 AS ost_tag, CAST(ost_2.ost_c0 AS text) COLLATE "C" AS ost_c0 FROM (SELECT ost_c0, ost_c1 FROM (SELECT id, parent FROM repos
    ) AS ost_2q(ost_c0, ost_c1)) AS ost_2 WHERE ost_1.ost_tag = 0 AND COALESCE(CAST(ost_2.ost_c0 AS text) COLLATE "C" NOT IN ('', E'\\U0000002a'), FALSE) AND COALESCE(CAST(ost_2.ost_c1 AS text) COLLATE "C" NOT IN ('', E'\\U0000002a'), FALSE) AND ost_1.ost_c0 COLLATE "C" = CAST(ost_2.ost_c1 AS text) COLLATE "C") AS ost_step(ost_tag, ost_c0)) SELECT CAST(ost_3.ost_c0 AS text) COLLATE "C" FROM (SELECT ost_c0 FROM (SELECT id FROM repos WHERE live
    ) AS ost_3q(ost_c0)) AS ost_3 CROSS JOIN ost_r0 AS ost_4 WHERE COALESCE(CAST(ost_3.ost_c0 AS text) COLLATE "C" NOT IN ('', E'\\U0000002a'), FALSE) AND ost_4.ost_tag = 0 AND CAST(ost_3.ost_c0 AS text) COLLATE "C" = ost_4.ost_c0 COLLATE "C"))"
  `);
  expect(list("ann", "read", bindings("sqlite", parent))).toMatchInlineSnapshot(`
    "(COALESCE(CAST(repos.id AS TEXT) COLLATE BINARY NOT IN (''), 0) AND CAST(repos.id AS TEXT) COLLATE BINARY IN (WITH RECURSIVE ost_r0(ost_tag, ost_c0) AS (SELECT 0 AS ost_tag, CAST(ost_0.ost_c0 AS TEXT) COLLATE BINARY AS ost_c0 FROM (WITH ost_0q(ost_c0, ost_c1) AS (SELECT id, org FROM repos
    ) SELECT * FROM ost_0q) AS ost_0 WHERE COALESCE(CAST(ost_0.ost_c0 AS TEXT) COLLATE BINARY NOT IN ('', char(42)), 0) AND COALESCE(CAST(ost_0.ost_c1 AS TEXT) COLLATE BINARY NOT IN ('', char(42)), 0) AND CAST(ost_0.ost_c1 AS TEXT) COLLATE BINARY IN ('acme', char(111, 39, 120)) UNION SELECT 0 AS ost_tag, CAST(ost_2.ost_c0 AS TEXT) COLLATE BINARY AS ost_c0 FROM ost_r0 AS ost_1 CROSS JOIN (WITH ost_2q(ost_c0, ost_c1) AS (SELECT id, parent FROM repos
    ) SELECT * FROM ost_2q) AS ost_2 WHERE ost_1.ost_tag = 0 AND COALESCE(CAST(ost_2.ost_c0 AS TEXT) COLLATE BINARY NOT IN ('', char(42)), 0) AND COALESCE(CAST(ost_2.ost_c1 AS TEXT) COLLATE BINARY NOT IN ('', char(42)), 0) AND ost_1.ost_c0 COLLATE BINARY = CAST(ost_2.ost_c1 AS TEXT) COLLATE BINARY) SELECT CAST(ost_3.ost_c0 AS TEXT) COLLATE BINARY FROM (WITH ost_3q(ost_c0) AS (SELECT id FROM repos WHERE live
    ) SELECT * FROM ost_3q) AS ost_3 CROSS JOIN ost_r0 AS ost_4 WHERE COALESCE(CAST(ost_3.ost_c0 AS TEXT) COLLATE BINARY NOT IN ('', char(42)), 0) AND ost_4.ost_tag = 0 AND CAST(ost_3.ost_c0 AS TEXT) COLLATE BINARY = ost_4.ost_c0 COLLATE BINARY))"
  `);
});

test("a chain of 2,000 rows is followed to its end", async () => {
  const database = sqliteDatabase();
  const ids = Array.from({ length: 2000 }, (_, index) => String(index));
  await database.fill([
    {
      name: "repos",
      types: ["text", "text", "text", "integer"],
      rows: ids.map((id, index) => [id, index === 0 ? "acme" : null, index === 0 ? null : String(index - 1), "1"]),
    },
  ]);
  const bound = bindings("sqlite", {
    "has_relation(Repo:_, org, Org:_)": "SELECT a0, a1 FROM repos",
    "has_relation(Repo:_, parent, Repo:_)": "SELECT a0, a2 FROM repos",
    "is_live(Repo:_)": "SELECT a0 FROM repos WHERE a3",
  });
  expect(await database.rows(authorize("ann", "read", "1999", bound))).toEqual([["1"]]);
  expect(await database.rows(authorize("ann", "read", "2000", bound))).toEqual([["0"]]);
  await database.close();
});

describe("is refused", () => {
  test("recursion that calls itself twice, with its rule", () => {
    const bound = bindings("postgres", {
      "link(User:_, Repo:_)": "SELECT a, b FROM links",
      "near(User:_, User:_)": "SELECT a, b FROM friends",
    });
    expect(() => list("ann", "audit", bound)).toThrow(
      "the rule `near(u: User, v: User) if near(u, m) and near(m, v) and m matches User` (case.polar:14) has no exact SQL for this question: recursion of `near/2` that calls itself more than once in a rule; ask with `authorize` or `list`, or bind other facts",
    );
  });

  test("SQL with more sources than SQLite reads", async () => {
    const database = sqliteDatabase();
    const ids = [["a"], ["b"]];
    await database.fill([
      { name: "parents", types: ["text", "text"], rows: [["b", "a"]] },
      { name: "tags", types: ["text"], rows: ids },
      { name: "docs", types: ["text"], rows: ids },
    ]);
    const steps = Array.from({ length: 10 }, (_, index) => `inside_${index}`);
    // Each tag reads the recursion, and so the sources of all its steps, once more.
    const listWith = (count: number): string => {
      const tags = Array.from({ length: count }, (_, index) => `tag_${index}`);
      const rules = [
        'actor User {} resource Doc { roles = ["viewer"]; permissions = ["read"]; }',
        ...steps.map(
          (name) =>
            `has_role(u: User, "viewer", d: Doc) if ${name}(d, e) and e matches Doc and has_role(u, "viewer", e);`,
        ),
        ...tags.map((name) => `has_permission(u: User, "read", d: Doc) if has_role(u, "viewer", d) and ${name}(d);`),
      ];
      const queries = Object.fromEntries([
        ...steps.map((name) => [`${name}(Doc:_, Doc:_)`, "SELECT a0, a1 FROM parents"]),
        ...tags.map((name) => [`${name}(Doc:_)`, "SELECT a0 FROM tags"]),
      ]);
      const [policy, fact] = [rules.join("\n"), parseFact("has_role(User:ann, viewer, Doc:a)")];
      using filled = openFilledEngine({ policy, facts: [fact], now: 1 });
      return filled.engine.local.listSql({
        ...{ actor: { type: "User", id: "ann" }, action: "read", resourceType: "Doc", column: "docs.a0" },
        ...{ contextFacts: [], bindings: bindings("sqlite", queries) },
      });
    };
    expect(await database.rows(`SELECT a0 FROM docs WHERE ${listWith(13)} ORDER BY a0`)).toEqual(ids);
    expect(() => listWith(14)).toThrow("more than 900 sources of rows, with `dialect: sqlite`");
    await database.close();
  });

  test.each(["", "id; DROP TABLE t", "a.b.c.d.e", "id = 1 OR 1", "'x'", '"a"b"', "1", "repos.id --", "(SELECT 1)"])(
    "the column %j",
    (column) => {
      expect(() => list("ann", "read", bindings("postgres", relations), [], column)).toThrow(
        "is not the name of a column, such as `document.id`",
      );
    },
  );

  test.each(["rowid", '"OID"', "`_rowid_`"])("the row id %s of any table, in SQLite", (column) => {
    expect(() => list("ann", "read", bindings("sqlite", relations), [], column)).toThrow(
      `\`${column}\` is a row id of each source in SQLite: write its table before it, such as \`document.rowid\``,
    );
    expect(list("ann", "read", bindings("sqlite", relations), [], `repos.${column}`)).toContain(`repos.${column}`);
    expect(list("ann", "read", bindings("postgres", relations), [], column)).toContain(column);
  });

  test.each(['"id"', 'repos."id"', '"a`b`"'])("%s with MySQL, where it is a text", (column) => {
    expect(() => list("ann", "read", bindings("mysql", relations), [], column)).toThrow("is a text in MySQL");
    expect(list("ann", "read", bindings("mysql", relations), [], '`a"b`.`c`')).toContain('`a"b`.`c`');
  });
});

test("a name in double quotes cannot become a text in SQLite", () => {
  const condition = list("ann", "read", bindings("sqlite", relations), [], '"no column"');
  expect(condition).toContain("`no column`");
  expect(condition).not.toContain('"');
  expect(list("ann", "read", bindings("sqlite", relations), [], 'repos."id"')).toContain('repos."id"');
});

test.each(["id", "repos.id", "ost_0.ost_c0", 'public."Repos"."the id"', "`repos`.`id`", "größe"])(
  "the column %j is accepted",
  (column) => {
    expect(list("ann", "delete", bindings("postgres", relations), [], column)).toContain(column);
  },
);
