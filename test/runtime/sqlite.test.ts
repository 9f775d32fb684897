/**
 * Guarantees of the driver beyond those of Bun: `close` closes the files immediately, and a failed transaction leaves
 * nothing behind.
 */
import { expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "drizzle-orm";
import { SqliteDatabase } from "../../src/runtime/sqlite.ts";

function openFiles(): string[] {
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      return [];
    }
  });
}

test.skipIf(process.platform !== "linux")(
  "a closed database lets go of its file at once, whatever statements still live",
  () => {
    const folder = mkdtempSync(join(tmpdir(), "ostiary-sqlite-"));
    const path = join(folder, "data.db");
    const database = new SqliteDatabase(path, { create: true });
    database.exec("PRAGMA journal_mode = WAL");
    database.exec("PRAGMA synchronous = OFF");
    database.exec("CREATE TABLE t (a INTEGER)");
    const insert = database.prepare("INSERT INTO t VALUES (?)");
    for (let value = 0; value < 600; value++) database.prepare("INSERT INTO t VALUES (?)").run(value);
    insert.run(1);
    expect(database.orm.values<[number]>(sql`SELECT count(*) FROM t`)).toEqual([[601]]);
    expect(openFiles().filter((file) => file.startsWith(path))).not.toEqual([]);
    database.close();
    expect(openFiles().filter((file) => file.startsWith(path))).toEqual([]);
    expect(() => insert.run(2)).toThrow();
    rmSync(folder, { recursive: true });
  },
);

test("a transaction that throws leaves nothing behind", () => {
  const database = new SqliteDatabase(":memory:", { create: true });
  database.exec("CREATE TABLE t (a INTEGER)");
  const attempt = (): void =>
    database.transaction(() => {
      database.prepare("INSERT INTO t VALUES (1)").run();
      throw new Error("no");
    });
  expect(attempt).toThrow("no");
  expect(database.prepare("SELECT a FROM t").values()).toEqual([]);
  database.close();
});
