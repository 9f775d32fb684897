/** Directories are rolled back, and files are truncated. */
import { expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { random } from "../../scripts/benchmark/random.ts";
import { DirectorySnapshots, truncateFile } from "./directory-snapshots.ts";

async function withFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "ostiary-copies-"));
  try {
    await body(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test("a directory is rolled back with all its files", () =>
  withFolder(async (folder) => {
    const data = join(folder, "data");
    mkdirSync(join(data, "inner"), { recursive: true });
    writeFileSync(join(data, "inner", "kept"), "old");
    const copies = new DirectorySnapshots(folder);
    await copies.keep("node", data);
    writeFileSync(join(data, "inner", "kept"), "new");
    writeFileSync(join(data, "later"), "new");
    // There is one that is recent enough.
    await copies.keep("node", data);
    expect(await copies.putBack("node", data)).toBeLessThan(60_000);
    expect(readFileSync(join(data, "inner", "kept"), "utf8")).toBe("old");
    expect(existsSync(join(data, "later"))).toBe(false);
  }));

test("a directory without a copy cannot be rolled back", () =>
  withFolder(async (folder) => {
    const failure = await new DirectorySnapshots(folder).putBack("node", folder).catch(String);
    expect(failure).toContain("there is no copy of the data of node");
  }));

test("only a file of the database is truncated", () =>
  withFolder(async (folder) => {
    writeFileSync(join(folder, "store-1.db"), Buffer.alloc(50_000));
    writeFileSync(join(folder, "store-1.db-wal"), "");
    writeFileSync(join(folder, "position"), Buffer.alloc(100));
    expect(truncateFile(folder, random(1))).toMatch(/^store-1\.db without its last \d+ of 50000 bytes$/);
    expect(statSync(join(folder, "store-1.db")).size).toBeLessThan(50_000);
    expect(statSync(join(folder, "position")).size).toBe(100);
    return Promise.resolve();
  }));
