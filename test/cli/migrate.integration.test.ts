/**
 * `ostiary migrate` on the data of a node of 0.1.0 with a hosted environment, and what operators see before. A kill, a
 * full disk or a running node leaves databases of either format, which have everything.
 */
import * as Bun from "bun";
import { expect, test } from "bun:test";
import { copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { builtBinary } from "../../scripts/built-binary.ts";
import { freePort, NodeProcess } from "../../scripts/node-process.ts";
import { SqliteDatabase } from "../../src/runtime/sqlite.ts";
import { addedTablesPath } from "../../src/store/connection/added-tables.ts";
import { schemaVersion } from "../../src/store/connection/database-format.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import { environmentsName } from "../../src/store/directory/data-directory.ts";
import { formatOf } from "../../src/store/directory/migrate.ts";
import { type AuditEntry, auditEntry } from "../../src/store/log/audit-entry.ts";
import { addAuditEntries, lastAuditSeq } from "../../src/store/log/audit-log.ts";
import { readState } from "../../src/store/log/store-state.ts";
import { workspace } from "./workspace.ts";

const { path: pathOf, run, runProcess, start } = workspace();

const recorded = join(import.meta.dirname, "../data-directories/format-5");
const { adminKey, nodeKey, offset, digest } = JSON.parse(readFileSync(join(recorded, "told.json"), "utf8")) as {
  readonly adminKey: string;
  readonly nodeKey: string;
  readonly offset: number;
  readonly digest: string;
};

/** The data of a node with so many entries in the audit log of each environment. Returns the paths of the databases. */
function makeData(name: string, entries: number): [directory: string, store: string, hosted: string] {
  const directory = pathOf(name);
  const hosted = join(directory, environmentsName, "staging");
  const source = join(recorded, "primary");
  for (const each of [directory, hosted]) {
    mkdirSync(each, { recursive: true });
    for (const file of ["role", "position"]) copyFileSync(join(source, file), join(each, file));
    const path = join(each, "store-1.db");
    writeFileSync(path, Bun.zstdDecompressSync(readFileSync(join(source, "store-1.db.zst"))));
    const store = openStore(path, { addedTables: true });
    const actor = { kind: "key", id: "admin", name: null } as const;
    store.transaction(() => {
      for (let index = 0; index < entries; index++) {
        const draft = { actor, action: "policy.upload", target: `policy ${index}` } as const;
        addAuditEntries(store, [auditEntry(draft, { node: "primary", timeMs: Date.now() })], { received: false });
      }
    }, "immediate");
    store.close();
  }
  return [directory, join(directory, "store-1.db"), join(hosted, "store-1.db")];
}

/** What a node has in the database, whichever format it has. */
function contentOf(path: string) {
  const store = openStore(path, { readonly: true, addedTables: true });
  try {
    const { offset: at, digest: facts } = readState(store);
    const integrity = store.prepare("PRAGMA main.integrity_check").values()[0]?.[0];
    return { offset: at, digest: facts, entries: lastAuditSeq(store), integrity };
  } finally {
    store.close();
  }
}

const expectedContent = (entries: number) => ({ offset, digest, entries, integrity: "ok" });

test("migrates all environments of a node, which shows before that this is pending", async () => {
  const [directory, store, hosted] = makeData("shown", 3);
  const port = await freePort();
  const environment = { OSTIARY_ADMIN_KEY: adminKey, OSTIARY_NODE_KEY: nodeKey, OSTIARY_MQTT_PORT: "0" };
  const binary = await builtBinary();
  const node = new NodeProcess({ binary, name: "primary", role: "primary", port, directory, environment });
  const access = { OSO_URL: node.url, OSO_AUTH: adminKey };
  const get = (path: string) => fetch(node.url + path, { headers: { Authorization: `Bearer ${adminKey}` } });
  const show = async () => {
    const health = (await (await get("/healthcheck")).json()) as { readonly kept_format?: number };
    const { nodes } = (await (await get("/api/nodes")).json()) as {
      readonly nodes: { readonly kept_format?: number }[];
    };
    const metrics = await (await get("/metrics")).text();
    return {
      health: health.kept_format,
      nodes: nodes.map((each) => each.kept_format),
      metric: /^ostiary_migration_pending (\d)$/m.exec(metrics)?.[1],
      command: / \(format \d+\) /.exec((await run(["nodes"], "", access)).output)?.[0],
    };
  };
  try {
    await node.start(undefined, 60_000);
    expect(await show()).toMatchObject({ health: 5, nodes: [5], metric: "1", command: " (format 5) " });
    expect(node.output.split("the database keeps format 5").length).toBe(2);
    const refused = await run(["migrate", "--data", directory]);
    expect([refused.status, refused.output]).toEqual([1, ""]);
    expect(refused.errors).toContain("another process is using the data directory");
    expect(formatOf(store)).toBe(5);
    await node.stop(60_000);
    const before = contentOf(store).entries;
    expect(before).toBeGreaterThanOrEqual(3);

    const done = [store, hosted].map((path) => `${path}: migrated from format 5 to ${schemaVersion}\n`).join("");
    expect(await run(["migrate", "--data", directory])).toEqual({ status: 0, output: done, errors: "" });
    expect([store, hosted].map((path) => existsSync(addedTablesPath(path)))).toEqual([false, false]);
    const migrations = [store, hosted].map((path) => ({ path, from: schemaVersion, to: schemaVersion }));
    const again = await run(["migrate", "--data", directory, "--json"]);
    expect(JSON.parse(again.output)).toEqual({ migrations });
    const noted = [directory, join(hosted, "..")].map((each) =>
      readdirSync(each).filter((name) => name.startsWith("audit-")),
    );
    expect(noted.map(({ length }) => length)).toEqual([1, 1]);

    await node.start(undefined, 60_000);
    expect(await show()).toMatchObject({ health: undefined, nodes: [undefined], metric: "0", command: undefined });
    expect(node.output.split("the database keeps format 5").length).toBe(2);
    const audit = await get("/api/audit?page_size=1000");
    const { entries } = (await audit.json()) as { readonly entries: readonly Partial<AuditEntry>[] };
    const [migration] = entries.filter(({ action }) => action === "data.migrate");
    expect(migration).toMatchObject({ result: "ok", details: { from: 5, to: schemaVersion } });
    expect(entries.filter(({ target }) => target?.startsWith("policy ") === true)).toHaveLength(3);
  } finally {
    await node.kill();
  }
}, 120_000);

const manyEntries = 5_000;

test("is killed at any time, and run again", async () => {
  const [source] = makeData("killed-source", manyEntries);
  const measured = pathOf("killed-measured");
  cpSync(source, measured, { recursive: true });
  const startMs = performance.now();
  expect((await runProcess(["migrate", "--data", measured])).status).toBe(0);
  const durationMs = performance.now() - startMs;
  const kills = 6;
  for (let kill = 1; kill <= kills; kill++) {
    const directory = pathOf(`killed-${kill}`);
    cpSync(source, directory, { recursive: true });
    const stores = [join(directory, "store-1.db"), join(directory, environmentsName, "staging", "store-1.db")];
    const child = await start(["migrate", "--data", directory]);
    // The first half of the time passes before the command begins.
    await Bun.sleep((durationMs * (kills + kill)) / (2 * kills));
    child.kill("SIGKILL");
    await child.exited;
    for (const path of stores) {
      expect([5, schemaVersion]).toContain(formatOf(path));
      expect([kill, contentOf(path)]).toEqual([kill, expectedContent(manyEntries)]);
    }
    expect((await run(["migrate", "--data", directory])).status).toBe(0);
    for (const path of stores)
      expect([formatOf(path), contentOf(path)]).toEqual([schemaVersion, expectedContent(manyEntries)]);
    rmSync(directory, { recursive: true });
  }
}, 120_000);

test("migrates the other environments if the database of one is damaged, and names that one", async () => {
  const [directory, store, hosted] = makeData("damaged", 3);
  const damaged = join(directory, environmentsName, "aaa.1730000000000");
  mkdirSync(damaged);
  writeFileSync(join(damaged, "store-1.db"), "no database");
  for (let round = 0; round < 2; round++) {
    const { status, output, errors } = await run(["migrate", "--data", directory, "--json"]);
    expect(status).toBe(1);
    const from = round === 0 ? 5 : schemaVersion;
    const migrations = [store, hosted].map((path) => ({ path, from, to: schemaVersion }));
    expect(JSON.parse(output)).toEqual({ migrations });
    expect(errors).toContain(`the database in \`${damaged}\` was not migrated: it is damaged (file is not a database)`);
  }
});

test("stops at a limit of the disk, and leaves the older format with everything", async () => {
  const [directory, ...stores] = makeData("full", manyEntries);
  // A file that would be larger cannot be written, as on a full disk.
  const script = `trap "" XFSZ; ulimit -f 1024; exec "$0" migrate --data "$1"`;
  const { exitCode, stdout, stderr } = Bun.spawnSync(["sh", "-c", script, await builtBinary(), directory], {
    env: { PATH: process.env["PATH"] ?? "" },
    stdout: "pipe",
    stderr: "pipe",
  });
  expect([exitCode, stdout.toString(), stderr.toString()]).toEqual([1, "", expect.any(String)]);
  for (const path of stores)
    expect(stderr.toString()).toContain(`the database in \`${dirname(path)}\` was not migrated: the disk that holds`);
  for (const path of stores) expect([formatOf(path), contentOf(path)]).toEqual([5, expectedContent(manyEntries)]);
  // A reader of the older release needs only the database.
  const old = new SqliteDatabase(stores[0] ?? "", { readonly: true });
  expect(old.prepare("SELECT count(*) FROM sqlite_schema WHERE name = 'audit'").values()).toEqual([[0]]);
  old.close();
  expect((await run(["migrate", "--data", directory])).status).toBe(0);
  for (const path of stores)
    expect([formatOf(path), contentOf(path)]).toEqual([schemaVersion, expectedContent(manyEntries)]);
}, 60_000);
