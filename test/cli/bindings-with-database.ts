/** Tests of `ostiary bindings check` with a database. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { bindings } from "./bindings-example.ts";
import type { Server } from "../database-servers.ts";
import { workspace } from "./workspace.ts";

export interface Kind {
  readonly name: string;
  readonly dialect: string;
  /** The types of a bigint, a text and a boolean, as `--json` names them. */
  readonly types: readonly [integer: string, text: string, boolean: string];
  /** Column types that `sql_types` does not allow. */
  readonly inexact: string;
  /** `directory` is for the files of the database. */
  open(directory: string): Promise<Pick<Server, "url" | "execute" | "stop">>;
}

const withDialect = (dialect: string, text = bindings): string => `dialect: ${dialect}\n${text}`;

export function testWithDatabase({ name, dialect, types, inexact, open }: Kind): void {
  describe(`with ${name}`, () => {
    const { write, path, run } = workspace();
    let server: Pick<Server, "url" | "execute" | "stop">;
    beforeAll(async () => {
      server = await open(path(""));
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
