/**
 * Edges and fallbacks with a snapshot file: they answer from it before any node can be reached, and continue as usual.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { PrimaryNode } from "../../src/roles/primary.ts";
import { buildSnapshotInWorker } from "../../src/replication/snapshots/snapshot-jobs.ts";
import { realSystem } from "../../src/replication/system.ts";
import { encodeHeader } from "../../src/store/snapshot/snapshot-header.ts";
import { hashKey } from "../../src/store/keys/api-keys.ts";
import { openSnapshot } from "../../src/store/snapshot/snapshot.ts";
import { nextFailoverTerm } from "../../src/store/log/terms.ts";
import { must } from "../../src/util/assert.ts";
import {
  type Cluster,
  converged,
  eventually,
  insert,
  loadPolicy,
  mayRead,
  nodeKey,
  refusal,
  type Running,
  positionOf,
  unset,
  withCluster,
} from "./cluster.ts";

// Each snapshot starts threads, which is slow on a busy machine.
setDefaultTimeout(120_000);

const nodeKeyHash = hashKey(nodeKey);

/** A port without a listener. */
const nowhere = { url: "http://127.0.0.1:9" };

async function filledPrimary(cluster: Cluster): Promise<Running<PrimaryNode>> {
  const primary = await cluster.primary();
  await loadPolicy(primary.node);
  await insert(primary.node, "ann");
  return primary;
}

async function snapshotOf(primary: { readonly data: string }, directory: string): Promise<string> {
  return (await buildSnapshotInWorker(realSystem, join(primary.data, "store-1.db"), directory, nodeKeyHash)).path;
}

test("a fallback starts offline from a file, reports its age, and follows the primary once that is reachable", () =>
  withCluster(async (cluster) => {
    const primary = await filledPrimary(cluster);
    const file = await snapshotOf(primary, cluster.directory);
    const { madeMs } = openSnapshot(file).manifest;
    const first = await cluster.fallback(nowhere, { import: file });
    expect(first.node.health()).toMatchObject({ ok: true, state: "SNAPSHOT", ...positionOf(primary.node) });
    expect(mayRead(first.node, "ann")).toBe(true);
    const age = must(first.node.health().ageMs);
    expect(age).toBeGreaterThanOrEqual(0);
    expect(age).toBeLessThanOrEqual(Date.now() - madeMs);
    await first.stop();
    await insert(primary.node, "bob");
    const second = await cluster.fallback(primary, { import: file });
    await converged(second.node, primary.node);
    expect(mayRead(second.node, "bob")).toBe(true);
    await second.stop();
    // Its own database is further on by now, and stays.
    const third = await cluster.fallback(nowhere, { import: file });
    expect(mayRead(third.node, "bob")).toBe(true);
  }));

test("an edge does so too, and needs no snapshot of the primary afterwards", () =>
  withCluster(async (cluster) => {
    const primary = await filledPrimary(cluster);
    const file = await snapshotOf(primary, cluster.directory);
    await insert(primary.node, "bob");
    const edge = await cluster.edge("edge-1", primary, { import: file });
    expect(mayRead(edge.node, "ann")).toBe(true);
    await converged(edge.node, primary.node);
    expect(readdirSync(primary.data)).not.toContain("snapshots");
  }));

test("a file replaces an older database, but not one of another epoch", () =>
  withCluster(async (cluster) => {
    const primary = await filledPrimary(cluster);
    const old = await snapshotOf(primary, cluster.directory);
    await insert(primary.node, "bob");
    const newer = await snapshotOf(primary, cluster.directory);
    await (await cluster.fallback(nowhere, { import: old })).stop();
    const replaced = await cluster.fallback(nowhere, { import: newer });
    expect(positionOf(replaced.node)).toEqual(positionOf(primary.node));
    await replaced.stop();
    expect(
      readdirSync(replaced.data)
        .filter((name) => name.endsWith(".db"))
        .toSorted(),
    ).toEqual(["store-1.db", "store-2.db"]);

    const another = join(cluster.directory, "another.zst");
    const { manifest, size } = openSnapshot(newer);
    const front = encodeHeader({ ...manifest, epoch: "0123456789abcdef", offset: 100 }, { nodeKeyHash });
    writeFileSync(another, Buffer.concat([front, readFileSync(newer).subarray(size - manifest.bytes)]));
    const kept = await cluster.fallback(nowhere, { import: another });
    expect(positionOf(kept.node)).toEqual(positionOf(primary.node));
  }));

