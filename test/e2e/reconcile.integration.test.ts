/** `ostiary reconcile` with real servers of PostgreSQL and MariaDB. */
import { afterAll, describe, expect, test } from "bun:test";
import { startDevNode } from "../cli/dev-node.ts";
import { workspace } from "../cli/workspace.ts";
import { type Server, startMariaDb, startPostgres } from "../database-servers.ts";

const { write, path, run } = workspace();

const servers: Server[] = [];
afterAll(async () => {
  for (const server of servers) await server.stop();
});

const policy = `actor User {}
resource Team { roles = ["member"]; permissions = ["read"]; "read" if "member"; }
declare level(Team, Integer);
declare open(Team, Boolean);
`;
const rows = 2500;

const kinds = [
  ["postgres", startPostgres],
  ["mysql", startMariaDb],
] as const;

describe.each(kinds)("ostiary reconcile with %s", (kind, start) => {
  test("compares and updates facts of large tables, with texts, numbers and booleans", async () => {
    const server = await start();
    servers.push(server);
    await server.execute(`
        CREATE TABLE members (id INTEGER PRIMARY KEY, name VARCHAR(100) NOT NULL, team BIGINT NOT NULL);
        CREATE TABLE teams (id BIGINT PRIMARY KEY, level INTEGER, is_open BOOLEAN);
        INSERT INTO teams VALUES (9007199254740993, 3, TRUE), (2, NULL, FALSE);`);
    const values = Array.from(
      { length: rows },
      (_, index) => `(${index}, 'user "${index}" é', ${index % 2 === 0 ? 2 : "9007199254740993"})`,
    );
    await server.execute(`INSERT INTO members VALUES ${values.join(", ")};`);
    write("policy.polar", policy);
    write(
      "reconcile.yaml",
      `version: 1
source: ${kind}
dbs:
  app: { connection_string: $APP_DATABASE }
facts:
  has_role(User:_, member, Team:_):
    query: SELECT name, team FROM members -- all of them
  level(Team:_, Integer:_):
    query: SELECT id, level FROM teams WHERE level IS NOT NULL;
  open(Team:_, Boolean:_):
    query: SELECT id, is_open FROM teams
`.replace(/;$/m, kind === "postgres" ? ";" : ""),
    );
    const node = await startDevNode([path("policy.polar")]);
    try {
      const ostiary = (...words: string[]) => run(words, "", { ...node.access, APP_DATABASE: server.url });
      await ostiary("tell", "has_role", "User:old", "member", "Team:2");
      const first = await ostiary("reconcile", "reconcile.yaml", "--perform-updates", "--summarized-output", "--json");
      expect(first.errors).toBe("");
      expect(JSON.parse(first.output)).toEqual({
        performed: true,
        facts: [
          { signature: "has_role(User:_, member, Team:_)", source: rows, same: 0, insert: rows, delete: 1 },
          { signature: "level(Team:_, Integer:_)", source: 1, same: 0, insert: 1, delete: 0 },
          { signature: "open(Team:_, Boolean:_)", source: 2, same: 0, insert: 2, delete: 0 },
        ],
        left_alone: 0,
        revoked_again: 0,
      });
      expect((await ostiary("get", "level")).output).toBe("level(Team:9007199254740993, Integer:3)\n");
      expect((await ostiary("get", "open", "Team:2")).output).toBe("open(Team:2, Boolean:false)\n");
      await server.execute("DELETE FROM members WHERE id = 7; UPDATE teams SET level = 4 WHERE level = 3;");
      const second = await ostiary("reconcile", "reconcile.yaml");
      expect(second.output).toStartWith(`- has_role(User:"user \\"7\\" é", String:member, Team:9007199254740993)
- level(Team:9007199254740993, Integer:3)
+ level(Team:9007199254740993, Integer:4)
`);
      await server.execute("UPDATE teams SET id = 3 WHERE id = 2; ALTER TABLE teams DROP COLUMN level;");
      const failed = await ostiary("reconcile", "reconcile.yaml", "--perform-updates");
      expect(failed).toMatchObject({ status: 1, output: "" });
      expect(failed.errors).toContain("`facts.level(Team:_, Integer:_)`: ");
      expect(failed.errors).not.toContain("secret");
      expect((await ostiary("get", "open", "Team:2")).output).toBe("open(Team:2, Boolean:false)\n");
    } finally {
      await node.stop();
    }
  }, 120_000);
});
