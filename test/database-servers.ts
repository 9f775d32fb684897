/** Real servers of PostgreSQL and MariaDB, each on a folder of its own. */
import * as Bun from "bun";
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../scripts/node-process.ts";
import { eventually } from "./replication/cluster.ts";

export interface Server {
  /** A URL with user and password. */
  readonly url: string;
  /** Runs statements as an administrator. */
  execute(sql: string): Promise<void>;
  stop(): Promise<void>;
}

/** Where a folder of versions, as Debian has it, has the programs of PostgreSQL; undefined without them. */
export const postgresIn = (versions: string): string | undefined =>
  (existsSync(versions) ? readdirSync(versions) : [])
    .toSorted()
    .map((version) => join(versions, version, "bin"))
    .findLast((folder) => existsSync(folder));

export const postgresFolder = postgresIn("/usr/lib/postgresql");
export const hasMariaDb = existsSync("/usr/sbin/mariadbd");

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

export async function startPostgres(): Promise<Server> {
  if (postgresFolder === undefined) throw new Error("PostgreSQL is not installed");
  const folder = mkdtempSync(join(tmpdir(), "ostiary-postgres-"));
  chmodSync(folder, 0o777);
  const [data, port, user] = [join(folder, "data"), String(await freePort()), asUser("postgres")];
  const program = (name: string): string => join(postgresFolder, name);
  await command([...user, program("initdb"), "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync"]);
  const child = Bun.spawn([...user, program("postgres"), "-D", data, "-p", port, "-k", folder, "-c", "fsync=off"], {
    stdout: "ignore",
    stderr: "pipe",
  });
  const log = child.stderr.text();
  const execute = async (sql: string): Promise<void> => {
    await command(
      [program("psql"), "-h", "127.0.0.1", "-p", port, "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-q"],
      sql,
    );
  };
  await isReady(child, log, execute);
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

export async function startMariaDb(): Promise<Server> {
  if (!hasMariaDb) throw new Error("MariaDB is not installed");
  const folder = mkdtempSync(join(tmpdir(), "ostiary-mariadb-"));
  chmodSync(folder, 0o777);
  const [data, socket, port] = [join(folder, "data"), join(folder, "socket"), String(await freePort())];
  const options = [
    "--no-defaults",
    `--datadir=${data}`,
    // A server that starts deletes the temporary tables of every server with the same folder.
    `--tmpdir=${folder}`,
    // A test needs no data after a power cut.
    "--innodb-flush-method=nosync",
    ...(process.getuid?.() === 0 ? ["--user=mysql"] : []),
  ];
  await command(["mariadb-install-db", ...options, "--auth-root-authentication-method=normal"]);
  const address = [`--socket=${socket}`, `--port=${port}`, "--bind-address=127.0.0.1", `--pid-file=${folder}/pid`];
  // A statement that needs more memory is an error; otherwise it can use up that of the machine. The limit for sessions
  // (`max_session_mem_used`) is not enough: the optimizer does not keep to it.
  const limited = ["prlimit", `--data=${4 * 1024 ** 3}`, "/usr/sbin/mariadbd", ...options, ...address];
  const child = Bun.spawn(limited, { stdout: "ignore", stderr: "pipe" });
  const log = child.stderr.text();
  const execute = async (sql: string): Promise<void> => {
    await command(["mariadb", "--no-defaults", `--socket=${socket}`, "-u", "root"], sql);
  };
  await isReady(child, log, execute);
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

/** Waits for the first statement. A server that ends before it is an error with the last lines of its log. */
async function isReady(
  child: Bun.Subprocess,
  log: Promise<string>,
  execute: (sql: string) => Promise<void>,
): Promise<void> {
  const ended = child.exited.then(async (status) => {
    throw new Error(`the server ended with status ${status}: ${(await log).split("\n").slice(-20).join("\n")}`);
  });
  try {
    await Promise.race([ended, eventually(() => execute("SELECT 1"), 30_000)]);
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  }
}
