/** Snapshots: their content, and that damaged data are never used as a snapshot or as a database to start from. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { defaultLimits } from "../../src/config/limits.ts";
import { ContentCheck } from "../../src/replication/snapshots/check-database.ts";
import { checkDatabaseInWorker, unpackSnapshotInWorker } from "../../src/replication/snapshots/snapshot-jobs.ts";
import { realSystem } from "../../src/replication/system.ts";
import { Writer } from "../../src/log/writer/writer.ts";
import { compressFile, decompressFile } from "../../src/runtime/compress.ts";
import { SqliteDatabase } from "../../src/runtime/sqlite.ts";
import { closureTables } from "../../src/store/facts/closure-tables.ts";
import { schemaVersion } from "../../src/store/connection/database-format.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import { openLog } from "../../src/store/log/log.ts";
import { encodeHeader, type SnapshotManifest } from "../../src/store/snapshot/snapshot-header.ts";
import { buildSnapshot, openSnapshot, unpackSnapshot, type Snapshot } from "../../src/store/snapshot/snapshot.ts";
import type { StoreState } from "../../src/store/log/store-state.ts";
import { must } from "../../src/util/assert.ts";
import { policy, reader, refusal, untraced, withDirectory } from "./cluster.ts";
import { flipBit } from "./flip-bit.ts";
import { checkStructure } from "./verify-database.ts";

// Each check starts threads, which is slow on a busy machine.
setDefaultTimeout(120_000);

const bytesMax = 1024 ** 3;

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

async function unpack(snapshot: Snapshot, target: string, limits = defaultLimits): Promise<StoreState> {
  return (await unpackSnapshotInWorker(realSystem, snapshot, target, limits, unexpected)).state;
}

function check(path: string): Promise<StoreState> {
  return checkDatabaseInWorker(realSystem, path, defaultLimits, unexpected);
}

function unexpected(warning: string): void {
  throw new Error(warning);
}

async function withSnapshot(
  body: (snapshot: Snapshot, directory: string, writer: Writer) => Promise<void>,
): Promise<void> {
  await withDirectory(async (directory) => {
    const writer = new Writer({ environment: "test", synchronous: "FULL", limits: defaultLimits }, realSystem);
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
  test("has the state, and neither the log nor data of the sending node", () =>
    withSnapshot(async (snapshot, directory, writer) => {
      const target = join(directory, "copy.db");
      expect(await unpack(snapshot, target)).toEqual(writer.state);
      const { epoch, offset, hash, digest, timeMs } = writer.state;
      expect(snapshot.manifest).toMatchObject({
        schema: schemaVersion,
        environment: "test",
        epoch,
        offset,
        timeMs,
        hash,
        digest,
      });
      const store = openStore(target, { readonly: true });
      expect(openLog(store).read(0, { eventsMax: 10, bytesMax })).toEqual([]);
      expect(store.prepare("SELECT count(*) FROM node").values()).toEqual([[0]]);
      expect(store.prepare("SELECT count(*) FROM fact_1").values()).toEqual([[2]]);
      store.close();
      const bytes = readFileSync(target);
      for (const left of ["secret-of-this-node", '"inserted"']) expect(bytes.includes(left)).toBe(false);
    }));

  test("has the indexes of its store, and no unused pages", () =>
    withSnapshot(async (snapshot, directory) => {
      const target = join(directory, "copy.db");
      await unpack(snapshot, target);
      const schemaOf = (path: string): unknown => {
        const store = openStore(path, { readonly: true });
        const found = store.prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY name").values();
        store.close();
        return found;
      };
      expect(schemaOf(target)).toEqual(schemaOf(join(directory, "store-1.db")));
      const copy = new SqliteDatabase(target);
      // Other threads may still be closing it.
      copy.exec("PRAGMA busy_timeout = 5000");
      expect(copy.prepare("PRAGMA freelist_count").values()).toEqual([[0]]);
      copy.close();
    }));

  test("can be made while the writer writes", () =>
    withSnapshot(async (_snapshot, directory, writer) => {
      const writes = Array.from({ length: 100 }, (_, index) =>
        writer.write({ kind: "batch", changes: [{ inserts: [reader(`u${index}`)] }] }, untraced),
      );
      const snapshot = await buildSnapshot(join(directory, "store-1.db"), join(directory, "snapshots"));
      await Promise.all(writes);
      const state = await unpack(snapshot, join(directory, "copy.db"));
      expect(state.offset).toBeGreaterThanOrEqual(2);
      expect(state.offset).toBeLessThanOrEqual(writer.state.offset);
    }));

  test("describes itself, and any tool for zstd unpacks it", () =>
    withSnapshot(async (snapshot, directory) => {
      const bytes = readFileSync(snapshot.path);
      const [line = ""] = bytes.toString("utf8", 8).split("\n");
      expect(JSON.parse(line)).toEqual(snapshot.manifest);
      expect(openSnapshot(snapshot.path)).toEqual(snapshot);
      const [whole, database] = ["whole.db", "database.db"].map((name) => join(directory, name)) as [string, string];
      // From the first byte on, as `zstd -d` reads it.
      const size = await decompressFile(snapshot.path, whole, 0, bytesMax);
      expect(size).toBe(snapshot.manifest.unpackedBytes);
      await decompressFile(snapshot.path, database, snapshot.size - snapshot.manifest.bytes, bytesMax);
      expect(readFileSync(whole).equals(readFileSync(database))).toBe(true);
    }));
});

describe("damaged snapshots are refused, and leave no file behind", () => {
  const cases: Record<string, (snapshot: Snapshot) => void | Promise<void>> = {
    "cut short": ({ path }) => rewrite(path, (bytes) => bytes.subarray(0, bytes.length - 20)),
    "cut within the manifest": ({ path }) => rewrite(path, (bytes) => bytes.subarray(0, 100)),
    empty: ({ path }) => rewrite(path, () => new Uint8Array()),
    "longer than it says": ({ path }) => rewrite(path, (bytes) => Buffer.concat([bytes, Buffer.from("more")])),
    "no archive at all": ({ path }) => rewrite(path, () => Buffer.from("this is not a snapshot")),
    "another digest": (snapshot) => promise(snapshot, { digest: "0123456789abcdef" }),
    "another offset": (snapshot) => promise(snapshot, { offset: 7 }),
    "another history": (snapshot) => promise(snapshot, { hash: "0123456789abcdef" }),
    "another environment": (snapshot) => promise(snapshot, { environment: "other" }),
    "another size": (snapshot) => promise(snapshot, { unpackedBytes: snapshot.manifest.unpackedBytes + 1 }),
    "a newer format": (snapshot) => promise(snapshot, { schema: schemaVersion + 1 }),
    "a newer form": (snapshot) => promise(snapshot, { snapshot: 2 as 1 }),
    "facts that are not those of the digest": tamper,
  };
  for (const [name, damage] of Object.entries(cases)) {
    test(name, () =>
      withSnapshot(async (snapshot, directory) => {
        const target = join(directory, "copy.db");
        await damage(snapshot);
        await refusal((async () => unpack(openSnapshot(snapshot.path), target))());
        expect(existsSync(target)).toBe(false);
      }),
    );
  }

  test("any changed byte", () =>
    withSnapshot(async (snapshot, directory) => {
      const { path, size, manifest } = snapshot;
      const target = join(directory, "copy.db");
      const whole = readFileSync(path);
      const database = size - manifest.bytes;
      // All bytes of the frame before the manifest, many of the manifest and its checksum, and some of the database's
      // frames.
      const places = [0, 1, 2, 3, 4, 5, 6, 7, ...stepped(8, database, 37), database - 1, database, database + 4];
      for (const place of [...places, ...stepped(database, size, 997), size - 1]) {
        writeFileSync(path, whole.with(place, must(whole[place]) ^ 0x10));
        await refusal((async () => unpackSnapshot(openSnapshot(path), target, bytesMax))());
        expect(existsSync(target)).toBe(false);
      }
    }));

  test("larger than permitted", () =>
    withSnapshot(async (snapshot, directory) => {
      const target = join(directory, "copy.db");
      const refused = await refusal(unpack(snapshot, target, { ...defaultLimits, snapshotBytesMax: 10_000 }));
      expect(refused.message).toContain("`snapshotBytesMax` allows 10000");
      expect(existsSync(target)).toBe(false);
    }));

  test("and the error for a newer format says what to do", () =>
    withSnapshot(async (snapshot, directory) => {
      promise(snapshot, { schema: schemaVersion + 1 });
      const refused = await refusal(unpack(openSnapshot(snapshot.path), join(directory, "copy.db")));
      expect(refused.message).toMatch(/made by a newer Ostiary .*: use that version or a later one/);
    }));
});

function stepped(from: number, to: number, step: number): number[] {
  return Array.from({ length: Math.ceil((to - from) / step) }, (_, index) => from + index * step);
}

function rewrite(path: string, change: (bytes: Buffer) => Uint8Array): void {
  writeFileSync(path, change(readFileSync(path)));
}

/** Puts another manifest before the same database. */
function promise({ path, size, manifest }: Snapshot, other: Partial<SnapshotManifest>): void {
  rewrite(path, (bytes) =>
    Buffer.concat([encodeHeader({ ...manifest, ...other }), bytes.subarray(size - manifest.bytes)]),
  );
}

