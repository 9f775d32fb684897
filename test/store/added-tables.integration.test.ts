/**
 * A database of an older release keeps its format until `ostiary migrate`; tables that later formats have added are in a
 * file beside it. The older release can use the database at any time before, and no entry of the audit log is lost.
 */
import * as Bun from "bun";
import { describe, expect, test } from "bun:test";
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { defaultLimits } from "../../src/config/limits.ts";
import { backUp, backupWriter } from "../../src/replication/backup/backup.ts";
import { restore } from "../../src/replication/backup/restore.ts";
import { Writer } from "../../src/log/writer/writer.ts";
import { SqliteDatabase } from "../../src/runtime/sqlite.ts";
import { currentStorePath, environmentsName } from "../../src/store/directory/data-directory.ts";
import { migrateStoreIn } from "../../src/store/directory/migrate.ts";
import { addedTables, addedTablesPath, removeAddedTables } from "../../src/store/connection/added-tables.ts";
import {
  oldestKeptFormat,
  readFormat,
  runMigrations,
  schemaVersion,
} from "../../src/store/connection/database-format.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import { requireKnownSchemaIn } from "../../src/store/integrity/schema-check.ts";
import { type NodeSetting, readNodeSetting } from "../../src/store/keys/api-keys.ts";
import { auditEntry, type AuditEntry } from "../../src/store/log/audit-entry.ts";
import { auditEntriesAfter } from "../../src/store/log/audit-log.ts";
import { readState } from "../../src/store/log/store-state.ts";
import { buildSnapshot } from "../../src/store/snapshot/snapshot.ts";
import { must } from "../../src/util/assert.ts";
import { withCapturedLog } from "../replication/captured-log.ts";
import { fillDisk, noMounts, withSmallDisk } from "../hostile/node.ts";
import { converged, eventually, refusal, withCluster, withDirectory } from "../replication/cluster.ts";
import { realSystem } from "../../src/replication/system.ts";

const limits = defaultLimits;
const onStep = (): void => {};
const warn = (problem: string): never => {
  throw new Error(problem);
};

/** Of release 0.1.0. */
const format5 = Bun.zstdDecompressSync(
  readFileSync(join(import.meta.dirname, "../data-directories/format-5/primary/store-1.db.zst")),
);

const recorded = JSON.parse(
  readFileSync(join(import.meta.dirname, "../data-directories/format-5/told.json"), "utf8"),
) as { readonly adminKey: string; readonly nodeKey: string };

const actor = { kind: "key", id: "admin", name: null };

function entryOf(target: string): AuditEntry {
  return auditEntry({ actor, action: "policy.upload", target }, { node: "primary", timeMs: Date.now() });
}

/** The targets of the entries, as a node reads them. */
function targetsAt(path: string): (string | null)[] {
  const store = openStore(path, { readonly: true, addedTables: true });
  const found = auditEntriesAfter(store, 0, 1000, { received: true }).map(({ entry }) => entry.target);
  store.close();
  return found;
}

function formatAt(path: string): number {
  const store = openStore(path, { readonly: true });
  const format = readFormat(store);
  store.close();
  return format;
}

function settingAt(path: string, key: NodeSetting): string | undefined {
  const store = openStore(path, { readonly: true });
  const value = readNodeSetting(store, key);
  store.close();
  return value;
}

const auditLogAt = (path: string): string | undefined => settingAt(path, "audit_log");

/** A directory of release 0.1.0 with the writer of a node. */
async function withOldStore(body: (path: string, writer: Writer) => Promise<void>): Promise<void> {
  await withDirectory(async (directory) => {
    const path = join(directory, "store-1.db");
    writeFileSync(path, format5);
    const writer = new Writer({ environment: "default", synchronous: "FULL", limits }, realSystem);
    try {
      await writer.open(path, { create: false });
      await body(path, writer);
    } finally {
      await writer.stop();
    }
  });
}

const withLoggedOldStore = (
  body: (path: string, writer: Writer, lines: readonly string[]) => Promise<void>,
): Promise<void> => withCapturedLog((lines) => withOldStore((path, writer) => body(path, writer, lines)));

