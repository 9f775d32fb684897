/** The list of stored backups, in a directory to which others can write as well. */
import { expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { listStoredBackups } from "../../src/replication/backup/stored-backups.ts";
import { hashKey } from "../../src/store/keys/api-keys.ts";
import { encodeHeader, type SnapshotManifest } from "../../src/store/snapshot/snapshot-header.ts";
import { nodeKey, withDirectory } from "./cluster.ts";

const nodeKeyHash = hashKey(nodeKey);
const lastMs = 8.64e15;

function headerOf(change: Partial<SnapshotManifest>): Uint8Array {
  const [hash, sha256] = ["0123456789abcdef", "0".repeat(64)];
  const position = { epoch: hash, offset: 5, timeMs: 1000, madeMs: 2000, hash, digest: hash };
  const file = { kind: "backup", schema: 1, environment: "test", sha256, bytes: 1, unpackedBytes: 1 } as const;
  return encodeHeader({ ...file, ...position, ...change }, { nodeKeyHash });
}

test("files that are no backups, and headers with times that are no dates, do not spoil the list", () =>
  withDirectory(async (directory) => {
    const write = (name: string, bytes: Uint8Array): void => writeFileSync(join(directory, name), bytes);
    write("good.backup", headerOf({}));
    write("last.backup", headerOf({ madeMs: lastMs, timeMs: lastMs, from: { offset: 1, timeMs: lastMs } }));
    write("made.backup", headerOf({ madeMs: lastMs + 1 }));
    write("time.backup", headerOf({ timeMs: Number.MAX_SAFE_INTEGER }));
    write("from.backup", headerOf({ from: { offset: 1, timeMs: lastMs + 1 } }));
    write("other.backup", headerOf({ environment: "other" }));
    write("snapshot.backup", headerOf({ kind: "snapshot" }));
    write("empty.backup", new Uint8Array());
    write("endless.backup", Buffer.from([0x50, 0x2a, 0x4d, 0x18, 0xff, 0xff, 0xff, 0xff]));
    // An open of a pipe waits for a writer.
    execFileSync("mkfifo", [join(directory, "pipe.backup")]);
    symlinkSync(join(directory, "good.backup"), join(directory, "link.backup"));
    symlinkSync("/dev/zero", join(directory, "zero.backup"));
    mkdirSync(join(directory, "folder.backup"));
    const { backups, isCut } = await listStoredBackups({
      directory,
      environment: "test",
      nodeKeyHashes: [nodeKeyHash],
    });
    expect(isCut).toBe(false);
    expect(backups.map(({ name, authenticity }) => [name, authenticity])).toEqual([
      ["last.backup", "verified"],
      ["good.backup", "verified"],
    ]);
  }));

test("directories with one file for each environment are listed, and files of other environments hide none", () =>
  withDirectory(async (directory) => {
    const write = (name: string, environment: string, madeMs: number): void =>
      writeFileSync(join(directory, name), headerOf({ environment, madeMs }));
    for (const folder of ["monday", "tuesday", "wednesday.unfinished"]) mkdirSync(join(directory, folder));
    for (const [index, folder] of ["monday", "tuesday", "wednesday.unfinished"].entries())
      for (const id of ["test", "web"]) write(join(folder, `${id}.backup`), id, 10 * (index + 1));
    mkdirSync(join(directory, "pipes"));
    execFileSync("mkfifo", [join(directory, "pipes", "test.backup")]);
    for (let index = 0; index < 600; index++) write(`web-${index}.backup`, "web", 1);
    write("a-test.backup", "test", 5);
    const list = (environment: string | undefined) =>
      listStoredBackups({ directory, environment, nodeKeyHashes: [nodeKeyHash] });
    expect((await list("test")).backups.map(({ name }) => name)).toEqual([
      ...["tuesday/test.backup", "monday/test.backup", "a-test.backup"],
    ]);
    const { backups } = await list(undefined);
    expect(new Set(backups.map(({ manifest }) => manifest.environment)).has("web")).toBe(true);
  }));

test("of many files those with the last names are examined, and the list says so", () =>
  withDirectory(async (directory) => {
    for (let index = 0; index < 600; index++)
      writeFileSync(join(directory, `${String(index).padStart(4, "0")}.backup`), headerOf({ madeMs: index }));
    const { backups, isCut } = await listStoredBackups({
      directory,
      environment: "test",
      nodeKeyHashes: [nodeKeyHash],
    });
    expect(isCut).toBe(true);
    expect([backups.length, backups[0]?.name, backups.at(-1)?.name]).toEqual([500, "0599.backup", "0100.backup"]);
  }));
