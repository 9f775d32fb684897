/**
 * Disks that fill up, fail or disappear under a running node: it reports that, answers queries, loses no data, and
 * recovers by itself.
 */
import * as Bun from "bun";
import { describe, expect, test } from "bun:test";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { Agent } from "node:http";
import { join } from "node:path";
import { projectRoot } from "../../scripts/built-binary.ts";
import type { NodeProcess } from "../../scripts/node-process.ts";
import { programPath } from "../e2e/program.ts";
import { adminKey, eventually, nodeKey } from "../replication/cluster.ts";
import {
  admit,
  ask,
  batchOver,
  dismiss,
  failingDisk,
  fillDisk,
  inDirectory,
  loadPolicy,
  mayRead,
  metric,
  noMounts,
  withSmallDisk,
} from "./node.ts";

/** The node refuses writes because of its disk; everything else continues. */
async function expectDegraded(node: NodeProcess, reason: string, readers: readonly string[]): Promise<void> {
  for (const id of readers) expect(await mayRead(node, id)).toBe(true);
  expect((await ask(node, "GET", "/healthcheck")).status).toBe(200);
  await eventually(async () => {
    const { status, text } = await ask(node, "GET", "/readyz");
    expect(status).toBe(503);
    expect((JSON.parse(text) as { readonly degraded: string }).degraded).toContain(reason);
    expect(text).not.toContain(node.directory);
  });
  expect(await metric(node, "ostiary_storage_ok")).toBe(0);
  expect(node.running).toBe(true);
}

async function expectSound(node: NodeProcess): Promise<void> {
  await eventually(async () => expect((await ask(node, "GET", "/readyz")).status).toBe(200));
  expect(await metric(node, "ostiary_storage_ok")).toBe(1);
}

async function expectRefused(node: NodeProcess, id: string, ...reasons: string[]): Promise<void> {
  const { status, text, retryAfter } = await admit(node, id);
  expect(status).toBe(503);
  for (const reason of reasons) expect(text).toContain(reason);
  expect(text).not.toContain(node.directory);
  expect(Number(retryAfter)).toBeGreaterThan(0);
}

async function startLoaded(node: NodeProcess): Promise<void> {
  await node.start();
  expect((await loadPolicy(node)).status).toBe(200);
  expect((await admit(node, "ann")).status).toBe(200);
}

const times = (text: string, part: string): number => text.split(part).length - 1;

