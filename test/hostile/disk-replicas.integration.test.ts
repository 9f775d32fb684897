/**
 * Full and lost disks of edges and fallbacks: they answer from a sound database, report its age, and catch up when
 * possible.
 */
import * as Bun from "bun";
import { describe, expect, spyOn, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { LocalDatabase } from "../../src/replication/replica/local-database.ts";
import type { Node } from "../../src/replication/node.ts";
import { isReady } from "../../src/replication/node-health.ts";
import { lockDirectory } from "../../src/store/directory/data-directory.ts";
import { must } from "../../src/util/assert.ts";
import { converged, eventually, insert, loadPolicy, mayRead, withCluster } from "../replication/cluster.ts";
import { fillDisk, noMounts, withSmallDisk } from "./node.ts";

const lowRetries = { "advanced.retryDelayMsMax": "200ms", "advanced.pollIntervalMs": "300ms" };

/** Is not ready, but answers. */
async function expectDegraded(node: Node, reason: string, reader: string): Promise<void> {
  await eventually(() => {
    const { ok, degraded, storageOk } = node.health();
    expect({ ok, storageOk }).toEqual({ ok: true, storageOk: false });
    expect(degraded).toContain(reason);
  });
  expect(mayRead(node, reader)).toBe(true);
}

const bulk = (from: number, count: number): string[] =>
  Array.from({ length: count }, (_, index) => `somebody with quite a long name ${from + index}`);

describe.skipIf(noMounts)("a full disk (skipped where nothing may be mounted)", () => {
  test(
    "of an edge: it keeps its database, and catches up when there is space",
    () =>
      withCluster(async (cluster) => {
        const primary = await cluster.primary();
        await loadPolicy(primary.node);
        await insert(primary.node, "ann");
        await withSmallDisk(join(cluster.directory, "disk"), "16m", async ({ path }) => {
          const data = join(path, "edge");
          const edge = await cluster.edge("edge", primary, { data });
          await converged(edge.node, primary.node);
          const free = fillDisk(path);
          for (let count = 0; count < 30 && edge.node.health().storageOk; count++) {
            await insert(primary.node, ...bulk(count * 1000, 1000));
            // Without this, a slow edge could miss more than its disk can hold afterwards.
            await eventually(() => {
              const { offset, storageOk } = edge.node.health();
              expect(!storageOk || offset === primary.node.health().offset).toBe(true);
            });
          }
          await expectDegraded(edge.node, "the disk of this node is full", "ann");
          const { offset } = edge.node.health();
          await insert(primary.node, "bob");
          await Bun.sleep(1000);
          expect(edge.node.health().offset).toBe(offset);
          expect(readdirSync(data).filter((name) => name.includes("damaged") || name.startsWith("incoming"))).toEqual(
            [],
          );
          free();
          await converged(edge.node, primary.node);
          await eventually(() => expect(edge.node.health()).toMatchObject({ storageOk: true, degraded: undefined }));
          expect(readdirSync(data).filter((name) => name.endsWith(".db"))).toEqual(["store-1.db"]);
          await edge.stop();
        });
      }, lowRetries),
    60_000,
  );

  test(
    "of a fallback: a snapshot that does not fit is not downloaded, and its old database stays",
    () =>
      withCluster(async (cluster) => {
        const primary = await cluster.primary();
        await loadPolicy(primary.node);
        await insert(primary.node, "ann");
        await withSmallDisk(join(cluster.directory, "disk"), "8m", async ({ path }) => {
          const data = join(path, "fallback");
          const fallback = await cluster.fallback(primary, { data });
          await eventually(() => expect(mayRead(fallback.node, "ann")).toBe(true));
          fillDisk(path, 2 ** 20);
          for (let count = 0; count < 30; count++) await insert(primary.node, ...bulk(count * 1000, 1000));
          await expectDegraded(fallback.node, "the disk of this node is full", "ann");
          expect(existsSync(join(data, "incoming.zst"))).toBe(false);
          expect(existsSync(join(data, "incoming.db"))).toBe(false);
          // Earlier snapshots that fitted are replaced one by one.
          await eventually(() => expect(readdirSync(data).filter((name) => name.endsWith(".db")).length).toBe(1));
          await fallback.stop();
        });
      }),
    60_000,
  );
});

test(
  "an edge whose database is deleted downloads a new one, and answers meanwhile",
  () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      await insert(primary.node, "ann");
      const edge = await cluster.edge("edge", primary);
      await converged(edge.node, primary.node);
      for (const name of readdirSync(edge.data).filter((file) => file.startsWith("store-1.db")))
        rmSync(join(edge.data, name));
      for (let asked = 0; asked < 20; asked++) {
        expect(mayRead(edge.node, "ann")).toBe(true);
        await Bun.sleep(10);
      }
      await insert(primary.node, "bob");
      await converged(edge.node, primary.node);
      expect(mayRead(edge.node, "bob")).toBe(true);
      await eventually(() => expect(edge.node.health()).toMatchObject({ storageOk: true, degraded: undefined }));
      expect(readdirSync(edge.data).filter((name) => name.endsWith(".db")).length).toBe(1);
    }, lowRetries),
  60_000,
);