test("a file of a later term of the same history replaces the database", () =>
  withCluster(async (cluster) => {
    const primary = await filledPrimary(cluster);
    const old = await snapshotOf(primary, cluster.directory);
    await (await cluster.fallback(nowhere, { import: old })).stop();
    await primary.stop();
    const again = await cluster.primary();
    await insert(again.node, "bob");
    const newer = await snapshotOf(again, cluster.directory);
    const replaced = await cluster.fallback(nowhere, { import: newer });
    expect(positionOf(replaced.node)).toEqual(positionOf(again.node));
    await replaced.stop();
    const kept = await cluster.fallback(nowhere, { import: old });
    expect(mayRead(kept.node, "bob")).toBe(true);
  }));

test("a fallback with a file needs no primary, and one without either says so", () =>
  withCluster(async (cluster) => {
    const primary = await filledPrimary(cluster);
    const file = await snapshotOf(primary, cluster.directory);
    const alone = await cluster.fallback({ url: unset }, { import: file });
    expect(mayRead(alone.node, "ann")).toBe(true);
    await eventually(async () => expect((await fetch(`${alone.url}/readyz`)).status).toBe(200));
    await alone.stop();
    // The database in its directory is enough.
    const again = await cluster.fallback({ url: unset });
    expect(mayRead(again.node, "ann")).toBe(true);
    await again.stop();
    const empty = join(cluster.directory, "empty");
    expect(await refusal(cluster.fallback({ url: unset }, { data: empty }))).toMatchObject({
      code: "invalid_request",
      message: expect.stringContaining("neither a snapshot nor a primary"),
    });
  }));

test("a damaged file is reported, and the node continues without it", () =>
  withCluster(async (cluster) => {
    const primary = await filledPrimary(cluster);
    const file = await snapshotOf(primary, cluster.directory);
    const bytes = readFileSync(file);
    writeFileSync(file, bytes.with(bytes.length - 100, must(bytes[bytes.length - 100]) ^ 1));
    const fallback = await cluster.fallback(primary, { import: file });
    await eventually(() => expect(mayRead(fallback.node, "ann")).toBe(true));
    await fallback.stop();
    const again = await cluster.fallback(nowhere, { import: file });
    expect(mayRead(again.node, "ann")).toBe(true);
  }));

test("a missing file, or one for another environment, is refused if there is nothing else to start from", () =>
  withCluster(async (cluster) => {
    const primary = await filledPrimary(cluster);
    const file = await snapshotOf(primary, cluster.directory);
    const start = (flags: Record<string, string>): Promise<Error> => refusal(cluster.fallback(nowhere, flags));
    expect((await start({ import: "missing.zst" })).message).toBe("`missing.zst` can't be read: there is no such file");
    expect((await start({ import: file, environment: "other" })).message).toContain("belongs to environment `test`");
    const { manifest, size } = openSnapshot(file);
    const newer = Buffer.concat([
      encodeHeader({ ...manifest, schema: 999 }, { nodeKeyHash }),
      readFileSync(file).subarray(size - manifest.bytes),
    ]);
    writeFileSync(`${file}.newer`, newer);
    expect((await start({ import: `${file}.newer` })).message).toContain("made by a newer Ostiary");
    // With a database of its own it does without.
    await (await cluster.fallback(nowhere, { import: file })).stop();
    const without = await cluster.fallback(nowhere, { import: "missing.zst" });
    expect(mayRead(without.node, "ann")).toBe(true);
  }));

test("a primary on an imported database begins a new failover term", () =>
  withCluster(async (cluster) => {
    const primary = await filledPrimary(cluster);
    const file = await snapshotOf(primary, cluster.directory);
    const edge = await cluster.edge("promoted", nowhere as Running<PrimaryNode>, { import: file });
    const { term } = edge.node.health();
    await edge.stop();
    await primary.stop();
    const promoted = await cluster.primary({ data: edge.data });
    expect(promoted.node.health().term).toBe(nextFailoverTerm(must(term)));
    expect(mayRead(promoted.node, "ann")).toBe(true);
  }));