describe.skipIf(noMounts)("a full disk (skipped where nothing may be mounted)", () => {
  test(
    "refuses writes without losing data until there is space again",
    () =>
      inDirectory(async ({ directory, node: nodeIn }) =>
        withSmallDisk(join(directory, "disk"), "24m", async ({ path }) => {
          const node = await nodeIn({
            data: join(path, "data"),
            environment: { OSTIARY_DISK_RESERVE_BYTES: "0" },
          });
          await startLoaded(node);
          const free = fillDisk(path);
          // Writes that fit into the log are accepted; all answers have to be right.
          const admitted: string[] = ["ann"];
          let refused = false;
          for (let count = 0; count < 400 && !refused; count++) {
            const ids = Array.from({ length: 200 }, (_, index) => `u${count}-${index}`);
            const inserts = ids.map((id) => ({
              predicate: "has_role",
              args: [
                { type: "User", id },
                { type: "String", id: "reader" },
                { type: "Repo", id: "main" },
              ],
            }));
            const { status, text } = await ask(node, "POST", "/api/batch", [{ inserts }]);
            refused = status === 503;
            if (refused) expect(text).toContain("is full, nothing was written: free space");
            else admitted.push(ids[0] ?? "");
          }
          expect(refused).toBe(true);
          await expectRefused(node, "bob", "is full, nothing was written: free space");
          await expectDegraded(node, "the disk of this node is full", admitted.slice(0, 20));
          expect(await mayRead(node, "bob")).toBe(false);
          expect(await metric(node, 'ostiary_storage_failures_total{reason="full"}')).toBeGreaterThan(0);
          expect(times(node.output, "the database cannot be written")).toBe(1);
          expect(node.output).toContain(`the disk that holds \`${join(path, "data")}`);
          free();
          await expectSound(node);
          expect((await admit(node, "cid")).status).toBe(200);
          await node.kill();
          await node.start();
          for (const id of [...admitted, "cid"]) expect(await mayRead(node, id)).toBe(true);
          expect(await mayRead(node, "bob")).toBe(false);
        }),
      ),
    60_000,
  );

  test(
    "keeps the reserve for deletes and the removal of keys",
    () =>
      inDirectory(async ({ directory, node: nodeIn }) =>
        withSmallDisk(join(directory, "disk"), "40m", async ({ path }) => {
          const node = await nodeIn({
            data: join(path, "data"),
            environment: { OSTIARY_DISK_RESERVE_BYTES: "8MiB" },
          });
          await startLoaded(node);
          expect((await admit(node, "dan")).status).toBe(200);
          const made = await ask(node, "POST", "/api/keys", { role: "write", name: "lost" });
          const { id } = JSON.parse(made.text) as { readonly id: string };
          fillDisk(path, 6 * 2 ** 20);
          await Bun.sleep(150);
          await expectRefused(node, "bob", "less free space than the reserve", "nothing was written");
          await expectDegraded(node, "reserve", ["ann"]);
          expect((await dismiss(node, "ann")).status).toBe(200);
          expect(await mayRead(node, "ann")).toBe(false);
          // And 3.
          writeFileSync(join(path, "filler-2"), new Uint8Array(3 * 2 ** 20));
          await Bun.sleep(150);
          expect((await dismiss(node, "dan")).status).toBe(503);
          // Nothing would be written.
          expect((await dismiss(node, "nobody")).status).toBe(200);
          expect((await ask(node, "DELETE", `/api/keys/${id}`)).status).toBe(200);
          rmSync(join(path, "filler"));
          await expectSound(node);
          expect((await admit(node, "bob")).status).toBe(200);
        }),
      ),
    60_000,
  );

  test(
    "is named at the start, like a read-only file system",
    () =>
      inDirectory(async ({ directory, node: nodeIn }) =>
        withSmallDisk(join(directory, "disk"), "8m", async (disk) => {
          const data = join(disk.path, "data");
          const node = await nodeIn({ data });
          await startLoaded(node);
          await node.stop();
          const free = fillDisk(disk.path);
          const full = await endOf(node);
          expect(full).toContain(`the disk that holds \`${data}\` is full: free space`);
          expect(full).not.toContain("damaged");
          free();
          disk.remount("ro");
          const readOnly = await endOf(node);
          expect(readOnly).toContain(`the file system of \`${data}\` is read-only: mount it for writing`);
          expect(readOnly).not.toContain("damaged");
          disk.remount("rw");
          await node.start();
          expect(await mayRead(node, "ann")).toBe(true);
        }),
      ),
    60_000,
  );
});

/** The message of a start that fails. */
async function endOf(node: NodeProcess): Promise<string> {
  const before = node.output.length;
  node.launch();
  await eventually(() => {
    expect(node.running).toBe(false);
    expect(node.output.length).toBeGreaterThan(before);
  });
  return node.output.slice(before);
}

const failures = ({ output }: NodeProcess): number => times(output, "the database cannot be written");
const recoveries = ({ output }: NodeProcess): number => times(output, "the database can be written again");

const faults = [
  ["pwrite EIO", "input/output errors", ""],
  ["fsync EIO", "input/output errors", "it is unknown whether the write was stored"],
  ["pwrite EROFS", "input/output errors", ""],
  ["pwrite ENOSPC", "is full", "nothing was written"],
] as const;

