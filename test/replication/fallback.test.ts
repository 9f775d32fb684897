/** Fallbacks: verified snapshots on a timer, and the last one on disk if no node can be reached. */
import * as Bun from "bun";
import { expect, test } from "bun:test";
import { openSync, readdirSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { currentStorePath } from "../../src/store/directory/data-directory.ts";
import {
  adminKey,
  converged,
  eventually,
  insert,
  loadPolicy,
  mayRead,
  post,
  reader,
  positionOf,
  SystemWithClock,
  withCluster,
} from "./cluster.ts";

test("a fallback fetches snapshots on its timer, and nothing if nothing has changed", () =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary();
    await loadPolicy(primary.node);
    await insert(primary.node, "ann");
    const fallback = await cluster.fallback(primary);
    await converged(fallback.node, primary.node);
    expect(fallback.node.health()).toMatchObject({ ok: true, state: "SNAPSHOT" });
    const store = currentStorePath(fallback.data);
    const ages: number[] = [];
    await eventually(() => {
      ages.push(fallback.node.health().ageMs ?? -1);
      expect(ages.some((age, index) => age < (ages[index - 1] ?? 0))).toBe(true); // it was confirmed again
    });
    expect(currentStorePath(fallback.data)).toBe(store);
    await insert(primary.node, "bob");
    await eventually(() => expect(mayRead(fallback.node, "bob")).toBe(true));
    expect(positionOf(fallback.node)).toEqual(positionOf(primary.node));
    // Reads with a token of a position that it lacks are answered immediately, since it may be the only node that is
    // left.
    await fallback.node.waitFor(`${primary.node.health().epoch}:999`);
    await fallback.node.waitFor("a token of another service");
    expect((await post(fallback.url, "/api/batch", [{ inserts: [reader("x")] }])).status).toBe(503);
  }));

test("a fallback takes a snapshot with the same offset and other events", () =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary();
    await loadPolicy(primary.node);
    await primary.stop();
    const backup = await Bun.file(join(primary.data, "store-1.db")).bytes();
    const second = await cluster.primary();
    await insert(second.node, "lost");
    const fallback = await cluster.fallback(second);
    await converged(fallback.node, second.node);
    const { port } = new URL(second.url);
    await second.stop();
    // No note is left that would tell the primary about the lost events: its term is the same as the lost one.
    await Bun.write(join(primary.data, "store-1.db"), backup);
    rmSync(join(primary.data, "position"));
    const restored = await cluster.primary({ port });
    await insert(restored.node, "new");
    expect(restored.node.health()).toMatchObject({ offset: fallback.node.health().offset });
    await converged(fallback.node, restored.node);
    expect([mayRead(fallback.node, "lost"), mayRead(fallback.node, "new")]).toEqual([false, true]);
  }));

test("a fallback starts from its disk, and reports the age of its data", () =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary();
    await loadPolicy(primary.node);
    await insert(primary.node, "ann");
    const first = await cluster.fallback(primary, { refresh: "1h" });
    await converged(first.node, primary.node);
    await first.stop();
    await primary.stop();
    const hourMs = 3_600_000;
    const later = new SystemWithClock();
    later.aheadMs = hourMs;
    const second = await cluster.fallback(primary, {}, later);
    expect(second.node.health()).toMatchObject({ ok: true, state: "SNAPSHOT" });
    expect(second.node.health().ageMs).toBeGreaterThanOrEqual(hourMs);
    expect(mayRead(second.node, "ann")).toBe(true);
    const response = await fetch(`${second.url}/api/policy`, { headers: { Authorization: `Bearer ${adminKey}` } });
    expect(response.status).toBe(200);
  }));