test(
  "an edge that cannot open a new database continues with the old one",
  () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      await insert(primary.node, "ann");
      const edge = await cluster.edge("edge", primary);
      await converged(edge.node, primary.node);
      const failing = spyOn(LocalDatabase.prototype, "open").mockImplementation(() => {
        throw Object.assign(new Error("too many open files"), { code: "EMFILE" });
      });
      try {
        const attempts = (): number => failing.mock.calls.length;
        // Again if it was back before the edge wanted a new database.
        for (let moves = 0; attempts() < 2 && moves < 10; moves++) {
          renameSync(edge.data, `${edge.data}-moved`);
          await expectDegraded(edge.node, "deleted, moved or replaced", "ann");
          renameSync(`${edge.data}-moved`, edge.data);
          const isUpToDate = (): boolean => edge.node.health().storageOk && edge.node.health().state === "LIVE";
          await eventually(() => expect(attempts() > 1 || isUpToDate()).toBe(true));
        }
        expect(attempts()).toBeGreaterThan(1);
        await insert(primary.node, "bob");
        await converged(edge.node, primary.node);
        expect(mayRead(edge.node, "bob")).toBe(true);
      } finally {
        failing.mockRestore();
      }
      await eventually(() => expect(edge.node.health()).toMatchObject({ storageOk: true, degraded: undefined }));
      await insert(primary.node, "cid");
      await converged(edge.node, primary.node);
      expect(mayRead(edge.node, "cid")).toBe(true);
    }, lowRetries),
  60_000,
);

test(
  "an edge whose directory is moved reports it, and continues when it is back",
  () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      await insert(primary.node, "ann");
      const edge = await cluster.edge("edge", primary);
      await converged(edge.node, primary.node);
      renameSync(edge.data, `${edge.data}-moved`);
      await expectDegraded(edge.node, "deleted, moved or replaced", "ann");
      await insert(primary.node, "bob");
      renameSync(`${edge.data}-moved`, edge.data);
      await converged(edge.node, primary.node);
      await eventually(() => expect(edge.node.health()).toMatchObject({ storageOk: true, degraded: undefined }));
    }, lowRetries),
  60_000,
);

test(
  "an edge and fallbacks whose directories are removed or emptied make them again, and no other node starts on them",
  () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      await insert(primary.node, "ann");
      const replicas = [
        await cluster.edge("edge", primary),
        await cluster.edge("emptied", primary),
        await cluster.fallback(primary, { refresh: "1s" }),
      ];
      await eventually(() => expect(replicas.map(({ node }) => mayRead(node, "ann"))).toEqual([true, true, true]));
      for (const { data } of replicas) rmSync(data, { recursive: true });
      mkdirSync(must(replicas[1]).data);
      await insert(primary.node, "bob");
      await eventually(() => {
        expect(replicas.every(({ node }) => mayRead(node, "ann"))).toBe(true);
        for (const { node } of replicas) expect([mayRead(node, "bob"), isReady(node.health())]).toEqual([true, true]);
      });
      for (const { data } of replicas) {
        expect(readdirSync(data)).toContain("store-1.db");
        expect(() => lockDirectory(data)).toThrow("another process is using the data directory");
      }
    }, lowRetries),
  60_000,
);
