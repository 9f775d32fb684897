/**
 * Flipped bits in the files of a database in use are found before a query reads them, and sound pages never count as
 * damaged.
 */
import * as Bun from "bun";
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SqliteDatabase } from "../../src/runtime/sqlite.ts";
import type { Connection } from "../../src/store/connection/connection.ts";
import type { Node } from "../../src/replication/node.ts";
import { limitWal, truncateWal, walFrameCounter } from "../../src/replication/log/writer-connection.ts";
import { currentStorePath } from "../../src/store/directory/data-directory.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import { PageChecksums } from "../../src/store/integrity/page-checksums.ts";
import { WalReader } from "../../src/store/integrity/wal-reader.ts";
import { must } from "../../src/util/assert.ts";
import { random as randomFrom } from "../../scripts/benchmark/random.ts";
import { flipBit } from "./flip-bit.ts";
import { adminKey, converged, eventually, insert, loadPolicy, refusal, withCluster, type Running } from "./cluster.ts";

setDefaultTimeout(60_000);

const directory = mkdtempSync(join(tmpdir(), "ostiary-scrub-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const [pageBytes, logHeaderBytes, frameHeaderBytes] = [4096, 32, 24];
const frameBytes = frameHeaderBytes + pageBytes;

let files = 0;

/** A table with an index, in a database whose checkpoints the test makes. */
function openTable(): { readonly store: Connection; readonly path: string } {
  const path = join(directory, `store-${++files}.db`);
  const store = openStore(path);
  store.exec("PRAGMA wal_autocheckpoint = 0");
  // So small that transactions spill into the write-ahead log.
  store.exec("PRAGMA cache_size = 10");
  store.exec("CREATE TABLE item (id INTEGER PRIMARY KEY, text TEXT) STRICT");
  store.exec("CREATE INDEX item_text ON item (text)");
  return { store, path };
}

/** Linux lists the files that this process has open. */
function openFiles(): string[] {
  return readdirSync("/proc/self/fd").flatMap((name) => {
    try {
      return [readlinkSync(`/proc/self/fd/${name}`)];
    } catch {
      return [];
    }
  });
}

/** The damage that one pass finds. */
function problemIn(pages: PageChecksums): string | undefined {
  for (let next = pages.check(1, 50_000); next > 1;) next = pages.check(next, 50_000);
  return pages.problem;
}

describe("checksums of pages", () => {
  test.each([1, 2, 3])(
    "match the pages that SQLite writes, for all kinds of writes, reads and checkpoints (seed %p)",
    (seed) => {
      const random = randomFrom(seed);
      const { store, path } = openTable();
      const pages = new PageChecksums(path, pageBytes, walFrameCounter(store));
      let reader: SqliteDatabase | undefined;
      let checks = 0;
      for (let step = 0; step < 600; step++) {
        const chance = random();
        if (chance < 0.45) {
          const begun = store.begin("immediate");
          const rows = Math.floor(random() * 60);
          for (let row = 0; row < rows; row++) {
            const id = Math.floor(random() * 3000);
            store
              .prepare("INSERT OR REPLACE INTO item VALUES (?1, ?2)")
              .run(id, "x".repeat(Math.floor(random() * 900)));
          }
          // A cache that spills writes pages to the log that are rolled back later.
          if (random() < 0.2) begun.rollback();
          else begun.commit();
          pages.readWal();
        } else if (chance < 0.55) {
          store.exec(`DELETE FROM item WHERE id % 7 = ${step % 7}`);
          pages.readWal();
        } else if (chance < 0.7) limitWal({ store, pages }, 1);
        else if (chance < 0.75) {
          store.exec("PRAGMA busy_timeout = 0");
          truncateWal({ store, pages });
        } else if (chance < 0.85) {
          reader?.close();
          reader = new SqliteDatabase(path, { readonly: true });
          reader.exec("BEGIN");
          reader.prepare("SELECT count(*) FROM item").values();
        } else if (chance < 0.9) {
          reader?.close();
          reader = undefined;
        } else if (chance < 0.93) {
          // As an operator's `sqlite3` may do.
          const other = new SqliteDatabase(path);
          other.exec("PRAGMA busy_timeout = 0");
          other.prepare("PRAGMA wal_checkpoint(PASSIVE)").values();
          other.close();
        } else {
          checks++;
          expect(problemIn(pages)).toBeUndefined();
        }
      }
      reader?.close();
      expect(problemIn(pages)).toBeUndefined();
      expect(checks).toBeGreaterThan(10);
      expect(pages.pages).toBeGreaterThan(25);
      store.close();
      pages.close();
    },
  );

  test("detect every flipped bit of every page, and one that flips back", () => {
    const { store, path } = openTable();
    const pages = new PageChecksums(path, pageBytes, walFrameCounter(store));
    const insertItem = store.prepare("INSERT INTO item VALUES (?1, ?2)");
    store.transaction(() => {
      for (let id = 0; id < 3000; id++) insertItem.run(id, `text ${id * 7919}`);
    });
    store.exec("DELETE FROM item WHERE id > 2000"); // so that there are free pages
    limitWal({ store, pages }, 1);
    expect(problemIn(pages)).toBeUndefined();
    const random = randomFrom(7);
    const { size } = statSync(path);
    for (let index = 0; index < 300; index++) {
      const [position, bit] = [Math.floor(random() * size), Math.floor(random() * 8)];
      flipBit(path, position, bit);
      expect(problemIn(pages)).toContain(`page ${Math.floor(position / pageBytes) + 1} of`);
      expect(pages.checkDamaged()).toBeDefined();
      flipBit(path, position, bit);
      expect(pages.checkDamaged()).toBeUndefined();
      expect(problemIn(pages)).toBeUndefined();
    }
    store.close();
    pages.close();
  });

  test("detect a flipped bit in the write-ahead log before it gets into the file", () => {
    const random = randomFrom(8);
    for (let attempt = 0; attempt < 20; attempt++) {
      const { store, path } = openTable();
      const pages = new PageChecksums(path, pageBytes, walFrameCounter(store));
      truncateWal({ store, pages });
      const insertItem = store.prepare("INSERT INTO item VALUES (?1, ?2)");
      for (let id = 0; id < 100; id++) insertItem.run(id, `text ${id * 7919}`);
      pages.readWal();
      // In the last frame of a page, since no other is copied by a checkpoint.
      const frames = Math.floor((statSync(`${path}-wal`).size - logHeaderBytes) / frameBytes);
      const position = logHeaderBytes + frameBytes * (frames - 1) + frameHeaderBytes;
      flipBit(`${path}-wal`, position + Math.floor(random() * pageBytes), Math.floor(random() * 8));
      limitWal({ store, pages }, 1);
      expect(problemIn(pages)).toContain("is not what was written to it");
      store.close();
      pages.close();
    }
  });

  test("ignore frames of a failed commit, although they look committed", () => {
    const { store, path } = openTable();
    const pages = new PageChecksums(path, pageBytes, walFrameCounter(store));
    truncateWal({ store, pages });
    const insertItem = store.prepare("INSERT OR REPLACE INTO item VALUES (?1, ?2)");
    for (let id = 0; id < 50; id++) insertItem.run(id, `text ${id}`);
    limitWal({ store, pages });
    // What a failed sync leaves: complete frames of this log, with a commit mark, after those that SQLite counts.
    const log = `${path}-wal`;
    const bytes = readFileSync(log);
    const last = Buffer.from(bytes.subarray(bytes.length - frameBytes));
    for (let ghost = 0; ghost < 40; ghost++) {
      last.fill(ghost, frameHeaderBytes);
      last.writeUInt32BE(2 + (ghost % 5), 0);
      appendFileSync(log, last);
    }
    const reader = new SqliteDatabase(path, { readonly: true });
    reader.exec("BEGIN");
    reader.prepare("SELECT count(*) FROM item").values();
    for (let id = 0; id < 8; id++) {
      insertItem.run(id, `other ${id}`);
      limitWal({ store, pages }, 1);
      expect(problemIn(pages)).toBeUndefined();
    }
    reader.close();
    for (let id = 0; id < 60; id++) {
      insertItem.run(id, `third ${id}`);
      limitWal({ store, pages }, 5);
    }
    truncateWal({ store, pages });
    expect(problemIn(pages)).toBeUndefined();
    store.close();
    pages.close();
  });

  test("continue to read a deleted database, and close it at the end", () => {
    const { store, path } = openTable();
    const pages = new PageChecksums(path, pageBytes, walFrameCounter(store));
    const insertItem = store.prepare("INSERT OR REPLACE INTO item VALUES (?1, ?2)");
    for (let id = 0; id < 50; id++) insertItem.run(id, `text ${id}`);
    truncateWal({ store, pages });
    expect(problemIn(pages)).toBeUndefined();
    for (const file of [path, `${path}-wal`, `${path}-shm`]) rmSync(file);
    const others = [];
    for (let id = 0; id < 10; id++) {
      insertItem.run(id, `other ${id}`);
      pages.readWal();
      others.push(openSync(import.meta.filename, "r"));
    }
    expect(problemIn(pages)).toBeUndefined();
    others.forEach(closeSync);
    pages.close();
    store.close();
    const another = openTable();
    new PageChecksums(another.path, pageBytes, walFrameCounter(another.store)).readWal();
    if (process.platform === "linux") expect(openFiles().filter((file) => file.startsWith(path))).toEqual([]);
    another.store.close();
  });

  test("read only what was committed while a reader keeps it in the log", () => {
    const { store, path } = openTable();
    const pages = new PageChecksums(path, pageBytes, walFrameCounter(store));
    truncateWal({ store, pages });
    const reader = new SqliteDatabase(path, { readonly: true });
    reader.exec("BEGIN");
    reader.prepare("SELECT count(*) FROM item").values();
    let read = 0;
    const { frames } = WalReader.prototype;
    WalReader.prototype.frames = function* (first, end) {
      read += end - first;
      yield* frames.call(this, first, end);
    };
    try {
      const insertItem = store.prepare("INSERT OR REPLACE INTO item VALUES (?1, ?2)");
      for (let id = 0; id < 400; id++) {
        insertItem.run(id, "x".repeat(3000));
        limitWal({ store, pages }, 100);
      }
    } finally {
      WalReader.prototype.frames = frames;
    }
    expect(pages.uncheckpointed).toBeGreaterThan(400);
    expect(read).toBe(pages.uncheckpointed);
    reader.close();
    store.close();
    pages.close();
  });
});

/**
 * The root pages of the tables with this name, the last page of the deepest level first, which holds most of their
 * data.
 */
function pagesOf(path: string, name: RegExp): number[] {
  const store = new SqliteDatabase(path, { readonly: true });
  const pages = store
    .prepare("SELECT pageno, name FROM dbstat WHERE pagetype = 'leaf' ORDER BY pageno DESC")
    .values()
    .filter(([, table]) => name.test(String(table)))
    .map(([page]) => Number(page));
  store.close();
  return pages;
}

async function statusOf({ url }: Running<Node>): Promise<number> {
  const body = { actor_type: "User", actor_id: "ann", action: "read", resource_type: "Repo", resource_id: "main" };
  const headers = { Authorization: `Bearer ${adminKey}`, "Content-Type": "application/json" };
  return (await fetch(`${url}/api/authorize`, { method: "POST", headers, body: JSON.stringify(body) })).status;
}

const many = Array.from({ length: 3000 }, (_, index) => `user-${index}`);

describe("a flipped bit in the database in use, where no query reads it,", () => {
  test("keeps a primary from answering, until the page is right again", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      await insert(primary.node, "ann", ...many);
      await primary.stop();
      // After a start, the content of the log is in the file.
      const again = await cluster.primary();
      const path = must(currentStorePath(again.data));
      const [page] = pagesOf(path, /^fact_/);
      // The first pass records the checksums.
      await Bun.sleep(2500);
      expect(await statusOf(again)).toBe(200);
      flipBit(path, (must(page) - 1) * pageBytes + 4000, 3);
      await eventually(async () => expect(await statusOf(again)).toBe(503), 5000);
      expect(again.node.health().ok).toBe(false);
      expect(await refusal(insert(again.node, "bob"))).toMatchObject({ code: "not_ready" });
      flipBit(path, (must(page) - 1) * pageBytes + 4000, 3);
      await eventually(async () => expect(await statusOf(again)).toBe(200), 10_000);
    }));

  test.each([["fact_"], ["symbol"], ["log"], ["free"]])("makes an edge take a fresh copy (%s)", (table) =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      await insert(primary.node, "ann", ...many);
      const edge = await cluster.edge("edge", primary);
      await converged(edge.node, primary.node);
      const path = must(currentStorePath(edge.data));
      const page = table === "free" ? statSync(path).size / pageBytes : must(pagesOf(path, new RegExp(`^${table}`))[0]);
      await Bun.sleep(2500);
      flipBit(path, (page - 1) * pageBytes + 4000, 3);
      await eventually(async () => {
        expect(currentStorePath(edge.data)).not.toBe(path);
        expect(await statusOf(edge)).toBe(200);
      }, 10_000);
      await converged(edge.node, primary.node);
    }),
  );

  test("makes a fallback fetch a fresh snapshot", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      await insert(primary.node, "ann", ...many);
      const fallback = await cluster.fallback(primary);
      await eventually(async () => expect(await statusOf(fallback)).toBe(200));
      const path = must(currentStorePath(fallback.data));
      await Bun.sleep(2500);
      flipBit(path, (must(pagesOf(path, /^fact_/)[0]) - 1) * pageBytes + 4000, 3);
      await eventually(async () => {
        expect(currentStorePath(fallback.data)).not.toBe(path);
        expect(await statusOf(fallback)).toBe(200);
      }, 10_000);
    }));

  test.skipIf(process.platform !== "linux")("is looked for by a fallback in its current database only", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      const fallback = await cluster.fallback(primary);
      for (let refresh = 0; refresh < 3; refresh++) {
        await insert(primary.node, `user-${refresh}`);
        await converged(fallback.node, primary.node);
      }
      const first = join(fallback.data, "store-1.db");
      await eventually(() => expect(existsSync(first)).toBe(false), 40_000);
      const deleted = (): string[] =>
        openFiles().filter((path) => path.startsWith(fallback.data) && path.endsWith(".db (deleted)"));
      await eventually(() => expect(deleted()).toEqual([]));
    }),
  );
});
