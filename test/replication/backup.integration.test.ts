/**
 * Backups and restores: a backup is complete and of one state while writes continue, damaged ones are refused, and a
 * restore begins a new epoch.
 */
import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../../scripts/node-process.ts";
import { defaultLimits } from "../../src/config/limits.ts";
import { backUp, backupWriter } from "../../src/replication/backup/backup.ts";
import { restore, type RestoreResult, type RestoreOptions } from "../../src/replication/backup/restore.ts";
import type { Node } from "../../src/replication/node.ts";
import { currentStorePath } from "../../src/store/directory/data-directory.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import { readEpochs } from "../../src/store/log/epochs.ts";
import { openSnapshot, type Snapshot } from "../../src/store/snapshot/snapshot.ts";
import { readState } from "../../src/store/log/store-state.ts";
import { must } from "../../src/util/assert.ts";
import {
  adminKey,
  converged,
  eventually,
  insert,
  loadPolicy,
  mayRead,
  refusal,
  withCluster,
  withDirectory,
  type Running,
} from "./cluster.ts";
import { drawHistory, readContents } from "./random-history.ts";
import { allFacts } from "../engine/store.ts";

const warn = (problem: string): never => {
  throw new Error(problem);
};
const onStep = (): void => {};

function backUpDirectory(directory: string, target: string): Promise<Snapshot> {
  const write = backupWriter(must(currentStorePath(directory)), onStep);
  return backUp({ target, write, limits: defaultLimits, onStep, warn });
}

function restoreTo(file: string, directory: string, options: Partial<RestoreOptions> = {}): Promise<RestoreResult> {
  const usual = {
    ...{ target: undefined, force: false, dryRun: false, knownTerm: 0, limits: defaultLimits, onStep, warn },
    ...{ nodeKeyHashes: undefined, allowUnauthenticated: true },
  };
  return restore({ file, directory, ...usual, ...options });
}

/** A backup of a history drawn from a seed, and the state at each offset. */
async function withBackup(
  body: (file: string, directory: string, portraits: ReturnType<typeof drawHistory>["portraits"]) => Promise<void>,
): Promise<void> {
  await withDirectory(async (directory) => {
    const data = join(directory, "data");
    mkdirSync(data);
    const { store, portraits } = drawHistory(join(data, "store-1.db"), 5, 40);
    store.close();
    const file = join(directory, "history.backup");
    await backUpDirectory(data, file);
    await body(file, directory, portraits);
  });
}

describe("a backup", () => {
  test("of a directory that a node writes to 200 times a second has one consistent state", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      await insert(primary.node, "first");
      let [written, committed] = [0, 0];
      const timer = setInterval(() => void insert(primary.node, `u${written++}`).then(() => committed++), 5);
      const files: string[] = [];
      try {
        for (let round = 0; round < 3; round++) {
          const before = committed;
          await eventually(() => expect(committed).toBeGreaterThan(before + 10));
          files.push(join(cluster.directory, `${round}.backup`));
          await backUpDirectory(primary.data, must(files.at(-1)));
        }
      } finally {
        clearInterval(timer);
      }
      let before = 0;
      for (const [round, file] of files.entries()) {
        const { manifest } = openSnapshot(file);
        expect(manifest).toMatchObject({ kind: "backup", environment: "test", from: { offset: 0, timeMs: 0 } });
        expect(manifest.offset).toBeGreaterThan(before);
        before = manifest.offset;
        const directory = join(cluster.directory, `restored-${round}`);
        const restored = await restoreTo(file, directory);
        const { offset, digest, timeMs, environment } = manifest;
        expect(restored).toMatchObject({ offset, digest, timeMs, environment, undone: {}, replaced: undefined });
        const store = openStore(must(currentStorePath(directory)), { readonly: true });
        // The key, the policy and the first fact come first; each further event is one fact.
        expect(allFacts(store)).toHaveLength(offset - 2);
        expect(store.prepare("SELECT count(*) FROM log").values()).toEqual([[offset + 1]]);
        expect(store.prepare("SELECT count(*) FROM node").values()).toEqual([[0]]);
        store.close();
      }
    }));

  test("can be requested from a running node by an admin", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      await insert(primary.node, "ann");
      const edge = await cluster.edge("edge", primary);
      await converged(edge.node, primary.node);
      for (const { url, data } of [primary, edge]) {
        const response = await fetch(`${url}/api/backup`, { headers: { Authorization: `Bearer ${adminKey}` } });
        expect(response.status).toBe(200);
        expect(response.headers.get("content-disposition")).toBe('attachment; filename="test-3.backup"');
        const target = join(cluster.directory, "node.backup");
        const write = async (path: string): Promise<void> => writeFileSync(path, await response.bytes());
        const { manifest } = await backUp({ target, write, limits: defaultLimits, onStep, warn });
        expect(manifest).toMatchObject({ kind: "backup", offset: 3, digest: primary.node.health().digest ?? "" });
        // No part of it stays with the node.
        await eventually(() => expect(readdirSync(join(data, "backup"))).toEqual([]));
      }
    }));

  test("that is not valid is discarded, and the existing file stays", () =>
    withDirectory(async (directory) => {
      const path = join(directory, "store-1.db");
      const { store } = drawHistory(path, 5, 12);
      const target = join(directory, "history.backup");
      writeFileSync(target, "the one of yesterday");
      for (const damage of ["DELETE FROM log WHERE offset = 5", "UPDATE state SET digest = '0123456789abcdef'"]) {
        store.exec(damage);
        await refusal(backUpDirectory(directory, target));
        expect(readFileSync(target, "utf8")).toBe("the one of yesterday");
        expect(readdirSync(directory).filter((name) => name.startsWith("history"))).toEqual(["history.backup"]);
      }
      store.close();
    }));
});