const record = (writer: Writer, ...targets: string[]): Promise<void> =>
  writer.recordAudit({ entries: targets.map(entryOf), received: false });

/** As a later release does it. */
function addLaterTable(path: string): void {
  const added = new SqliteDatabase(addedTablesPath(path));
  added.exec(`CREATE TABLE later (x); INSERT INTO later VALUES (1); PRAGMA user_version = ${schemaVersion + 1}`);
  added.close();
}

/** More pages than SQLite keeps in memory. */
const manyEntries = 8000;

const recordMany = (writer: Writer): Promise<void> =>
  record(writer, ...Array.from({ length: manyEntries }, (_, index) => `early-${index}`));

/** Overwrites all pages but the first one, after a checkpoint. A commit makes other connections read the pages again. */
async function damageAddedTables(path: string): Promise<void> {
  const file = addedTablesPath(path);
  await eventually(() => expect(isCheckpointed(file)).toBe(true));
  const pageBytes = 4096;
  const damage = new Uint8Array(statSync(file).size - pageBytes).fill(0xa5);
  const descriptor = openSync(file, "r+");
  writeSync(descriptor, damage, 0, damage.length, pageBytes);
  closeSync(descriptor);
  const added = new SqliteDatabase(file, {});
  added.exec(`PRAGMA user_version = ${schemaVersion}`);
  added.close();
}

/** Whether the file has everything that is in its write-ahead log. */
function isCheckpointed(file: string): boolean {
  const added = new SqliteDatabase(file, {});
  const [, frames, copied] = (added.prepare("PRAGMA wal_checkpoint(NOOP)").values()[0] ?? []).map(Number);
  added.close();
  return frames === copied;
}

test("migrations after the oldest kept format only add tables", () => {
  const empty = new SqliteDatabase(":memory:");
  // Without the tables of older formats, any other change of them fails.
  expect(() => runMigrations(empty, oldestKeptFormat, schemaVersion)).not.toThrow();
  const objects = empty.prepare("SELECT type FROM sqlite_schema").values().flat();
  expect(objects.filter((type) => type !== "table" && type !== "index")).toEqual([]);
  const tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'";
  expect(empty.prepare(tables).values().flat()).toEqual([...addedTables]);
  empty.close();
});

