/** `ostiary bindings check`: without a database, and with SQLite. */
import { beforeEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { SqliteDatabase } from "../../src/runtime/sqlite.ts";
import { bindings, policy } from "./bindings-example.ts";
import { testWithDatabase } from "./bindings-with-database.ts";
import { workspace } from "./workspace.ts";

const { write, run } = workspace();

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

testWithDatabase({
  name: "SQLite",
  dialect: "sqlite",
  types: ["bigint", "varchar(50)", "boolean"],
  inexact: "numeric",
  open(directory) {
    const file = join(directory, "app.db");
    const database = new SqliteDatabase(file, { create: true });
    return Promise.resolve({
      url: `sqlite:${file}`,
      execute: (sql) => Promise.resolve(database.exec(sql)),
      stop: () => Promise.resolve(database.close()),
    });
  },
});