describe("restoring", () => {
  test(
    "to any offset gives the state at that offset, under a new epoch",
    () =>
      withBackup(async (file, directory, portraits) => {
        for (const offset of [0, 3, 17, 18, 29, 40]) {
          const data = join(directory, `restored-${offset}`);
          const portrait = must(portraits[offset]);
          const { environment, timeMs, digest } = portrait.state;
          const restored = await restoreTo(file, data, { target: { offset } });
          expect(restored).toMatchObject({ environment, offset, timeMs, digest });
          const store = openStore(must(currentStorePath(data)), { readonly: true });
          const state = readState(store);
          expect(state).toMatchObject({ epoch: restored.epoch, offset: offset + 1, digest });
          expect(state.term).toBeGreaterThan(must(portraits.at(-1)).state.term);
          expect(readEpochs(store).at(-1)).toMatchObject({ epoch: restored.epoch, offset, hash: portrait.state.hash });
          const { facts, policies, keys, answered, cleared, answers, closures, indexes } = portrait;
          const wanted = { facts, policies, keys, answered, cleared, answers, closures, indexes };
          expect(readContents(store)).toMatchObject(wanted);
          store.close();
        }
      }),
    120_000,
  );

  test("to a time gives what was committed by then", () =>
    withBackup(async (file, directory, portraits) => {
      const { timeMs } = must(portraits[23]).state;
      const restored = await restoreTo(file, join(directory, "restored"), { target: { timeMs: timeMs + 1 } });
      expect(restored).toMatchObject({ offset: 23, timeMs, digest: must(portraits[23]).state.digest });
      const { madeMs } = openSnapshot(file).manifest;
      const later = restoreTo(file, join(directory, "later"), { target: { timeMs: madeMs + 1 } });
      expect((await refusal(later)).message).toContain("is unknown: the data end at");
    }));

  test("as a dry run leaves nothing behind", () =>
    withBackup(async (file, directory, portraits) => {
      const before = readdirSync(directory).sort();
      const data = join(directory, "restored");
      const tried = await restoreTo(file, data, { target: { offset: 9 }, dryRun: true });
      expect(tried).toMatchObject({ offset: 9, digest: must(portraits[9]).state.digest });
      expect(Object.values(tried.undone).reduce((sum, count) => sum + count, 0)).toBe(31);
      expect(readdirSync(directory).sort()).toEqual(before);
    }));

  test("refuses to replace a node's data unless it is forced, and always for a running node", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      const file = join(cluster.directory, "primary.backup");
      await backUpDirectory(primary.data, file);
      await insert(primary.node, "ann");
      const { epoch } = primary.node.health();
      for (const force of [false, true])
        expect((await refusal(restoreTo(file, primary.data, { force }))).message).toContain("another process is using");
      await primary.stop();
      expect((await refusal(restoreTo(file, primary.data))).message).toContain("use --force to replace");
      const restored = await restoreTo(file, primary.data, { force: true });
      expect(restored).toMatchObject({ offset: 2, replaced: { epoch, offset: 3 } });
      expect(readdirSync(primary.data).filter((name) => name.endsWith(".db"))).toEqual(["store-2.db"]);
      // The term of its start comes right after the term of the restored history.
      const again = await cluster.primary();
      expect(again.node.health()).toMatchObject({ offset: 4 });
      await again.node.waitFor(`${restored.epoch}:3`);
      expect(mayRead(again.node, "ann")).toBe(false);
    }));

  const damages: Record<string, (bytes: Buffer) => Uint8Array> = {
    "cut short": (bytes) => bytes.subarray(0, bytes.length - 9),
    "cut in its manifest": (bytes) => bytes.subarray(0, 100),
    "longer than it was": (bytes) => Buffer.concat([bytes, Buffer.from("x")]),
    "no backup at all": () => Buffer.from("not a backup"),
    empty: () => Buffer.alloc(0),
    "changed in its manifest": (bytes) => flipped(bytes, 60),
    "changed in the middle": (bytes) => flipped(bytes, bytes.length >> 1),
    "changed at its end": (bytes) => flipped(bytes, bytes.length - 1),
  };
  test("refuses a damaged backup, and leaves the directory unchanged", () =>
    withBackup(async (file, directory) => {
      const whole = readFileSync(file);
      const data = join(directory, "restored");
      for (const [name, damage] of Object.entries(damages)) {
        writeFileSync(file, damage(Buffer.from(whole)));
        const { message } = await refusal(restoreTo(file, data));
        expect(`${name}: ${message}`).toMatch(/damaged|not a snapshot/);
        expect(existsSync(data) ? readdirSync(data).filter((entry) => entry !== "lock") : []).toEqual([]);
      }
    }));
});

