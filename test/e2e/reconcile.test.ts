/** `ostiary reconcile` with real servers of PostgreSQL and MariaDB. */
import * as Bun from "bun";
import { afterAll, describe, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../../scripts/node-process.ts";
import { startDevNode } from "../cli/dev-node.ts";
import { workspace } from "../cli/workspace.ts";
import { eventually } from "../replication/cluster.ts";

const { write, path, run } = workspace();

interface Server {
  /** A URL with user and password. */
  readonly url: string;
  /** Runs statements as an administrator. */
  execute(sql: string): Promise<void>;
  stop(): Promise<void>;
}

const servers: Server[] = [];
afterAll(async () => {
  for (const server of servers) await server.stop();
});

const postgresFolder = [...new Bun.Glob("/usr/lib/postgresql/*/bin").scanSync({ cwd: "/", onlyFiles: false })].at(-1);
const hasMariaDb = existsSync("/usr/sbin/mariadbd");

async function command(words: readonly string[], input = ""): Promise<string> {
  const child = Bun.spawn([...words], { stdin: Buffer.from(input), stdout: "pipe", stderr: "pipe", cwd: "/" });
  const [output, errors, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (status !== 0) throw new Error(`${words.join(" ")}: ${errors}${output}`);
  return output;
}

/** Servers do not run as root, so root becomes the user that their package created. */
function asUser(user: string): readonly string[] {
  return process.getuid?.() === 0 ? ["runuser", "-u", user, "--"] : [];
}

async function startPostgres(): Promise<Server> {
  const folder = mkdtempSync(join(tmpdir(), "ostiary-postgres-"));
  chmodSync(folder, 0o777);
  const [data, port, user] = [join(folder, "data"), String(await freePort()), asUser("postgres")];
  const program = (name: string): string => join(`/${postgresFolder?.replace(/^\//, "")}`, name);
  await command([...user, program("initdb"), "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync"]);
  const child = Bun.spawn([...user, program("postgres"), "-D", data, "-p", port, "-k", folder, "-c", "fsync=off"], {
    stdout: "ignore",
    stderr: "ignore",
  });
  const execute = async (sql: string): Promise<void> => {
    await command(
      [program("psql"), "-h", "127.0.0.1", "-p", port, "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-q"],
      sql,
    );
  };
  await eventually(() => execute("SELECT 1"), 30_000);
  return {
    url: `postgres://postgres:secret@127.0.0.1:${port}/postgres`,
    execute,
    async stop() {
      // `runuser` passes no signals on.
      await command([...user, program("pg_ctl"), "-D", data, "stop", "-m", "immediate"]);
      await child.exited;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function startMariaDb(): Promise<Server> {
  const folder = mkdtempSync(join(tmpdir(), "ostiary-mariadb-"));
  chmodSync(folder, 0o777);
  const [data, socket, port] = [join(folder, "data"), join(folder, "socket"), String(await freePort())];
  const user = process.getuid?.() === 0 ? ["--user=mysql"] : [];
  await command([
    "mariadb-install-db",
    "--no-defaults",
    `--datadir=${data}`,
    "--auth-root-authentication-method=normal",
    ...user,
  ]);
  const options = [`--datadir=${data}`, `--socket=${socket}`, `--port=${port}`, "--bind-address=127.0.0.1", ...user];
  const child = Bun.spawn(["/usr/sbin/mariadbd", "--no-defaults", ...options, `--pid-file=${folder}/pid`], {
    stdout: "ignore",
    stderr: "ignore",
  });
  const execute = async (sql: string): Promise<void> => {
    await command(["mariadb", "--no-defaults", `--socket=${socket}`, "-u", "root"], sql);
  };
  await eventually(() => execute("SELECT 1"), 30_000);
  await execute(
    "CREATE DATABASE app; CREATE USER app@'127.0.0.1' IDENTIFIED BY 'secret'; GRANT SELECT ON app.* TO app@'127.0.0.1';",
  );
  return {
    url: `mysql://app:secret@127.0.0.1:${port}/app`,
    execute: (sql) => execute(`USE app; ${sql}`),
    async stop() {
      child.kill("SIGTERM");
      await child.exited;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const policy = `actor User {}
resource Team { roles = ["member"]; permissions = ["read"]; "read" if "member"; }
declare level(Team, Integer);
declare open(Team, Boolean);
`;
const rows = 2500;

const kinds = [
  ["postgres", startPostgres, postgresFolder !== undefined],
  ["mysql", startMariaDb, hasMariaDb],
] as const;

describe.each(kinds)("ostiary reconcile with %s", (kind, start, isInstalled) => {
  test.skipIf(!isInstalled)(
    "compares and updates facts of large tables, with texts, numbers and booleans (skipped without a server)",
    async () => {
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
        const first = await ostiary(
          "reconcile",
          "reconcile.yaml",
          "--perform-updates",
          "--summarized-output",
          "--json",
        );
        expect(first.errors).toBe("");
        expect(JSON.parse(first.output)).toEqual({
          performed: true,
          facts: [
            { signature: "has_role(User:_, member, Team:_)", source: rows, same: 0, insert: rows, delete: 1 },
            { signature: "level(Team:_, Integer:_)", source: 1, same: 0, insert: 1, delete: 0 },
            { signature: "open(Team:_, Boolean:_)", source: 2, same: 0, insert: 2, delete: 0 },
          ],
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
    },
    120_000,
  );
});
