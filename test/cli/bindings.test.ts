/** `ostiary bindings check`: without a database, and with those that are installed. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { SqliteDatabase } from "../../src/runtime/sqlite.ts";
import { hasMariaDb, postgresFolder, type Server, startMariaDb, startPostgres } from "../database-servers.ts";
import { workspace } from "./workspace.ts";

const { write, path, run } = workspace();

const policy = `actor User {}
resource Team { roles = ["member", "lead"]; permissions = ["read"]; "read" if "member"; "member" if "lead"; }
resource Doc {
  permissions = ["read"]; relations = { team: Team };
  "read" if "read" on "team";
}
has_permission(_: User, "read", doc: Doc) if size(doc, n) and n < 10 and is_open(doc, true);
`;
const bindings = `facts:
  has_role(User:_, String:_, Team:_):
    query: SELECT user_id, role, team_id FROM members
  has_relation(Doc:_, team, Team:_):
    query: SELECT id, team_id FROM docs
  size(Doc:_, Integer:_):
    query: SELECT id, size FROM docs
  is_open(Doc:_, Boolean:_):
    query: SELECT id, is_open FROM docs
sql_types:
  User: text
  Team: bigint
  Doc: bigint
`;
const withDialect = (dialect: string, text = bindings): string => `dialect: ${dialect}\n${text}`;

beforeEach(() => {
  write("policy.polar", policy);
  write("bindings.yaml", bindings);
});

const check = (...words: string[]) => run(["bindings", "check", ...words]);

describe("without a database", () => {
  test("valid bindings", async () => {
    const output = "bindings.yaml: 4 signatures, valid\n";
    expect(await check("bindings.yaml")).toEqual({ status: 0, output, errors: "" });
    expect(await check("bindings.yaml", "--policy", "policy.polar")).toEqual({ status: 0, output, errors: "" });
    const json = await check("bindings.yaml", "--json");
    expect(JSON.parse(json.output)).toEqual({ valid: true, problems: [] });
  });

  test("a mistake in the syntax", async () => {
    write("bindings.yaml", "facts:\n  is_open(Doc:_: { query: SELECT id FROM docs }\n");
    const { status, output, errors } = await check("bindings.yaml");
    expect([status, output]).toEqual([1, ""]);
    expect(errors).toStartWith("error: `bindings.yaml`: the data bindings are invalid: ");
  });

  test("a file or a policy that cannot be used", async () => {
    expect((await check("none.yaml")).errors).toBe("error: `none.yaml` cannot be read: there is no such file\n");
    write("policy.polar", "actor User {");
    const { status, output, errors } = await check("bindings.yaml", "--policy", "policy.polar");
    expect([status, output]).toEqual([1, ""]);
    expect(errors).toContain("policy.polar:1:");
    expect(errors).toEndWith("error: the policy has errors, so the bindings were not compared with it\n");
  });

  test("a wrong number of columns", async () => {
    write("bindings.yaml", "facts:\n  has_role(User:_, lead, Team:_):\n    query: SELECT a, b, c FROM t\n");
    expect(await check("bindings.yaml")).toEqual({
      status: 1,
      output: `error: \`facts.has_role(User:_, lead, Team:_)\`: the query selects 3 columns, and the signature has 2 \`_\`: select one column for each \`_\`, in order
bindings.yaml: 1 signature, not valid
`,
      errors: "",
    });
  });

  test("signatures that the policy does not use, and unknown names", async () => {
    write(
      "bindings.yaml",
      `facts:
  has_role(User:_, leed, Team:_): { query: "SELECT a, b FROM t" }
  has_roll(User:_, lead, Team:_): { query: "SELECT a, b FROM t" }
  has_relation(Team:_, String:_, Doc:_): { query: "SELECT a, b, c FROM t" }
  size(Dok:_, Integer:_): { query: SELECT * FROM t }
sql_types: { Teem: text }
`,
    );
    const { status, output } = await check("bindings.yaml", "--policy", "policy.polar");
    expect(status).toBe(1);
    expect(output).toBe(
      `error: \`facts.has_role(User:_, leed, Team:_)\`: the policy has no role \`leed\` of \`Team\`: did you mean \`lead\`?
error: \`facts.has_roll(User:_, lead, Team:_)\`: the policy has no predicate \`has_roll\`: did you mean \`has_role\`?
error: \`facts.has_relation(Team:_, String:_, Doc:_)\`: has_relation(Team, _, Doc) is not used in policy; the policy uses \`has_relation(Doc, String, Team)\`; use this fact in a rule, or add \`declare has_relation(Team, String, Doc);\`
error: \`facts.size(Dok:_, Integer:_)\`: the policy has no type \`Dok\`: did you mean \`Doc\`?
warning: \`sql_types.Teem\`: neither a signature nor the policy has this type
bindings.yaml: 4 signatures, not valid
`,
    );
  });

  test("a database that cannot be used", async () => {
    const usage = "--db` must be a URL such as postgres://…, mysql://… or sqlite:app.db";
    expect((await check("bindings.yaml", "--db", "app.db")).errors).toContain(usage);
    expect((await check("bindings.yaml", "--db", "oracle://x")).errors).toContain(usage);
    expect(await check("bindings.yaml", "--db", "$NO_SUCH")).toMatchObject({ status: 2, output: "" });
    const missing = await check("bindings.yaml", "--db", "sqlite:none.db");
    expect(missing).toMatchObject({ status: 1, output: "" });
    expect(missing.errors).toStartWith("error: the database of `--db` (sqlite): ");
    const unreachable = await check("bindings.yaml", "--db", "postgres://u:secret@127.0.0.1:1/x");
    expect(unreachable).toMatchObject({ status: 1, output: "" });
    expect(unreachable.errors).toStartWith("error: the database of `--db` (postgres): ");
    expect(unreachable.errors).not.toContain("secret");
  });
});

interface Kind {
  readonly dialect: string;
  /** The types of a bigint, a text and a boolean, as `--json` names them. */
  readonly types: readonly [integer: string, text: string, boolean: string];
  /** Column types that `sql_types` does not allow. */
  readonly inexact: string;
  open(): Promise<{ readonly url: string; execute(sql: string): Promise<void>; stop(): Promise<void> }>;
}

