/**
 * Flipped bits in the files of a node's database are found before a query reads them: a primary stops answering, a
 * replica takes another copy.
 */
import * as Bun from "bun";
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { SqliteDatabase } from "../../src/runtime/sqlite.ts";
import type { Node } from "../../src/replication/node.ts";
import { currentStorePath } from "../../src/store/directory/data-directory.ts";
import { must } from "../../src/util/assert.ts";
import { flipBit } from "./flip-bit.ts";
import { adminKey, converged, eventually, insert, loadPolicy, refusal, withCluster, type Running } from "./cluster.ts";
import { openFiles } from "./open-files.ts";

setDefaultTimeout(120_000);

const pageBytes = 4096;

/**
 * The root pages of the tables with this name, the last page of the deepest level first, which holds most of their
 * data.
 */
function pagesOf(path: string, name: RegExp): number[] {
  const store = new SqliteDatabase(path, { readonly: true });
  const pages = store
    .prepare("SELECT pageno, name FROM dbstat WHERE pagetype = 'leaf' ORDER BY pageno DESC")
    .values()
    .filter(([, table]) => name.test(String(table)))
    .map(([page]) => Number(page));
  store.close();
  return pages;
}

async function statusOf({ url }: Running<Node>): Promise<number> {
  const body = { actor_type: "User", actor_id: "ann", action: "read", resource_type: "Repo", resource_id: "main" };
  const headers = { Authorization: `Bearer ${adminKey}`, "Content-Type": "application/json" };
  return (await fetch(`${url}/api/authorize`, { method: "POST", headers, body: JSON.stringify(body) })).status;
}

/**
 * Flips a bit of the page until the node notices. The first pass over a database takes its pages as they are, so it may
 * take the page with the flipped bit; then the right bit is the wrong one.
 */
async function flipUntil(path: string, page: number, isNoticed: () => Promise<boolean>): Promise<void> {
  for (;;) {
    flipBit(path, (page - 1) * pageBytes + 4000, 3);
    const endMs = performance.now() + 2500;
    while (performance.now() < endMs) {
      if (await isNoticed()) return;
      await Bun.sleep(50);
    }
  }
}

const many = Array.from({ length: 3000 }, (_, index) => `user-${index}`);

describe("a flipped bit in the database in use, where no query reads it,", () => {
  test("keeps a primary from answering, until the page is right again", () =>
    withCluster(async (cluster) => {
      // So the checksums of all pages come from the log, and are right.
      const primary = await cluster.primary({ "advanced.walCheckpointBytes": "1" });
      await loadPolicy(primary.node);
      await insert(primary.node, "ann", ...many);
      const path = must(currentStorePath(primary.data));
      const page = must(pagesOf(path, /^fact_/)[0]);
      expect(await statusOf(primary)).toBe(200);
      await flipUntil(path, page, async () => (await statusOf(primary)) === 503);
      expect(primary.node.health().ok).toBe(false);
      expect(await refusal(insert(primary.node, "bob"))).toMatchObject({ code: "not_ready" });
      flipBit(path, (page - 1) * pageBytes + 4000, 3);
      await eventually(async () => expect(await statusOf(primary)).toBe(200));
    }));

  test.each(["fact_", "free"])("makes an edge take a fresh copy (%s)", (table) =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      await insert(primary.node, "ann", ...many);
      const edge = await cluster.edge("edge", primary);
      await converged(edge.node, primary.node);
      const path = must(currentStorePath(edge.data));
      const page = table === "free" ? statSync(path).size / pageBytes : must(pagesOf(path, new RegExp(`^${table}`))[0]);
      await flipUntil(path, page, async () => currentStorePath(edge.data) !== path);
      await eventually(async () => expect(await statusOf(edge)).toBe(200));
      await converged(edge.node, primary.node);
    }),
  );

  test("makes a fallback fetch a fresh snapshot", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      await insert(primary.node, "ann", ...many);
      const fallback = await cluster.fallback(primary);
      await eventually(async () => expect(await statusOf(fallback)).toBe(200));
      const path = must(currentStorePath(fallback.data));
      const page = must(pagesOf(path, /^fact_/)[0]);
      await flipUntil(path, page, async () => currentStorePath(fallback.data) !== path);
      await eventually(async () => expect(await statusOf(fallback)).toBe(200));
    }));

  test.skipIf(process.platform !== "linux")("is looked for by a fallback in its current database only", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      const fallback = await cluster.fallback(primary);
      for (let refresh = 0; refresh < 3; refresh++) {
        await insert(primary.node, `user-${refresh}`);
        await converged(fallback.node, primary.node);
      }
      const first = join(fallback.data, "store-1.db");
      await eventually(() => expect(existsSync(first)).toBe(false));
      const deleted = (): string[] =>
        openFiles().filter((path) => path.startsWith(fallback.data) && path.endsWith(".db (deleted)"));
      await eventually(() => expect(deleted()).toEqual([]));
    }),
  );
});