function flipped(bytes: Buffer, at: number): Buffer {
  bytes[at] = must(bytes[at]) ^ 1;
  return bytes;
}

const quick = {
  "advanced.headIntervalMs": "100ms",
  "advanced.brokerSilenceMsMax": "500ms",
  "advanced.pollIntervalMs": "200ms",
};

describe("the nodes of the abandoned history", () => {
  test(
    "follow the restored primary, lose nothing silently, and know which tokens are invalid",
    () =>
      withCluster(async (cluster) => {
        const port = String(await freePort());
        const primary = await cluster.primary({ port });
        const ahead = await cluster.edge("ahead", primary);
        await loadPolicy(primary.node);
        await insert(primary.node, "ann");
        const behind = await cluster.edge("behind", primary);
        await converged(behind.node, primary.node);
        await behind.stop();
        await insert(primary.node, "bob");
        const { epoch } = primary.node.health();
        await insert(primary.node, "eve");
        await converged(ahead.node, primary.node);
        const file = join(cluster.directory, "primary.backup");
        await backUpDirectory(primary.data, file);
        await insert(primary.node, "max");
        await converged(ahead.node, primary.node);
        await primary.stop();

        await restoreTo(file, join(cluster.directory, "restored"), { target: { offset: 4 } });
        const restored = await cluster.primary({ port, data: join(cluster.directory, "restored") });
        const replicas = [ahead, await cluster.edge("behind", restored)];
        for (const { node } of replicas) await eventually(() => converged(node, restored.node));
        await insert(restored.node, "zoe");
        for (const { node } of replicas) await converged(node, restored.node);
        for (const { node } of [restored, ...replicas])
          expect(["ann", "bob", "eve", "max", "zoe"].map((user) => mayRead(node, user))).toEqual([
            true,
            true,
            false,
            false,
            true,
          ]);

        // The node that was behind continued with its file; the other one took a snapshot and kept the events that only
        // it has.
        expect(currentStorePath(must(replicas[1]).data)).toEndWith("store-1.db");
        expect(unreplicatedIn(must(replicas[1]))).toEqual([]);
        expect(unreplicatedIn(ahead).map(({ offset }) => offset)).toEqual([5, 6]);
        for (const { node } of [restored, ...replicas]) {
          await node.waitFor(`${epoch}:4`);
          expect(await refusal(node.waitFor(`${epoch}:5`))).toMatchObject({ code: "conflict" });
        }
      }, quick),
    120_000,
  );
});

function unreplicatedIn({ data }: Running<Node>): { readonly offset: number }[] {
  const names = readdirSync(data).filter((name) => name.startsWith("unreplicated-"));
  return names.flatMap((name) =>
    readFileSync(join(data, name), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { offset: number }),
  );
}