const kinds: (readonly [name: string, isInstalled: boolean, kind: Kind])[] = [
  [
    "SQLite",
    true,
    {
      ...{ dialect: "sqlite", types: ["bigint", "varchar(50)", "boolean"], inexact: "numeric" },
      open() {
        const file = path("app.db");
        const database = new SqliteDatabase(file, { create: true });
        return Promise.resolve({
          url: `sqlite:${file}`,
          execute: (sql) => Promise.resolve(database.exec(sql)),
          stop: () => Promise.resolve(database.close()),
        });
      },
    },
  ],
  [
    "PostgreSQL",
    postgresFolder !== undefined,
    { dialect: "postgres", types: ["bigint", "character varying", "boolean"], inexact: "numeric", open: startPostgres },
  ],
  [
    "MariaDB",
    hasMariaDb,
    { dialect: "mysql", types: ["bigint", "varchar", "tinyint"], inexact: "decimal", open: startMariaDb },
  ],
];

for (const [name, isInstalled, { dialect, types, inexact, open }] of kinds) {
  describe.skipIf(!isInstalled)(`with ${name} (skipped without a server)`, () => {
    let server: Pick<Server, "url" | "execute" | "stop">;
    beforeAll(async () => {
      server = await open();
      await server.execute(`
        CREATE TABLE members (user_id VARCHAR(50) NOT NULL, role VARCHAR(20) NOT NULL, team_id BIGINT NOT NULL, n NUMERIC,
          PRIMARY KEY (user_id, team_id, role));
        CREATE TABLE docs (id BIGINT PRIMARY KEY, team_id BIGINT, size VARCHAR(9), is_open BOOLEAN);
        CREATE INDEX docs_team ON docs (team_id);
        INSERT INTO members VALUES ('ann', 'lead', 1, 1), ('bob', 'member', 2, 1);
        INSERT INTO docs VALUES (1, 1, '5', TRUE), (2, NULL, '01', FALSE), (3, 2, 'x', NULL);`);
    }, 60_000);
    afterAll(() => server.stop());

    const checkWith = (text: string, ...words: string[]) => {
      write("bindings.yaml", withDialect(dialect, text));
      return run(["bindings", "check", "bindings.yaml", "--db", "$APP_DATABASE", ...words], "", {
        APP_DATABASE: server.url,
      });
    };

    test("names the types of columns, rows that are no facts, and missing indexes", async () => {
      const found = await checkWith(bindings, "--json");
      expect([found.status, found.errors]).toEqual([0, ""]);
      const [integer, text, boolean] = types;
      const column = (signature: string, type: string, sqlType: string, isIndexed: boolean) => ({
        signature,
        type,
        sqlType,
        isIndexed,
      });
      const [role, relation] = ["has_role(User:_, String:_, Team:_)", "has_relation(Doc:_, team, Team:_)"];
      const { valid, problems, columns } = JSON.parse(found.output);
      expect(valid).toBe(true);
      expect(columns).toEqual([
        column(role, "User", text, true),
        column(role, "String", dialect === "sqlite" ? "varchar(20)" : text, false),
        column(role, "Team", integer, false),
        ...[column(relation, "Doc", integer, true), column(relation, "Team", integer, true)],
        column("size(Doc:_, Integer:_)", "Doc", integer, true),
        column("size(Doc:_, Integer:_)", "Integer", dialect === "sqlite" ? "varchar(9)" : text, false),
        column("is_open(Doc:_, Boolean:_)", "Doc", integer, true),
        column("is_open(Doc:_, Boolean:_)", "Boolean", boolean, false),
      ]);
      expect(
        problems.map(({ severity, place, message }: Record<string, string>) => `${severity} ${place}: ${message}`),
      ).toEqual([
        "warning facts.has_role(User:_, String:_, Team:_), column 3 (Team): no index finds its rows, so questions that look for a value of it read the whole table: create an index on the column",
        "warning facts.has_relation(Doc:_, team, Team:_): 1 of the first 3 rows are no facts, for example: column 2 is NULL: leave such rows out of the query",
        "warning facts.size(Doc:_, Integer:_): 1 of the first 3 rows are no facts, for example: column 2 is `x`, which is no Integer",
        "warning facts.is_open(Doc:_, Boolean:_): 1 of the first 3 rows are no facts, for example: column 2 is NULL: leave such rows out of the query",
      ]);
    });

    test("finds wrong types, wrong queries and wrong numbers of columns, all in one run", async () => {
      const { status, output, errors } = await checkWith(`facts:
  has_role(User:_, lead, Team:_): { query: "SELECT user_id, team_id FROM members WHERE role = 'lead'" }
  has_role(User:_, member, Team:_): { query: SELECT * FROM members }
  has_relation(Doc:_, team, Team:_): { query: "SELECT id, team_id FROM dox" }
  size(Doc:_, Integer:_): { query: "SELECT n, 1 FROM members" }
sql_types: { User: bigint, Team: bigint, Doc: bigint }
`);
      expect([status, errors]).toEqual([1, ""]);
      const lines = output.split("\n");
      expect(lines[0]).toStartWith("error: `facts.has_role(User:_, lead, Team:_), column 1 (User)`: it is ");
      expect(lines[0]).toContain("and `sql_types.User` is ");
      expect(lines[1]).toStartWith("warning: `facts.has_role(User:_, lead, Team:_), column 2 (Team)`: no index");
      expect(lines[2]).toBe(
        "error: `facts.has_role(User:_, member, Team:_)`: the query selects 4 columns, and the signature has 2 `_`: select one column for each `_`, in order",
      );
      expect(lines[3]).toStartWith(
        "error: `facts.has_relation(Doc:_, team, Team:_)`: the database refuses the query: ",
      );
      expect(lines[3]).toContain("dox");
      expect(lines[4]).toStartWith(`error: \`facts.size(Doc:_, Integer:_), column 1 (Doc)\`: it is ${inexact}`);
      expect(lines.slice(5)).toEqual(["bindings.yaml: 4 signatures, not valid", ""]);
    });

    test("says which types are missing in sql_types", async () => {
      const { status, output } = await checkWith(bindings.replace(/sql_types[^]*/, ""));
      expect(status).toBe(0);
      const integer = dialect === "postgres" ? "bigint" : dialect === "mysql" ? "signed" : "integer";
      expect(output).toContain(
        `column 1 (Doc)\`: no index finds its rows, so questions that look for a value of it read the whole table: add \`Doc: ${integer}\` to \`sql_types\``,
      );
    });

    test("refuses bindings of another dialect", async () => {
      write("bindings.yaml", withDialect(dialect === "mysql" ? "sqlite" : "mysql"));
      const { status, output } = await run(["bindings", "check", "bindings.yaml", "--db", server.url]);
      expect(status).toBe(1);
      expect(output).toContain(`error: \`dialect\`: it is `);
    });
  });
}