describe("a database of 0.1.0", () => {
  test("keeps its format and its schema, and has an audit log", () =>
    withOldStore(async (path, writer) => {
      const { offset } = writer.state;
      const draft = { actor, action: "facts.clear", target: "clear" } as const;
      await writer.write({ kind: "clear" }, { traceparent: null, audit: { draft, node: "node" } });
      await record(writer, "a");
      expect(targetsAt(path)).toEqual(["clear", "a"]);
      await writer.close();
      expect(formatAt(path)).toBe(5);
      requireKnownSchemaIn(path);
      const store = openStore(path, { readonly: true });
      expect(readState(store).offset).toBe(offset + 1);
      expect(store.prepare("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'audit%'").values()).toEqual([[0]]);
      store.close();
      await writer.open(path, { create: false });
      await record(writer, "b");
      expect(targetsAt(path)).toEqual(["clear", "a", "b"]);
    }));

  test("is migrated with its entries, once", () =>
    withOldStore(async (path, writer) => {
      await record(writer, "a", "b");
      await writer.close();
      const leftover = join(path, "..", "leftover");
      copyFileSync(addedTablesPath(path), leftover);
      expect(migrateStoreIn(join(path, ".."), warn)).toEqual({ path, from: 5, to: schemaVersion });
      expect(existsSync(addedTablesPath(path))).toBe(false);
      expect(migrateStoreIn(join(path, ".."), warn)).toEqual({ path, from: schemaVersion, to: schemaVersion });
      requireKnownSchemaIn(path);
      expect(targetsAt(path)).toEqual(["a", "b"]);
      // As after a crash before the file was removed.
      copyFileSync(leftover, addedTablesPath(path));
      await writer.open(path, { create: false });
      await record(writer, "c");
      expect(targetsAt(path)).toEqual(["a", "b", "c"]);
      expect(existsSync(addedTablesPath(path))).toBe(false);
    }));

  test("is not migrated while it has tables of a later release, whose rows would be lost", () =>
    withOldStore(async (path, writer) => {
      await record(writer, "a");
      await writer.close();
      addLaterTable(path);
      expect(() => migrateStoreIn(join(path, ".."), warn)).toThrow(`has tables of format ${schemaVersion + 1}`);
      expect(formatAt(path)).toBe(5);
      await writer.open(path, { create: false });
      await record(writer, "b");
      expect(targetsAt(path)).toEqual(["a", "b"]);
    }));

  test("moves only rows of tables that the migration creates", () =>
    withOldStore(async (path, writer) => {
      await record(writer, "a");
      await writer.close();
      const added = new SqliteDatabase(addedTablesPath(path));
      added.exec('CREATE TABLE "other"" table" (x); CREATE TABLE node (key, value)');
      added.exec("INSERT INTO node VALUES ('audit_received', 'forged'), ('forged', 'forged')");
      added.close();
      const before = settingAt(path, "audit_received");
      migrateStoreIn(join(path, ".."), warn);
      expect(settingAt(path, "audit_received")).toBe(must(before));
      const store = openStore(path, { readonly: true });
      expect(store.prepare("SELECT count(*) FROM node WHERE key = 'forged'").values()).toEqual([[0]]);
      store.close();
      expect(targetsAt(path)).toEqual(["a"]);
    }));

  test("has snapshots of its format, and backups of the newest one with the audit log", () =>
    withOldStore(async (path, writer) => {
      await record(writer, "a");
      const { manifest } = await buildSnapshot(path, join(path, "..", "snapshots"));
      expect(manifest.schema).toBe(5);
      const file = join(path, "..", "a.backup");
      const backup = await backUp({ target: file, write: backupWriter(path, onStep), limits, onStep, warn });
      expect(backup.manifest.schema).toBe(schemaVersion);
      await record(writer, "b");
      const common = { file, knownTerm: 0, dryRun: false, nodeKeyHashes: undefined, allowUnauthenticated: true };
      const options = { ...common, target: undefined, limits, onStep, warn };
      const fresh = join(path, "..", "fresh");
      await restore({ ...options, directory: fresh, force: false });
      expect(targetsAt(must(currentStorePath(fresh)))).toEqual(["a", expect.any(String)]);
      // Over the data of the node, with what happened since.
      await writer.close();
      await restore({ ...options, directory: join(path, ".."), force: true });
      expect(targetsAt(must(currentStorePath(join(path, ".."))))).toEqual(["a", expect.any(String), "b"]);
      expect(existsSync(addedTablesPath(path))).toBe(false);
    }));

  test("keeps its entries when snapshots of either format replace it", () =>
    withOldStore(async (path, writer) => {
      await record(writer, "a");
      expect(auditLogAt(path)).toBeDefined();
      const second = join(path, "..", "store-2.db");
      writeFileSync(second, format5);
      await writer.open(second, { create: false });
      await writer.adoptAudit(path);
      await record(writer, "b");
      expect(targetsAt(second)).toEqual(["a", "b"]);
      // Still to be sent to the primary.
      const store = openStore(second, { readonly: true, addedTables: true });
      expect(auditEntriesAfter(store, 0, 10, { received: false })).toHaveLength(2);
      store.close();
      const third = join(path, "..", "store-3.db");
      writeFileSync(third, format5);
      openStore(third, { convert: true }).close();
      await writer.open(third, { create: false });
      await writer.adoptAudit(second);
      await record(writer, "c");
      expect(targetsAt(third)).toEqual(["a", "b", "c"]);
      expect(existsSync(addedTablesPath(third))).toBe(false);
    }));

  test("gives hosted environments its format, until it is migrated", () =>
    withOldStore(async (path, writer) => {
      await writer.close();
      const pathOf = (id: string): string => {
        mkdirSync(join(path, "..", environmentsName, id), { recursive: true });
        return join(path, "..", environmentsName, id, "store-1.db");
      };
      await writer.open(pathOf("staging"));
      await record(writer, "a");
      expect([formatAt(pathOf("staging")), targetsAt(pathOf("staging"))]).toEqual([5, ["a"]]);
      await writer.close();
      migrateStoreIn(join(path, ".."), warn);
      await writer.open(pathOf("testing"));
      expect(formatAt(pathOf("testing"))).toBe(schemaVersion);
    }));

  test("works without its added tables, which are then counted anew, and with damaged ones", () =>
    withOldStore(async (path, writer) => {
      await record(writer, "a");
      await writer.close();
      const logId = auditLogAt(path);
      truncateSync(addedTablesPath(path), 5000);
      await writer.open(path, { create: false });
      await record(writer, "b");
      expect(targetsAt(path)).toEqual(["b"]);
      expect(existsSync(`${addedTablesPath(path)}.damaged`)).toBe(true);
      expect(auditLogAt(path)).not.toBe(logId);
      // The same file is known again.
      const next = auditLogAt(path);
      await writer.open(path, { create: false });
      expect(auditLogAt(path)).toBe(next);
    }));

  test("gets new added tables when they are damaged while it is open, and continues with all writes", () =>
    withLoggedOldStore(async (path, writer, lines) => {
      await recordMany(writer);
      const logId = auditLogAt(path);
      let replaced = 0;
      writer.onAddedTablesReplaced(() => void replaced++);
      await damageAddedTables(path);
      const { offset } = writer.state;
      const draft = { actor, action: "facts.clear", target: "clear" } as const;
      const audited = { traceparent: null, audit: { draft, node: "node" } };
      const writes = [{ traceparent: null }, audited, audited];
      const written = await Promise.all(writes.map((meta) => writer.write({ kind: "clear" }, meta)));
      expect(written.map((result) => result.offset)).toEqual([1, 2, 3].map((count) => offset + count));
      expect(targetsAt(path)).toEqual(["clear", "clear"]);
      expect(existsSync(`${addedTablesPath(path)}.damaged`)).toBe(true);
      expect(auditLogAt(path)).not.toBe(logId);
      expect(replaced).toBe(1);
      expect(
        lines.filter((line) => line.includes(`it was moved to \`${addedTablesPath(path)}.damaged\``)),
      ).toHaveLength(1);
      await record(writer, "later");
      await writer.close();
      await writer.open(path, { create: false });
      expect(targetsAt(path)).toEqual(["clear", "clear", "later"]);
    }));

  test("is a sound database on a primary whose added tables are damaged", () =>
    withCluster(async (cluster) => {
      const data = join(cluster.directory, "primary");
      mkdirSync(data);
      const path = join(data, "store-1.db");
      writeFileSync(path, format5);
      const never = { "advanced.logTrimIntervalMs": "1h", "advanced.auditExchangeIntervalMs": "1h" };
      const flags = { ...never, environment: "default", adminKey: recorded.adminKey, nodeKey: recorded.nodeKey };
      const writer = new Writer({ environment: "default", synchronous: "FULL", limits }, realSystem);
      await writer.open(path, { create: false });
      await recordMany(writer);
      await writer.stop();
      const { node, url } = await cluster.primary(flags);
      await damageAddedTables(path);
      const get = (route: string) => fetch(url + route, { headers: { Authorization: `Bearer ${recorded.adminKey}` } });
      const read = async (): Promise<number> => {
        const answer = await get("/api/audit?page_size=1000");
        await answer.text();
        expect((await get("/healthcheck")).status).toBe(200);
        expect((await get("/api/facts?predicate=has_role")).status).toBe(200);
        return answer.status;
      };
      const backup = await get("/api/backup");
      expect([backup.status, (await backup.arrayBuffer()).byteLength > 1000]).toEqual([200, true]);
      const seen: number[] = [];
      await eventually(async () => {
        seen.push(await read());
        expect(seen.at(-1)).toBe(200);
      });
      // Until they were replaced, which an audited request can do before.
      expect(seen.filter((status) => status !== 200 && status !== 503)).toEqual([]);
      expect(existsSync(`${addedTablesPath(path)}.damaged`)).toBe(true);
      const cleared = await fetch(`${url}/api/clear_data`, {
        method: "POST",
        headers: { Authorization: `Bearer ${recorded.adminKey}` },
      });
      expect(cleared.status).toBe(200);
      expect(await (await get("/api/audit")).text()).toContain("clear");
      expect(node.health().state).toBe("PRIMARY");
      expect(readdirSync(data).filter((name) => /^store-.*damaged/.test(name))).toEqual([]);
    }));

  test.each(["fallback", "node that follows"] as const)(
    "is a sound copy on a %s whose added tables are damaged",
    (role) =>
      withCluster(
        async (cluster) => {
          const data = join(cluster.directory, "primary");
          mkdirSync(data);
          writeFileSync(join(data, "store-1.db"), format5);
          const primary = await cluster.primary({ adminKey: recorded.adminKey });
          const replica = await (role === "node that follows"
            ? cluster.edge("edge-1", primary)
            : cluster.fallback(primary));
          await converged(replica.node, primary.node);
          const path = must(currentStorePath(replica.data));
          expect(formatAt(path)).toBe(5);
          await damageAddedTables(path);
          const headers = { Authorization: `Bearer ${recorded.adminKey}` };
          const seen: number[] = [];
          await eventually(async () => {
            const answer = await fetch(`${replica.url}/api/audit`, { headers });
            await answer.text();
            seen.push(answer.status);
            expect((await fetch(`${replica.url}/healthcheck`)).status).toBe(200);
            expect(answer.status).toBe(200);
          });
          expect(seen.filter((status) => status !== 200 && status !== 503)).toEqual([]);
          expect(existsSync(`${addedTablesPath(path)}.damaged`)).toBe(true);
          expect(currentStorePath(replica.data)).toBe(path);
          const cleared = await fetch(`${primary.url}/api/clear_data`, { method: "POST", headers });
          expect(cleared.status).toBe(200);
          await converged(replica.node, primary.node);
        },
        {
          ...{ environment: "default", nodeKey: recorded.nodeKey },
          ...{ "advanced.logTrimIntervalMs": "1h", "advanced.auditExchangeIntervalMs": "1h" },
        },
      ),
  );

  test("leaves the tables of a later release alone when they are beside a database of the newest format", () =>
    withOldStore(async (path, writer) => {
      await record(writer, "a");
      await writer.close();
      addLaterTable(path);
      const inLater = () => {
        const file = new SqliteDatabase(addedTablesPath(path), { readonly: true });
        const rows = ["later", "audit"].map((name) => file.prepare(`SELECT count(*) FROM ${name}`).values()[0]?.[0]);
        file.close();
        return rows;
      };
      const next = join(path, "..", "store-2.db");
      writeFileSync(next, format5);
      openStore(next, { convert: true }).close();
      await writer.open(next, { create: false });
      await writer.adoptAudit(path);
      await record(writer, "b");
      expect([targetsAt(next), inLater()]).toEqual([
        ["a", "b"],
        [1, 0],
      ]);
      await writer.open(next, { create: false });
      expect([targetsAt(next), inLater()]).toEqual([
        ["a", "b"],
        [1, 0],
      ]);
      const file = join(path, "..", "a.backup");
      await backUp({ target: file, write: backupWriter(next, onStep), limits, onStep, warn });
      await writer.close();
      const common = { file, knownTerm: 0, dryRun: false, nodeKeyHashes: undefined, allowUnauthenticated: true };
      const directory = join(path, "..");
      await restore({ ...common, directory, force: true, target: undefined, limits, onStep, warn });
      expect(inLater()).toEqual([1, 0]);
    }));

  test("is backed up, restored and migrated without damaged entries of its audit log, and says so", () =>
    withOldStore(async (path, writer) => {
      await recordMany(writer);
      await writer.close();
      await damageAddedTables(path);
      const told: string[] = [];
      const listen = { onStep, warn: (problem: string) => void told.push(problem) };
      const file = join(path, "..", "a.backup");
      await backUp({ target: file, write: backupWriter(path, onStep), limits, ...listen });
      expect(told).toEqual([
        expect.stringMatching(/^`.*added-tables.db` is damaged, so entries of the audit log are left/),
      ]);
      const copy = join(path, "..", "copy");
      mkdirSync(copy);
      for (const name of ["store-1.db", "added-tables.db"]) copyFileSync(join(path, "..", name), join(copy, name));
      const moved: string[] = [];
      expect(migrateStoreIn(copy, (problem) => moved.push(problem))).toMatchObject({ from: 5, to: schemaVersion });
      expect(moved).toEqual([expect.stringContaining("it was moved to")]);
      told.length = 0;
      const common = { file, knownTerm: 0, dryRun: false, nodeKeyHashes: undefined, allowUnauthenticated: true };
      await restore({ ...common, directory: join(path, ".."), force: true, target: undefined, limits, ...listen });
      expect(told).toEqual([expect.stringContaining("are left out"), expect.stringContaining("it was moved to")]);
    }));

  test("keeps damaged added tables when a database of the newest format replaces it", () =>
    withLoggedOldStore(async (path, writer, lines) => {
      await recordMany(writer);
      await damageAddedTables(path);
      await writer.close();
      const next = join(path, "..", "store-2.db");
      writeFileSync(next, format5);
      openStore(next, { convert: true }).close();
      await writer.open(next, { create: false });
      await writer.adoptAudit(null);
      await record(writer, "b");
      expect(targetsAt(next).at(-1)).toBe("b");
      const file = addedTablesPath(path);
      expect([file, `${file}.damaged`].map((each) => existsSync(each))).toEqual([false, true]);
      expect(lines.join("\n")).toContain("are left out");
      expect(lines.join("\n")).toContain("it was moved to");
    }));

  test("has a write-ahead log of its added tables, also if their creation was interrupted", () =>
    withOldStore(async (path, writer) => {
      await writer.close();
      removeAddedTables(path);
      writeFileSync(addedTablesPath(path), "");
      await writer.open(path, { create: false });
      await record(writer, "a");
      const store = openStore(path, { readonly: true, addedTables: true });
      expect(store.prepare("PRAGMA added.journal_mode").values()).toEqual([["wal"]]);
      store.close();
    }));

  test.skipIf(noMounts)("does not call a write undone that a full disk has stored in the first of both files", () =>
    withDirectory((directory) =>
      withSmallDisk(join(directory, "disk"), "16m", async (disk) => {
        const path = join(disk.path, "store-1.db");
        writeFileSync(path, format5);
        const writer = new Writer({ environment: "default", synchronous: "FULL", limits }, realSystem);
        try {
          await writer.open(path, { create: false });
          const draft = { actor, action: "facts.clear", target: "clear" } as const;
          const audited = { traceparent: null, audit: { draft, node: "node" } };
          // The write-ahead log of the database has space from before.
          for (let count = 0; count < 20; count++) await writer.write({ kind: "clear" }, { traceparent: null });
          await eventually(() => expect(isCheckpointed(path)).toBe(true));
          const { offset } = writer.state;
          const free = fillDisk(disk.path);
          const refused = await refusal(writer.write({ kind: "clear" }, audited));
          free();
          await eventually(() => expect(writer.state.offset).toBe(offset + 1));
          expect(refused.message).toContain("it is unknown whether the write was stored");
          expect(refused).toMatchObject({ code: "not_ready", mayBeDone: true });
        } finally {
          await writer.stop();
        }
      }),
    ),
  );

  test("exchanges the audit log anew with the added tables of another directory", () =>
    withOldStore(async (path, writer) => {
      await withOldStore(async (other, otherWriter) => {
        await record(otherWriter, "other");
        await otherWriter.close();
        const progress = { key: "audit_received", value: "0123456789abcdef 7" } as const;
        await writer.recordAudit({ entries: [entryOf("own")], received: false, progress });
        await writer.close();
        const logId = auditLogAt(path);
        copyFileSync(addedTablesPath(other), addedTablesPath(path));
        await writer.open(path, { create: false });
        expect(auditLogAt(path)).not.toBe(logId);
        expect(settingAt(path, "audit_received")).toBe("");
        expect(targetsAt(path)).toEqual(["other"]);
      });
    }));
});
