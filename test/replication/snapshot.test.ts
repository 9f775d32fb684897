/** Snapshots: what they hold and leave behind, and that nothing damaged is ever taken for one. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { defaultLimits } from "../../src/config/limits.ts";
import { checkCopy } from "../../src/replication/check-copy.ts";
import { Writer } from "../../src/replication/writer.ts";
import { openSqlite } from "../../src/runtime/sqlite.ts";
import { openStore, schemaVersion } from "../../src/store/database.ts";
import { closureTables } from "../../src/store/closure-tables.ts";
import { openLog } from "../../src/store/log.ts";
import { buildSnapshot, unpackSnapshot, type Snapshot } from "../../src/store/snapshot.ts";
import type { State } from "../../src/store/state.ts";
import { policy, reader, refusal, untraced, withDirectory } from "./cluster.ts";

const bytesMax = 1024 ** 3;

function check(path: string): State {
  return checkCopy(path, defaultLimits, (warning) => {
    throw new Error(warning);
  });
}

async function withSnapshot(
  body: (snapshot: Snapshot, directory: string, writer: Writer) => Promise<void>,
): Promise<void> {
  await withDirectory(async (directory) => {
    const writer = new Writer({ environment: "test", synchronous: "FULL", limits: defaultLimits });
    try {
      const path = join(directory, "store-1.db");
      await writer.open(path);
      await writer.write({ kind: "policy", source: policy, filename: null, force: false }, untraced);
      await writer.write({ kind: "batch", changes: [{ inserts: [reader("ann"), reader("bob")] }] }, untraced);
      await writer.writeSetting("node_key_hash", "secret-of-this-node");
      await body(await buildSnapshot(path, join(directory, "snapshots")), directory, writer);
    } finally {
      await writer.stop();
    }
  });
}

describe("a snapshot", () => {
  test("holds the state, and neither the log nor what belongs to the sending node", () =>
    withSnapshot(async (snapshot, directory, writer) => {
      const target = join(directory, "copy.db");
      expect(await unpackSnapshot(snapshot, target, bytesMax, check)).toEqual(writer.state);
      const { epoch, offset, hash, digest } = writer.state;
      expect(snapshot.manifest).toMatchObject({
        schema: schemaVersion,
        environment: "test",
        epoch,
        offset,
        hash,
        digest,
      });
      const store = openStore(target, { readonly: true });
      expect(openLog(store).read(0, { eventsMax: 10, bytesMax })).toEqual([]);
      expect(store.prepare("SELECT count(*) FROM node").values()).toEqual([[0]]);
      expect(store.prepare("SELECT count(*) FROM fact_1").values()).toEqual([[2]]);
      store.close();
      expect(readFileSync(target).includes("secret-of-this-node")).toBe(false);
    }));

  test("is made while the writer goes on writing", () =>
    withSnapshot(async (_snapshot, directory, writer) => {
      const writes = Array.from({ length: 100 }, (_, index) =>
        writer.write({ kind: "batch", changes: [{ inserts: [reader(`u${index}`)] }] }, untraced),
      );
      const snapshot = await buildSnapshot(join(directory, "store-1.db"), join(directory, "snapshots"));
      await Promise.all(writes);
      const state = await unpackSnapshot(snapshot, join(directory, "copy.db"), bytesMax, check);
      expect(state.offset).toBeGreaterThanOrEqual(2);
      expect(state.offset).toBeLessThanOrEqual(writer.state.offset);
    }));
});

describe("what is damaged is refused, and leaves no file behind", () => {
  const cases: Record<string, (snapshot: Snapshot) => Snapshot | Promise<Snapshot>> = {
    "cut short": (snapshot) => rewritten(snapshot, (bytes) => bytes.subarray(0, bytes.length - 20)),
    "with a changed byte": (snapshot) =>
      rewritten(snapshot, (bytes) => bytes.with(bytes.length >> 1, (bytes[bytes.length >> 1] ?? 0) ^ 0xff)),
    "no archive at all": (snapshot) => rewritten(snapshot, () => new TextEncoder().encode("not a snapshot")),
    "another digest": (snapshot) => promising(snapshot, { digest: "0123456789abcdef" }),
    "another offset": (snapshot) => promising(snapshot, { offset: 7 }),
    "another history": (snapshot) => promising(snapshot, { hash: "0123456789abcdef" }),
    "a newer format": (snapshot) => promising(snapshot, { schema: schemaVersion + 1 }),
    "facts that are not those of the digest": tampered,
  };
  for (const [name, damage] of Object.entries(cases)) {
    test(name, () =>
      withSnapshot(async (snapshot, directory) => {
        const target = join(directory, "copy.db");
        await refusal(unpackSnapshot(await damage(snapshot), target, bytesMax, check));
        expect(existsSync(target)).toBe(false);
      }),
    );
  }

  test("larger than allowed", () =>
    withSnapshot(async (snapshot, directory) => {
      const target = join(directory, "copy.db");
      expect((await refusal(unpackSnapshot(snapshot, target, 10_000, check))).message).toContain(
        "larger than 10000 bytes",
      );
      expect(existsSync(target)).toBe(false);
    }));
});

function rewritten(snapshot: Snapshot, change: (bytes: Uint8Array) => Uint8Array): Snapshot {
  writeFileSync(snapshot.path, change(new Uint8Array(readFileSync(snapshot.path))));
  return snapshot;
}

function promising(snapshot: Snapshot, manifest: Partial<Snapshot["manifest"]>): Snapshot {
  return { ...snapshot, manifest: { ...snapshot.manifest, ...manifest } };
}

/** A sound file whose position and recorded digest are right, but with a fact less than they say. */
async function tampered(snapshot: Snapshot): Promise<Snapshot> {
  const path = `${snapshot.path}.db`;
  await unpackSnapshot(snapshot, path, bytesMax, check);
  const store = openStore(path);
  store.exec("DELETE FROM fact_1 WHERE a1 = (SELECT max(a1) FROM fact_1)");
  store.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  store.exec("PRAGMA journal_mode = DELETE");
  store.close();
  const { compressFile } = await import("../../src/runtime/compress.ts");
  const packed = await compressFile(path, `${path}.zst`);
  return { path: `${path}.zst`, manifest: { ...snapshot.manifest, ...packed } };
}

