/**
 * What belongs to one node only: its data directory, its keys, and the epoch that it begins when its history differs
 * from the others'.
 */
import * as Bun from "bun";
import { describe, expect, test } from "bun:test";
import { once } from "node:events";
import { mkdirSync, readdirSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { developmentEnvironment, developmentKey } from "../../src/config/config.ts";
import type { MintedKeys } from "../../src/roles/primary-keys.ts";
import { startDev } from "../../src/dev/dev.ts";
import { currentStorePath } from "../../src/store/directory/data-directory.ts";
import { nextFailoverTerm } from "../../src/store/log/terms.ts";
import { must } from "../../src/util/assert.ts";
import {
  adminKey,
  Cluster,
  converged,
  insert,
  loadPolicy,
  mayRead,
  nodeKey,
  post,
  refusal,
  positionOf,
  unset,
  untraced,
  withCluster,
} from "./cluster.ts";

test("keys are shown before they are stored, so that no unknown key remains after a failed first start", () =>
  withCluster(async (cluster) => {
    const config = { adminKey: unset, nodeKey: unset };
    const closed = async (): Promise<void> => {
      throw new Error("standard output is closed");
    };
    expect((await refusal(cluster.primary(config, closed))).message).toBe("standard output is closed");
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as AddressInfo;
    const shown: MintedKeys[] = [];
    const show = async (minted: MintedKeys): Promise<void> => void shown.push(minted);
    const refused = await refusal(cluster.primary({ ...config, mqttPort: String(port) }, show));
    expect(refused.message).toContain("is in use");
    taken.close();
    const primary = await cluster.primary(config, show);
    expect(shown).toHaveLength(1);
    const { adminKey: made } = must(shown[0]);
    expect((await post(primary.url, "/api/policy", { src: "actor User {}" }, made)).status).toBe(200);
  }));

test("data of `ostiary dev` are served by no other command, since their key is public", () =>
  withCluster(async (cluster) => {
    const flags = { environment: developmentEnvironment, adminKey: unset };
    const config = cluster.config("primary", "primary", flags);
    for (let start = 0; start < 2; start++) await (await startDev({ ...config, adminKey: developmentKey }, [])).stop();
    expect(await refusal(cluster.primary(flags))).toMatchObject({
      code: "conflict",
      message: expect.stringContaining("test key everybody knows"),
    });
  }));

test("files of an interrupted first start are not a damaged database for the next start", () =>
  withCluster(async (cluster) => {
    const data = join(cluster.directory, "primary");
    mkdirSync(data);
    // A file as SQLite creates it, before its first transaction; and notes as a power failure may leave them.
    for (const name of ["new.db", "new.db-wal", "role", "node-id", "position"]) await Bun.write(join(data, name), "");
    const primary = await cluster.primary();
    await loadPolicy(primary.node);
    const { epoch, offset } = primary.node.health();
    // SQLite finds the locks of other processes by these names.
    const files = readdirSync(data);
    expect(files.filter((name) => name.startsWith("new.db"))).toEqual([]);
    expect(files).toEqual(expect.arrayContaining(["store-1.db", "store-1.db-shm", "store-1.db-wal"]));
    await primary.stop();
    const again = await cluster.primary();
    expect(again.node.health().ok).toBe(true);
    await again.node.waitFor(`${epoch}:${offset}`);
  }));

describe("a new epoch", () => {
  test("begins when an old backup was put back, and the edges follow it", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      await insert(primary.node, "kept");
      await primary.stop();
      const backup = await Bun.file(join(primary.data, "store-1.db")).bytes();
      const second = await cluster.primary();
      await insert(second.node, "lost");
      const edge = await cluster.edge("edge-1", second);
      await converged(edge.node, second.node);
      const { port } = new URL(second.url);
      await second.stop();
      await Bun.write(join(primary.data, "store-1.db"), backup);
      const restored = await cluster.primary({ port });
      await insert(restored.node, "new");
      await converged(edge.node, restored.node);
      expect([mayRead(edge.node, "kept"), mayRead(edge.node, "lost"), mayRead(edge.node, "new")]).toEqual([
        true,
        false,
        true,
      ]);
    }));

  test("begins with the promotion of an edge", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      await insert(primary.node, "ann");
      const edge = await cluster.edge("edge-1", primary);
      await converged(edge.node, primary.node);
      const before = positionOf(edge.node);
      const { term } = edge.node.health();
      await edge.stop();
      await primary.stop();
      const promoted = await cluster.primary({ data: edge.data });
      expect(positionOf(promoted.node)).toMatchObject({
        // The beginning of the epoch is an event.
        offset: Number(before.offset) + 1,
        digest: before.digest,
      });
      expect(promoted.node.health().term).toBe(nextFailoverTerm(must(term)));
      expect(await insert(promoted.node, "bob")).toMatchObject({ offset: Number(before.offset) + 2 });
      const other = await cluster.edge("edge-2", promoted);
      await converged(other.node, promoted.node);
    }));
});

test("a data directory has one process", () =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary();
    const intruder = new Cluster(cluster.directory, {});
    expect(await refusal(intruder.primary())).toMatchObject({ code: "conflict" });
    await primary.stop();
    await (await cluster.primary()).stop();
  }));

test("keys are made only once, and the first one is an admin's", () =>
  withCluster(async (cluster) => {
    const config = { adminKey: unset, nodeKey: unset };
    const shown: MintedKeys[] = [];
    const first = await cluster.primary(config, async (minted) => void shown.push(minted));
    const { adminKey: made, nodeKey: madeForNodes } = must(shown[0]);
    expect(made).toMatch(/^e_test_[0-9a-f]{12}_[0-9a-f]{48}$/);
    expect(madeForNodes).toMatch(/^n_test_[0-9a-f]{48}$/);
    expect((await post(first.url, "/api/policy", { src: "actor User {}", filename: null }, made)).status).toBe(200);
    expect((await post(first.url, "/api/policy", { src: "actor User {}", filename: null }, `${made}0`)).status).toBe(
      401,
    );
    const head = (key: string) =>
      fetch(`${first.url}/replication/v1/head`, { headers: { Authorization: `Bearer ${key}` } });
    expect((await head(madeForNodes ?? "")).status).toBe(200);
    expect((await head(made ?? "")).status).toBe(401);
    await first.stop();
    const second = await cluster.primary(config, async (minted) => void shown.push(minted));
    expect(shown).toHaveLength(1);
    expect((await post(second.url, "/api/policy", { src: "actor User {}", filename: null }, made)).status).toBe(202);
    const stored = await Bun.file(currentStorePath(second.data) ?? "").text();
    expect(stored).not.toContain(made ?? "");
    expect(stored).not.toContain(madeForNodes ?? "");
  }));

test("other nodes are refused without the node key", () =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary();
    for (const path of ["head", "log?epoch=0123456789abcdef&after=0&hash=0123456789abcdef", "snapshot"]) {
      for (const headers of [{}, { Authorization: `Bearer ${adminKey}` }, { Authorization: `Bearer ${nodeKey}x` }]) {
        expect((await fetch(`${primary.url}/replication/v1/${path}`, { headers })).status).toBe(401);
      }
    }
  }));

test("a policy that changes nothing is no event on the edges either", () =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary();
    await loadPolicy(primary.node);
    const before = positionOf(primary.node);
    await loadPolicy(primary.node);
    await primary.node.writes.batch([], untraced);
    expect(positionOf(primary.node)).toEqual(before);
  }));
