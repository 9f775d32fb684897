/** Edges with the embedded broker of their primary: they converge after restarts and missed events. */
import { describe, expect, test } from "bun:test";
import { openSync, readdirSync, writeSync } from "node:fs";
import type { Fetch } from "../../src/replication/system.ts";
import { connectNode } from "../../src/replication/transport/node-client.ts";
import { currentStorePath } from "../../src/store/directory/data-directory.ts";
import { zeroHash } from "../../src/store/log/store-state.ts";
import { must } from "../../src/util/assert.ts";
import {
  converged,
  eventually,
  insert,
  loadPolicy,
  mayRead,
  nodeKey,
  post,
  reader,
  refusal,
  withCluster,
} from "./cluster.ts";
import { SimulatedClock } from "./simulated-clock.ts";

test("a page that arrives slowly is waited for, a page that stalls is not", () =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary();
    await loadPolicy(primary.node);
    const { epoch, digest } = primary.node.health();
    const clock = new SimulatedClock();
    const timeoutMs = 5000;
    let stalls = false;
    const slowly: Fetch = async (url, init) => {
      const page = await (await fetch(url, init)).bytes();
      const size = Math.ceil(page.length / 8);
      let sent = 0;
      /** Each piece takes nearly the whole limit. One that is cut off takes more. */
      const pull = (controller: ReadableStreamDefaultController<Uint8Array>): void => {
        if (stalls && sent > 0) return clock.pass(timeoutMs);
        clock.pass(timeoutMs - 1);
        controller.enqueue(page.slice(sent, (sent += size)));
        if (sent >= page.length) controller.close();
      };
      const start = (controller: ReadableStreamDefaultController<Uint8Array>): void =>
        init.signal?.addEventListener("abort", () => controller.error(init.signal?.reason));
      return new Response(new ReadableStream({ start, pull }, { highWaterMark: 0 }));
    };
    const client = connectNode(
      { ackName: () => "test", url: primary.url, nodeKey, logTimeoutMs: timeoutMs, snapshotTimeoutMs: timeoutMs },
      { clock, fetch: slowly },
    );
    const start = { epoch: must(epoch), term: 0, offset: 0, hash: zeroHash };
    const answer = await client.log(start);
    expect("page" in answer ? answer.page.head.d : answer.refused.message).toBe(must(digest));
    expect(clock.monotonicMs()).toBeGreaterThan(timeoutMs * 5);
    stalls = true;
    expect((await refusal(client.log(start))).message).toContain(`${timeoutMs} ms`);
  }));