describe("closures", () => {
  const nested = `actor User {} resource Folder { roles = ["reader"]; permissions = ["read"]; relations = { parent: Folder };
    "read" if "reader"; role if role on "parent"; }`;
  const parent = (child: string, above: string) => ({
    predicate: "has_relation",
    args: [
      { type: "Folder", id: child },
      { type: "String", id: "parent" },
      { type: "Folder", id: above },
    ],
  });

  async function withNested(body: (path: string) => void | Promise<void>): Promise<void> {
    await withDirectory(async (directory) => {
      const path = join(directory, "store-1.db");
      const writer = new Writer({ environment: "test", synchronous: "FULL", limits: defaultLimits });
      try {
        await writer.open(path);
        await writer.write({ kind: "policy", source: nested, filename: null, force: false }, untraced);
        await writer.write({ kind: "batch", changes: [{ inserts: [parent("a", "b"), parent("b", "c")] }] }, untraced);
      } finally {
        await writer.stop();
      }
      await body(path);
    });
  }

  function edit(path: string, sql: string): void {
    const store = openSqlite(path);
    store.exec(sql);
    store.close();
  }

  function rows(path: string): number[] {
    const store = openStore(path, { readonly: true });
    const counts = closureTables(store).map((table) => table.rows);
    store.close();
    return counts;
  }

  test.each([
    ["a row too few", "DELETE FROM closure_1 WHERE a1 = (SELECT min(a1) FROM closure_1)"],
    ["a row too many", "INSERT INTO closure_1 VALUES (1, 1)"],
    ["a wrong count", "UPDATE closure SET rows = 7"],
  ])("with %s are made anew, and that is said", (_, sql) =>
    withNested((path) => {
      edit(path, sql);
      const warnings: string[] = [];
      checkCopy(path, defaultLimits, (warning) => warnings.push(warning));
      expect(warnings).toHaveLength(1);
      expect(warnings[0]).toContain("made anew from the facts");
      expect(rows(path)).toEqual([3]);
      expect(() => check(path)).not.toThrow();
    }),
  );

  const olderFormat =
    "DROP TABLE closure; DROP TABLE closure_1; ALTER TABLE state DROP COLUMN plan_stamp; ALTER TABLE state DROP COLUMN version; " +
    "ALTER TABLE relation DROP COLUMN version; DROP TABLE degree; DROP TABLE degree_shape; " +
    "ALTER TABLE state DROP COLUMN degree_stamp; " +
    "DROP TABLE epoch; DROP TABLE answered; DROP TABLE cleared; ALTER TABLE state DROP COLUMN term; " +
    "ALTER TABLE log DROP COLUMN digest; ALTER TABLE log DROP COLUMN total; PRAGMA user_version = 1";

  test("are made for a file of the format before them, by whoever writes to it", () =>
    withNested(async (path) => {
      edit(path, olderFormat);
      const writer = new Writer({ environment: "test", synchronous: "FULL", limits: defaultLimits });
      try {
        await writer.open(path);
        expect(rows(path)).toEqual([3]);
      } finally {
        await writer.stop();
      }
    }));

  test("and for a copy that nobody writes to", () =>
    withNested((path) => {
      edit(path, olderFormat);
      check(path);
      expect(rows(path)).toEqual([3]);
    }));
});
