/**
 * A database of an older release keeps its format until `ostiary migrate`; tables that later formats have added are in a
 * file beside it. The older release can use the database at any time before, and no entry of the audit log is lost.
 */
import * as Bun from "bun";
import { describe, expect, test } from "bun:test";
import { copyFileSync, existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { defaultLimits } from "../../src/config/limits.ts";
import { backUp, backupWriter } from "../../src/replication/backup/backup.ts";
import { restore } from "../../src/replication/backup/restore.ts";
import { Writer } from "../../src/replication/log/writer.ts";
import { SqliteDatabase } from "../../src/runtime/sqlite.ts";
import { currentStorePath, environmentsName } from "../../src/store/directory/data-directory.ts";
import { migrateStoreIn } from "../../src/store/directory/migrate.ts";
import { addedTablesPath } from "../../src/store/connection/added-tables.ts";
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
import { withDirectory } from "../replication/cluster.ts";

const limits = defaultLimits;
const onStep = (): void => {};
const warn = (problem: string): never => {
  throw new Error(problem);
};

/** Of release 0.1.0. */
const format5 = Bun.zstdDecompressSync(
  readFileSync(join(import.meta.dirname, "../data-directories/format-5/primary/store-1.db.zst")),
);

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
    const writer = new Writer({ environment: "default", synchronous: "FULL", limits });
    try {
      await writer.open(path, { create: false });
      await body(path, writer);
    } finally {
      await writer.stop();
    }
  });
}

const record = (writer: Writer, ...targets: string[]): Promise<void> =>
  writer.recordAudit({ entries: targets.map(entryOf), received: false });

test("migrations after the oldest kept format only add tables", () => {
  const empty = new SqliteDatabase(":memory:");
  // Without the tables of older formats, any other change of them fails.
  expect(() => runMigrations(empty, oldestKeptFormat, schemaVersion)).not.toThrow();
  const objects = empty.prepare("SELECT type FROM sqlite_schema").values().flat();
  expect(objects.filter((type) => type !== "table" && type !== "index")).toEqual([]);
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
      expect(migrateStoreIn(join(path, ".."))).toEqual({ path, from: 5, to: schemaVersion });
      expect(existsSync(addedTablesPath(path))).toBe(false);
      expect(migrateStoreIn(join(path, ".."))).toEqual({ path, from: schemaVersion, to: schemaVersion });
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
      const added = new SqliteDatabase(addedTablesPath(path));
      added.exec(`CREATE TABLE later (x); INSERT INTO later VALUES (1); PRAGMA user_version = ${schemaVersion + 1}`);
      added.close();
      expect(() => migrateStoreIn(join(path, ".."))).toThrow(`has tables of format ${schemaVersion + 1}`);
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
      migrateStoreIn(join(path, ".."));
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
      migrateStoreIn(join(path, ".."));
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