/** A sound file with the right position and digest in its state, but with one fact less. */
async function tamper(snapshot: Snapshot): Promise<void> {
  const path = `${snapshot.path}.db`;
  await unpack(snapshot, path);
  const store = new SqliteDatabase(path);
  store.exec("PRAGMA busy_timeout = 5000");
  store.exec("DELETE FROM fact_1 WHERE a1 = (SELECT max(a1) FROM fact_1)");
  store.close();
  const packed = await compressFile(path, `${path}.zst`, new Uint8Array());
  const front = encodeHeader({ ...snapshot.manifest, ...packed });
  writeFileSync(snapshot.path, Buffer.concat([front, readFileSync(`${path}.zst`)]));
}

test("no node starts from a database with a flipped bit", () =>
  withSnapshot(async (_snapshot, directory, writer) => {
    await writer.write({ kind: "policy", source: nested, filename: null, force: true }, untraced);
    const inserts = Array.from({ length: 600 }, (_, index) => parent(`folder-${index}`, `folder-${index >> 1}`));
    await writer.write({ kind: "batch", changes: [{ inserts }] }, untraced);
    await writer.stop();
    const path = join(directory, "store-1.db");
    const trees = [...pagesOf(path)].filter(([name]) => /^(fact|closure|symbol|type)|symbol/.test(name));
    expect(trees.map(([name]) => name)).toEqual(
      expect.arrayContaining(["fact_2", "fact_2_by_3_2_1", "closure_1", "closure_1_by_2", "symbol", "type"]),
    );
    const copy = join(directory, "flipped.db");
    const missed: string[] = [];
    for (const [name, ends] of trees) {
      for (const end of new Set([must(ends[0]), must(ends.at(-1))])) {
        copyFileSync(path, copy);
        // The end of the page's first row, in a leaf or an inner page.
        flipBit(copy, end - 1, 0);
        if (!isRefused(copy)) missed.push(`${name}, before ${end}`);
      }
    }
    expect(missed).toEqual([]);
    expect(isRefused(path)).toBe(false);
  }));

