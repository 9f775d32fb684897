/**
 * Guarantees of the driver beyond those of Bun: `close` closes the files immediately, and a failed transaction leaves
 * nothing behind.
 */
import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
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

test("a missing file is created only on demand, and errors have the code of SQLite", () => {
  const folder = mkdtempSync(join(tmpdir(), "ostiary-sqlite-"));
  const [path, other] = [join(folder, "a?b.db"), join(folder, "other")];
  const codeOf = (body: () => void): unknown => {
    try {
      return body();
    } catch (error) {
      return (error as { readonly code?: unknown }).code;
    }
  };
  expect(codeOf(() => new SqliteDatabase(path).close())).toBe("SQLITE_CANTOPEN");
  expect(codeOf(() => new SqliteDatabase(path, { readonly: true }).close())).toBe("SQLITE_CANTOPEN");
  expect(existsSync(path)).toBe(false);
  const database = new SqliteDatabase(path, { create: true });
  database.exec("CREATE TABLE t (a INTEGER)");
  new SqliteDatabase(path).close();
  const reader = new SqliteDatabase(path, { readonly: true });
  expect(codeOf(() => reader.exec("DELETE FROM t"))).toBe("SQLITE_READONLY");
  database.exec("PRAGMA max_page_count = 3");
  const fill =
    "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 10000) SELECT i FROM n";
  expect(codeOf(() => database.exec(fill))).toBe("SQLITE_FULL");
  database.exec("BEGIN EXCLUSIVE");
  expect(codeOf(() => reader.exec("SELECT * FROM t"))).toBe("SQLITE_BUSY");
  for (const opened of [reader, database]) opened.close();
  writeFileSync(other, "no database".repeat(1000));
  const foreign = new SqliteDatabase(other);
  expect(codeOf(() => foreign.exec("BEGIN IMMEDIATE"))).toBe("SQLITE_NOTADB");
  foreign.close();
  rmSync(folder, { recursive: true });
});
