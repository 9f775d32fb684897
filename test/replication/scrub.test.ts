/** Flipped bits in the pages of a database are found before a query reads them, and sound pages never count as damaged. */
import { afterAll, describe, expect, test } from "bun:test";
import { appendFileSync, closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SqliteDatabase } from "../../src/runtime/sqlite.ts";
import type { Connection } from "../../src/store/connection/connection.ts";
import { limitWal, truncateWal, walFrameCounter } from "../../src/log/writer/writer-connection.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import { PageChecksums } from "../../src/store/integrity/page-checksums.ts";
import { WalReader } from "../../src/store/integrity/wal-reader.ts";
import { random as randomFrom } from "../../scripts/benchmark/random.ts";
import { flipBit } from "./flip-bit.ts";
import { openFiles } from "./open-files.ts";
import { seedsOf } from "../seeds.ts";

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

/** The damage that one pass finds. */
function problemIn(pages: PageChecksums): string | undefined {
  for (let next = pages.check(1, 50_000); next > 1;) next = pages.check(next, 50_000);
  return pages.problem;
}

describe("checksums of pages", () => {
  test.each(seedsOf(1))(
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
    for (let attempt = 0; attempt < 8; attempt++) {
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