describe("a disk that fails", () => {
  test(
    "refuses writes, loses no acknowledged one, and recovers every time",
    () =>
      inDirectory(async ({ directory, node: nodeIn }) => {
        const data = join(directory, "data");
        const { environment, fail } = failingDisk(directory, data);
        const node = await nodeIn({ data, environment });
        await startLoaded(node);
        for (const [index, [fault, reason, outcome]] of faults.entries()) {
          let before = 0;
          // A checkpoint may meet the fault before the write does. Then the outcome of the write is certain.
          await eventually(async () => {
            fail("");
            await expectSound(node);
            await eventually(() => expect(failures(node)).toBe(recoveries(node)));
            before = failures(node);
            fail(fault);
            await expectRefused(node, `refused-${index}`, reason, outcome);
          });
          await expectDegraded(node, reason, ["ann"]);
          // A line of the log may arrive later than a response.
          await eventually(() => expect(failures(node)).toBe(before + 1));
          await expectRefused(node, `refused-${index}`, reason);
          expect(failures(node)).toBe(before + 1);
          fail("");
          // Immediately, with or without a timer in between.
          await eventually(async () => expect((await admit(node, `admitted-${index}`)).status).toBe(200));
          await expectSound(node);
        }
        fail("fsync EIO");
        await expectRefused(node, "last", "input/output errors");
        fail("");
        await eventually(async () => expect((await admit(node, "eve")).status).toBe(200));
        await node.kill();
        await node.start();
        for (const id of ["ann", "eve", ...faults.keys().map((index) => `admitted-${index}`)])
          expect(await mayRead(node, id)).toBe(true);
        for (const id of ["last", ...faults.keys().map((index) => `refused-${index}`)])
          expect(await mayRead(node, id)).toBe(false);
      }),
    60_000,
  );
});

describe("files that are removed from a primary", () => {
  test(
    "a moved data directory stops its writes until it is back",
    () =>
      inDirectory(async ({ directory, node: nodeIn }) => {
        const node = await nodeIn({ data: join(directory, "data") });
        await startLoaded(node);
        renameSync(join(directory, "data"), join(directory, "moved"));
        await expectRefused(node, "bob", "deleted, moved or replaced", "nothing was written");
        await expectDegraded(node, "deleted, moved or replaced", ["ann"]);
        renameSync(join(directory, "moved"), join(directory, "data"));
        await expectSound(node);
        expect((await admit(node, "bob")).status).toBe(200);
        await node.kill();
        await node.start();
        for (const id of ["ann", "bob"]) expect(await mayRead(node, id)).toBe(true);
      }),
    60_000,
  );

  test.each([
    ["the log alone", (data: string) => rmSync(join(data, "store-1.db-wal"))],
    ["the whole directory", (data: string) => rmSync(data, { recursive: true })],
    ["the database, for another one", replaceStore],
  ])(
    "%s: no write is acknowledged any more",
    (_, remove) =>
      inDirectory(async ({ directory, node: nodeIn }) => {
        const data = join(directory, "data");
        const node = await nodeIn({ data });
        await startLoaded(node);
        remove(data);
        await expectRefused(node, "bob", "deleted, moved or replaced", "nothing was written");
        await expectDegraded(node, "deleted, moved or replaced", ["ann"]);
        expect(node.output).toContain("ostiary backup --url");
      }),
    60_000,
  );

  test(
    "and a backup of the open database has all acknowledged writes",
    () =>
      inDirectory(async ({ directory, node: nodeIn }) => {
        const data = join(directory, "data");
        const node = await nodeIn({ data });
        await startLoaded(node);
        for (const name of ["store-1.db", "store-1.db-wal", "store-1.db-shm"]) rmSync(join(data, name));
        await expectRefused(node, "bob", "deleted, moved or replaced");
        const backup = join(directory, "saved.backup");
        expect(await command(["backup", "--url", node.url, "--out", backup])).toMatchObject({ status: 0 });
        await node.kill();
        const restored = join(directory, "restored");
        expect(await command(["restore", backup, "--data", restored, "--node-key", nodeKey])).toMatchObject({
          status: 0,
        });
        const again = await nodeIn({ data: restored });
        await again.start();
        expect(await mayRead(again, "ann")).toBe(true);
        expect(await mayRead(again, "bob")).toBe(false);
        expect((await admit(again, "cid")).status).toBe(200);
      }),
    60_000,
  );
});