function isRefused(path: string): boolean {
  try {
    const content = new ContentCheck(path, defaultLimits);
    try {
      checkStructure(content, path);
      content.read();
      return content.repair() !== undefined;
    } finally {
      content.close();
    }
  } catch {
    return true;
  }
}

/** The end offsets of the pages of each table and index with rows. */
function pagesOf(path: string): Map<string, number[]> {
  const store = new SqliteDatabase(path, { readonly: true });
  store.exec("PRAGMA busy_timeout = 5000");
  const rows = store
    .prepare("SELECT name, pgoffset + pgsize FROM dbstat WHERE ncell > 0 ORDER BY pgoffset")
    .values()
    .map(([name, end]) => ({ name: String(name), end: Number(end) }));
  store.close();
  return new Map(
    [...Map.groupBy(rows, ({ name }) => name)].map(([name, pages]) => [name, pages.map(({ end }) => end)]),
  );
}

describe("closures", () => {
  async function withNested(body: (path: string) => void | Promise<void>): Promise<void> {
    await withDirectory(async (directory) => {
      const path = join(directory, "store-1.db");
      const writer = new Writer({ environment: "test", synchronous: "FULL", limits: defaultLimits }, realSystem);
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
    const store = new SqliteDatabase(path);
    store.exec("PRAGMA busy_timeout = 5000");
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
  ])("with %s are rebuilt, with a warning", (_, sql) =>
    withNested(async (path) => {
      edit(path, sql);
      const warnings: string[] = [];
      await checkDatabaseInWorker(realSystem, path, defaultLimits, (warning) => warnings.push(warning));
      expect(warnings).toHaveLength(1);
      expect(warnings[0]).toContain("rebuilt from the facts");
      expect(rows(path)).toEqual([3]);
      await check(path);
    }),
  );

  const olderFormat =
    "DROP TABLE audit; DROP TABLE closure; DROP TABLE closure_1; ALTER TABLE state DROP COLUMN plan_stamp; ALTER TABLE state DROP COLUMN version; " +
    "ALTER TABLE relation DROP COLUMN version; DROP TABLE degree; DROP TABLE degree_shape; " +
    "ALTER TABLE state DROP COLUMN degree_stamp; " +
    "DROP TABLE epoch; DROP TABLE answered; DROP TABLE cleared; ALTER TABLE state DROP COLUMN term; " +
    "ALTER TABLE log DROP COLUMN digest; ALTER TABLE log DROP COLUMN total; PRAGMA user_version = 1";

  test("are created in a file of an earlier format by its writer", () =>
    withNested(async (path) => {
      edit(path, olderFormat);
      const writer = new Writer({ environment: "test", synchronous: "FULL", limits: defaultLimits }, realSystem);
      try {
        await writer.open(path);
        expect(rows(path)).toEqual([3]);
      } finally {
        await writer.stop();
      }
    }));

  test("and in a database without a writer", () =>
    withNested(async (path) => {
      edit(path, olderFormat);
      await check(path);
      expect(rows(path)).toEqual([3]);
    }));
});