test("a copy from before the first policy denies nothing", () =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary();
    const fallback = await cluster.fallback(primary, { refresh: "1h", "advanced.retryDelayMsMax": "100ms" });
    await converged(fallback.node, primary.node);
    const reason = "its copy is from before the first policy; it waits for a newer one";
    for (const path of ["/readyz", "/healthcheck"]) {
      const { status } = await fetch(fallback.url + path);
      expect([path, status]).toEqual([path, 503]);
    }
    expect(await (await fetch(`${fallback.url}/readyz`)).json()).toMatchObject({
      status: "not ready",
      degraded: reason,
    });
    const question = {
      actor_type: "User",
      actor_id: "ann",
      action: "read",
      resource_type: "Repo",
      resource_id: "main",
    };
    const refused = await post(fallback.url, "/api/authorize", question);
    expect([refused.status, await refused.json()]).toEqual([
      503,
      { code: "not_ready", message: `this fallback cannot answer yet: ${reason}` },
    ]);
    const evaluation = {
      subject: { type: "User", id: "ann" },
      action: { name: "read" },
      resource: { type: "Repo", id: "main" },
    };
    expect((await post(fallback.url, "/access/v1/evaluation", evaluation)).status).toBe(503);
    await loadPolicy(primary.node);
    await insert(primary.node, "ann");
    await eventually(async () => expect((await fetch(`${fallback.url}/readyz`)).status).toBe(200));
    expect((await post(fallback.url, "/api/authorize", question)).status).toBe(200);
  }));

test("a fallback with a damaged database is not ready until it has a sound one", () =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary();
    await loadPolicy(primary.node);
    for (let index = 0; index < 100; index++) await insert(primary.node, `user-${index}`);
    const first = await cluster.fallback(primary, { refresh: "1h" });
    await converged(first.node, primary.node);
    await first.stop();
    const { port } = new URL(primary.url);
    await primary.stop();
    const file = openSync(currentStorePath(first.data) ?? "", "r+");
    for (let page = 2; page < 10; page++) writeSync(file, Buffer.alloc(4096, 0x5a), 0, 4096, page * 4096);
    const second = await cluster.fallback(primary);
    expect(second.node.health()).toMatchObject({ ok: false, state: "BOOTSTRAP", ageMs: null });
    expect(() => second.node.engine()).toThrow("no copy");
    expect(readdirSync(second.data).filter((name) => name.endsWith(".damaged"))).toHaveLength(1);
    const again = await cluster.primary({ port });
    await converged(second.node, again.node);
    expect(mayRead(second.node, "user-99")).toBe(true);
  }));

test("a database that is found damaged by the comparison with the newest snapshot is fetched again", () =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary();
    await loadPolicy(primary.node);
    await insert(primary.node, "ann");
    const held = Promise.withResolvers<void>();
    const asked: (string | null)[] = [];
    const slow = Bun.serve({
      port: 0,
      async fetch(request) {
        const { pathname, search } = new URL(request.url);
        if (pathname.endsWith("/snapshot") && asked.push(request.headers.get("if-none-match")) === 2)
          await held.promise;
        return fetch(`${primary.url}${pathname}${search}`, { headers: request.headers });
      },
    });
    const fallback = await cluster.fallback({ url: `http://127.0.0.1:${slow.port}` }, { refresh: "1s" });
    await converged(fallback.node, primary.node);
    await eventually(() => expect(asked.length).toBe(2));
    expect(asked[1]).not.toBeNull();
    expect(fallback.node.reportDamage(Object.assign(new Error("malformed"), { code: "SQLITE_CORRUPT" }))).toBe(true);
    expect(() => fallback.node.engine()).toThrow("damaged");
    held.resolve();
    await eventually(() => expect(mayRead(fallback.node, "ann")).toBe(true));
    expect(asked[2]).toBeNull();
    await slow.stop(true);
  }));

test("a fallback continues to answer from its database if the offered snapshot is not sound", () =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary();
    await loadPolicy(primary.node);
    await insert(primary.node, "ann");
    const offered: number[] = [];
    const liar = Bun.serve({
      port: 0,
      async fetch(request) {
        const { pathname } = new URL(request.url);
        const headers = { Authorization: request.headers.get("authorization") ?? "" };
        const honest = await fetch(`${primary.url}${pathname}`, { headers });
        const bytes = new Uint8Array(await honest.arrayBuffer());
        if (offered.push(bytes.length) > 1) bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
        return new Response(bytes, { headers: { ETag: honest.headers.get("etag") ?? "" } });
      },
    });
    const fallback = await cluster.fallback({ url: `http://127.0.0.1:${liar.port}` });
    await converged(fallback.node, primary.node);
    const before = positionOf(fallback.node);
    await insert(primary.node, "bob");
    await eventually(() => expect(offered.length).toBeGreaterThan(3));
    expect(positionOf(fallback.node)).toEqual(before);
    expect(mayRead(fallback.node, "ann")).toBe(true);
    await liar.stop(true);
  }));