/** Copies that replace originals have other inodes. */
function replaceStore(data: string): void {
  for (const name of readdirSync(data).filter((file) => file.startsWith("store-1.db"))) {
    renameSync(join(data, name), join(data, `${name}.old`));
    copyFileSync(join(data, `${name}.old`), join(data, name));
  }
}

async function command(words: readonly string[]): Promise<{ readonly status: number; readonly text: string }> {
  const child = Bun.spawn([process.execPath, join(projectRoot, "src", "main.ts"), ...words], {
    env: { PATH: process.env["PATH"] ?? "", OSO_AUTH: adminKey },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [status, ...texts] = await Promise.all([child.exited, child.stdout.text(), child.stderr.text()]);
  return { status, text: texts.join("") };
}

describe("the files of a node besides its database", () => {
  test(
    "are written again: a position that cannot be stored is reported, and ends nothing",
    () =>
      inDirectory(async ({ node: nodeIn }) => {
        const node = await nodeIn();
        await startLoaded(node);
        mkdirSync(join(node.directory, "position.new"));
        expect((await admit(node, "bob")).status).toBe(200);
        await expectDegraded(node, "the position cannot be recorded", ["ann", "bob"]);
        expect((await admit(node, "cid")).status).toBe(200);
        expect(times(node.output, "the position cannot be recorded")).toBe(1);
        rmSync(join(node.directory, "position.new"), { recursive: true });
        await expectSound(node);
        expect(await node.stop()).toBe(0);
      }),
    60_000,
  );

  test(
    "its position is stored if the process has no descriptor left",
    () =>
      inDirectory(async ({ node: nodeIn }) => {
        const node = await nodeIn();
        await startLoaded(node);
        const agent = new Agent({ keepAlive: true, maxSockets: 1 });
        await batchOver(agent, node, "bob");
        await Bun.sleep(1100);
        const before = readFileSync(join(node.directory, "position"), "utf8");
        limitDescriptors(node, openDescriptors(node));
        expect(await batchOver(agent, node, "cid")).toBe(200);
        await eventually(() => expect(readFileSync(join(node.directory, "position"), "utf8")).not.toBe(before));
        limitDescriptors(node, 4096);
        agent.destroy();
        await expectSound(node);
        expect(await mayRead(node, "cid")).toBe(true);
      }),
    60_000,
  );

  test(
    "its log output is lost if it cannot be written, and nothing else",
    () =>
      inDirectory(async ({ directory, node: nodeIn }) => {
        const through = ["sh", "-c", 'exec "$@" 2>/dev/full', "sh"];
        const node = await nodeIn({
          data: join(directory, "data"),
          through,
          environment: { OSTIARY_LOG_LEVEL: "debug" },
        });
        await startLoaded(node);
        renameSync(join(directory, "data"), join(directory, "moved"));
        await expectRefused(node, "bob", "deleted, moved or replaced");
        renameSync(join(directory, "moved"), join(directory, "data"));
        await expectSound(node);
        expect(await metric(node, "ostiary_log_lines_lost_total")).toBeGreaterThan(1);
      }),
    60_000,
  );
});

const openDescriptors = (node: NodeProcess): number => Math.max(...readdirSync(`/proc/${node.pid}/fd`).map(Number)) + 1;

function limitDescriptors(node: NodeProcess, most: number): void {
  // Free numbers below the limit would still be used.
  Bun.spawnSync([programPath("prlimit"), `--pid=${node.pid}`, `--nofile=${most}:65536`]);
}