describe("an edge", () => {
  test("starts from a snapshot, applies events, and reaches the same state", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      await insert(primary.node, "ann");
      const edge = await cluster.edge("edge-1", primary);
      await converged(edge.node, primary.node);
      await eventually(() =>
        expect(edge.node.health()).toMatchObject({ ok: true, state: "LIVE", isBrokerConnected: true }),
      );
      expect(mayRead(edge.node, "ann")).toBe(true);
      await Promise.all(Array.from({ length: 300 }, (_, index) => insert(primary.node, `user-${index}`)));
      await converged(edge.node, primary.node);
      expect(mayRead(edge.node, "user-299")).toBe(true);
      expect(mayRead(edge.node, "nobody")).toBe(false);
      expect(primary.node.health().brokerClients).toBe(1);
    }));

  test("that was stopped continues from its own file", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      const first = await cluster.edge("edge-1", primary);
      await converged(first.node, primary.node);
      const store = currentStorePath(first.data);
      await first.stop();
      for (let index = 0; index < 30; index++) await insert(primary.node, `user-${index}`);
      const second = await cluster.edge("edge-1", primary);
      await converged(second.node, primary.node);
      expect(mayRead(second.node, "user-29")).toBe(true);
      expect(currentStorePath(second.data)).toBe(store); // no snapshot was needed
    }));

  test("answers while the primary is down, and catches up when it is back", () =>
    withCluster(
      async (cluster) => {
        const primary = await cluster.primary();
        await loadPolicy(primary.node);
        await insert(primary.node, "ann");
        const edge = await cluster.edge("edge-1", primary);
        await converged(edge.node, primary.node);
        const { port } = new URL(primary.url);
        await primary.stop();
        await eventually(() =>
          expect(edge.node.health()).toMatchObject({ ok: true, state: "DISCONNECTED", isBrokerConnected: false }),
        );
        expect(mayRead(edge.node, "ann")).toBe(true);
        await eventually(() => expect(edge.node.health().ageMs).toBeGreaterThan(100));
        const again = await cluster.primary({ port });
        await insert(again.node, "bob");
        await converged(edge.node, again.node);
        await eventually(() => expect(edge.node.health().state).toBe("LIVE"));
        expect(mayRead(edge.node, "bob")).toBe(true);
      },
      { "advanced.brokerSilenceMsMax": "300ms", "advanced.pollIntervalMs": "100ms" },
    ));

  test("that missed trimmed events fetches a snapshot while it continues to answer", () =>
    withCluster(
      async (cluster) => {
        const primary = await cluster.primary();
        await loadPolicy(primary.node);
        await insert(primary.node, "ann");
        const first = await cluster.edge("edge-1", primary);
        await converged(first.node, primary.node);
        const store = currentStorePath(first.data);
        await first.stop();
        for (let index = 0; index < 40; index++) await insert(primary.node, `user-${index}`);
        const edge = await cluster.edge("edge-1", primary);
        expect(mayRead(edge.node, "ann")).toBe(true);
        await converged(edge.node, primary.node);
        expect(currentStorePath(edge.data)).not.toBe(store);
        await eventually(() =>
          expect(readdirSync(edge.data).filter((name) => name.startsWith("store-"))).toHaveLength(3),
        ); // the new one, -wal, -shm
      },
      { "retention.events": "10" },
    ));

  test("whose file is damaged keeps it under another name and fetches a snapshot", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      for (let index = 0; index < 200; index++) await insert(primary.node, `user-${index}`);
      const first = await cluster.edge("edge-1", primary);
      await converged(first.node, primary.node);
      await first.stop();
      const file = openSync(currentStorePath(first.data) ?? "", "r+");
      for (let page = 2; page < 10; page++) writeSync(file, Buffer.alloc(4096, 0x5a), 0, 4096, page * 4096);
      const edge = await cluster.edge("edge-1", primary);
      await converged(edge.node, primary.node);
      expect(mayRead(edge.node, "user-199")).toBe(true);
      expect(readdirSync(edge.data).filter((name) => name.endsWith(".damaged"))).toHaveLength(1);
    }));

  test("forwards writes, and has applied them when it answers", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      // A write that waits for the primary until that limit would not end in the time of a test.
      const edge = await cluster.edge("edge-1", primary, { "advanced.forwardTimeoutMs": "10m" });
      await eventually(() => expect(edge.node.health().state).toBe("LIVE"));
      for (let index = 0; index < 50; index++) {
        const response = await post(edge.url, "/api/batch", [{ inserts: [reader(`user-${index}`)] }]);
        expect(response.status).toBe(200);
        expect(response.headers.get("osooffset")).toStartWith(primary.node.health().epoch ?? "");
        expect(mayRead(edge.node, `user-${index}`)).toBe(true);
      }
      const refused = await post(edge.url, "/api/batch", [
        { inserts: [{ predicate: "owns", args: [{ type: "User", id: "x" }] }] },
      ]);
      expect(refused.status).toBe(400);
      expect(((await refused.json()) as { message: string }).message).toContain("not used in policy");
      await primary.stop();
      const unreachable = await post(edge.url, "/api/batch", [{ inserts: [reader("late")] }]);
      expect(unreachable.status).toBe(503);
      expect(unreachable.headers.get("retry-after")).not.toBeNull();
    }));

  test("waits for the position of a token, but not without limit", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      const edge = await cluster.edge("edge-1", primary, { "advanced.consistencyWait": "30s" });
      const impatient = await cluster.edge("edge-2", primary, { "advanced.consistencyWait": "100ms" });
      for (const { node } of [edge, impatient]) await converged(node, primary.node);
      for (let index = 0; index < 50; index++) {
        const { epoch, offset } = await insert(primary.node, `user-${index}`);
        await edge.node.waitFor(`${epoch}:${offset}`);
        expect(mayRead(edge.node, `user-${index}`)).toBe(true);
      }
      const { epoch, offset } = primary.node.health();
      const later = `${epoch}:${Number(offset) + 1}`;
      expect(await refusal(impatient.node.waitFor(later))).toMatchObject({ code: "not_ready" });
      expect(await refusal(impatient.node.waitFor("0123456789abcdef:1"))).toMatchObject({ code: "conflict" });
      expect(await refusal(primary.node.waitFor("0123456789abcdef:1"))).toMatchObject({ code: "conflict" });
      expect(await refusal(edge.node.waitFor("nonsense"))).toMatchObject({ code: "invalid_request" });
    }));
});
