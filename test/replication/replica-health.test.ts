/** The health of a replica: old and damaged databases are detected, never give a wrong answer, and are replaced. */
import { describe, expect, test } from "bun:test";
import { closeSync, openSync, readdirSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Node } from "../../src/replication/node.ts";
import { SqliteDatabase } from "../../src/runtime/sqlite.ts";
import {
  adminKey,
  converged,
  eventually,
  insert,
  loadPolicy,
  mayRead,
  post,
  reader,
  untraced,
  withCluster,
  type Running,
} from "./cluster.ts";

async function mayReadAt(node: { readonly url: string }, user: string, headers: Record<string, string> = {}) {
  const body = { actor_type: "User", actor_id: user, action: "read", resource_type: "Repo", resource_id: "main" };
  const response = await fetch(`${node.url}/api/authorize`, {
    method: "POST",
    headers: { Authorization: `Bearer ${adminKey}`, "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
  const answer = (await response.json()) as { allowed?: boolean; message?: string };
  return { status: response.status, ...answer, retryAfter: response.headers.get("Retry-After") };
}

const status = async (url: string): Promise<number> => (await fetch(url)).status;

function storeOf({ data }: Running<Node>): string {
  const name = readdirSync(data).find((file) => /^store-\d+\.db$/.test(file));
  return join(data, name ?? "");
}

describe("an old replica", () => {
  test("is not ready at /readyz, and answers all the same", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      await insert(primary.node, "ann");
      const edge = await cluster.edge("edge", primary, { "advanced.readyAgeMsMax": "1500ms" });
      await converged(edge.node, primary.node);
      await eventually(async () => expect(await status(`${edge.url}/readyz`)).toBe(200));
      expect(await status(`${primary.url}/readyz`)).toBe(200);
      await primary.stop();
      await eventually(async () => expect(await status(`${edge.url}/readyz`)).toBe(503));
      expect(await status(`${edge.url}/healthcheck`)).toBe(200);
      expect(await mayReadAt(edge, "ann")).toMatchObject({ status: 200, allowed: true });
    }));

  test("does not answer if the configuration forbids it", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      await insert(primary.node, "ann");
      const edge = await cluster.edge("edge", primary, { maxStaleness: "3s" });
      await converged(edge.node, primary.node);
      await eventually(async () => expect(await mayReadAt(edge, "ann")).toMatchObject({ status: 200, allowed: true }));
      await primary.stop();
      await eventually(async () => {
        const refused = await mayReadAt(edge, "ann");
        expect(refused).toMatchObject({ status: 503, retryAfter: "1" });
        expect(refused.message).toContain("maxStaleness");
      });
    }));
});

test("a read of the latest state contains all acknowledged writes, or is refused", () =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary();
    await loadPolicy(primary.node);
    const edge = await cluster.edge("edge", primary);
    await converged(edge.node, primary.node);
    const latest = { "Ostiary-Consistency": "latest" };
    for (let index = 0; index < 40; index++) {
      await insert(primary.node, `user-${index}`);
      expect(await mayReadAt(edge, `user-${index}`, latest)).toMatchObject({ status: 200, allowed: true });
    }
    expect(await mayReadAt(primary, "user-0", latest)).toMatchObject({ status: 200, allowed: true });
    expect(await mayReadAt(edge, "user-0", { "Ostiary-Consistency": "newest" })).toMatchObject({ status: 400 });
    await primary.stop();
    expect(await mayReadAt(edge, "user-0", latest)).toMatchObject({ status: 503, retryAfter: "1" });
    expect(await mayReadAt(edge, "user-0")).toMatchObject({ status: 200, allowed: true });
  }));

describe("a damaged database in use", () => {
  test("stops answering when a query finds the damage, and is replaced", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary({ "advanced.decisionCacheEntriesMax": "0" });
      await loadPolicy(primary.node);
      for (let first = 0; first < 10_000; first += 1000) {
        await insert(primary.node, ...Array.from({ length: 1000 }, (_, index) => `user-${first + index}`));
      }
      const edge = await cluster.edge("edge", primary, { "advanced.decisionCacheEntriesMax": "0" });
      await converged(edge.node, primary.node);
      const path = storeOf(edge);
      const { size } = statSync(path);
      const file = openSync(path, "r+");
      writeSync(file, Buffer.alloc(Math.floor(size / 2), 0x5a), 0, undefined, Math.floor(size / 4));
      closeSync(file);
      let refused = 0;
      await eventually(async () => {
        for (let index = 0; index < 10_000; index += 97) {
          const answer = await mayReadAt(edge, `user-${index}`);
          if (answer.status === 503) refused++;
          else expect(answer).toMatchObject({ status: 200, allowed: true });
        }
        expect(refused).toBeGreaterThan(0);
        expect(edge.node.health()).toMatchObject({ ok: true, digest: primary.node.health().digest });
        expect(storeOf(edge)).not.toBe(path);
      });
      expect(await mayReadAt(edge, "user-5")).toMatchObject({ status: 200, allowed: true });
    }));

  test("is found by the periodic check if no query finds it", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      await insert(primary.node, "ann");
      const edge = await cluster.edge("edge", primary, { "advanced.databaseCheckIntervalMs": "300ms" });
      await converged(edge.node, primary.node);
      const before = storeOf(edge);
      const store = new SqliteDatabase(before);
      // Open connections may still be closing.
      store.exec("PRAGMA busy_timeout = 5000");
      store.exec("UPDATE symbol SET value = 'mallory' WHERE value = 'ann'");
      store.close();
      await eventually(() => {
        expect(readdirSync(edge.data).filter((name) => /^store-\d+\.db$/.test(name))).not.toContain(
          before.split("/").at(-1),
        );
        expect(edge.node.health().ok).toBe(true);
        expect(mayRead(edge.node, "mallory")).toBe(false);
        expect(mayRead(edge.node, "ann")).toBe(true);
      });
    }));

  test("of a primary is found by the same check, and then the primary does not answer", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary({ "advanced.databaseCheckIntervalMs": "300ms" });
      await loadPolicy(primary.node);
      await insert(primary.node, "ann");
      const store = new SqliteDatabase(storeOf(primary));
      store.exec("PRAGMA busy_timeout = 5000");
      store.exec("UPDATE symbol SET value = 'mallory' WHERE value = 'ann'");
      store.close();
      await eventually(() => expect(primary.node.health().ok).toBe(false));
      expect((await mayReadAt(primary, "mallory")).status).toBe(503);
    }));

  test("is found at the next event, which leads to another digest than on the primary", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      await insert(primary.node, "ann", "bob");
      const edge = await cluster.edge("edge", primary);
      await converged(edge.node, primary.node);
      const store = new SqliteDatabase(storeOf(edge));
      store.exec("PRAGMA busy_timeout = 5000");
      // Bob's role is deleted here without a change of the digest.
      store.exec("DELETE FROM fact_1 WHERE a1 = (SELECT id FROM symbol WHERE value = 'bob')");
      store.close();
      await primary.node.writes.batch([{ deletes: [reader("bob")] }], untraced);
      await insert(primary.node, "cat");
      await eventually(() => {
        expect(edge.node.health()).toMatchObject({ ok: true, offset: primary.node.health().offset });
        expect(edge.node.health().digest).toBe(primary.node.health().digest);
      });
      expect(["ann", "bob", "cat"].map((user) => mayRead(edge.node, user))).toEqual([true, false, true]);
    }));

  test("of a primary neither answers nor accepts writes, because there is no other source", () =>
    withCluster(async (cluster) => {
      const flags = { "advanced.decisionCacheEntriesMax": "0" };
      const filled = await cluster.primary(flags);
      await loadPolicy(filled.node);
      for (let first = 0; first < 10_000; first += 1000) {
        await insert(filled.node, ...Array.from({ length: 1000 }, (_, index) => `user-${first + index}`));
      }
      // Empties the WAL, so that reads come from the database file.
      await filled.stop();
      const primary = await cluster.primary(flags);
      const path = storeOf(primary);
      const { size } = statSync(path);
      const file = openSync(path, "r+");
      writeSync(file, Buffer.alloc(Math.floor(size / 2), 0x5a), 0, undefined, Math.floor(size / 4));
      closeSync(file);
      let last = await mayReadAt(primary, "user-0");
      for (let index = 0; index < 10_000 && last.status === 200; index += 97) {
        expect(last.allowed).toBe(true);
        last = await mayReadAt(primary, `user-${index}`);
      }
      expect(last.status).toBe(503);
      expect(await status(`${primary.url}/healthcheck`)).toBe(503);
    }));
});

describe("a fallback with `follow`", () => {
  test("is at most seconds behind, answers when all other nodes are gone, and never waits", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      await insert(primary.node, "ann");
      const flags = {
        follow: "true",
        refresh: "7d",
        // A read that waits for the token's position would not end in the time of a test.
        "advanced.consistencyWait": "1m",
        "advanced.pollIntervalMs": "200ms",
        "advanced.brokerSilenceMsMax": "200ms",
      };
      const fallback = await cluster.fallback(primary, flags);
      await eventually(async () =>
        expect(await mayReadAt(fallback, "ann")).toMatchObject({ status: 200, allowed: true }),
      );
      await insert(primary.node, "bob");
      await eventually(async () => expect(await mayReadAt(fallback, "bob")).toMatchObject({ allowed: true }));
      expect(fallback.node.health()).toMatchObject({ role: "fallback", state: "FOLLOWING" });
      await primary.stop();
      const { epoch, offset } = fallback.node.health();
      const token = `${epoch}:${Number(offset) + 100}`;
      expect(await mayReadAt(fallback, "bob", { OsoOffset: token })).toMatchObject({ status: 200, allowed: true });
      expect((await post(fallback.url, "/api/batch", [])).status).toBe(503);
    }));
});
