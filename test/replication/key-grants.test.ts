/** Grants of API keys on all nodes: expiry by each node's clock, revocation, rotation, restricted writes, and last uses. */
import { describe, expect, test } from "bun:test";
import { must } from "../../src/util/assert.ts";
import { apiOf, fact, Org, role, wildcardPolicy, type Api } from "../http/api.ts";
import { openSource } from "../http/event-source.ts";
import { grantKey, listedKey, readWith, rotateKey, withKey } from "../http/keys.ts";
import { adminKey, type Cluster, converged, eventually, nodeKey, SystemWithClock, withCluster } from "./cluster.ts";

const day = 86_400_000;
const timeoutMs = 120_000;

interface Nodes {
  readonly primary: Api;
  readonly edge: Api;
  readonly fallback: Api;
  readonly all: readonly Api[];
  /** The clock of each node can be set. */
  readonly clocks: readonly [primary: SystemWithClock, edge: SystemWithClock, fallback: SystemWithClock];
  /** Resolves when all nodes have the last event. */
  settled(): Promise<void>;
}

async function withNodes(body: (nodes: Nodes, cluster: Cluster) => Promise<void>, flags = {}): Promise<void> {
  const clocks = [new SystemWithClock(), new SystemWithClock(), new SystemWithClock()] as const;
  await withCluster(async (cluster) => {
    const primary = apiOf(await cluster.primary({}, undefined, clocks[0]));
    const edge = apiOf(await cluster.edge("edge", primary, {}, clocks[1]));
    const fallback = apiOf(await cluster.fallback(primary, { refresh: "1s" }, clocks[2]));
    const settled = async () => {
      await converged(edge.node, primary.node);
      await converged(fallback.node, primary.node);
    };
    await settled();
    await body({ primary, edge, fallback, all: [primary, edge, fallback], clocks, settled }, cluster);
  }, flags);
}

const statuses = (nodes: readonly Api[], token: string) =>
  Promise.all(nodes.map(async (node) => (await readWith(node, token)).status));

describe("a key", () => {
  test(
    "expires on the primary, the edge and the fallback by the clock of each",
    () =>
      withNodes(async ({ primary, edge, all, clocks, settled }) => {
        const { token, expires } = await grantKey(edge, { role: "read", expires: "90d" });
        await settled();
        expect(await statuses(all, token)).toEqual([200, 200, 200]);
        for (const [index, clock] of clocks.entries()) {
          clock.aheadMs = 91 * day;
          expect(await statuses(all, token)).toEqual(all.map((_, other) => (other <= index ? 401 : 200)));
        }
        expect((await readWith(edge, token)).text).toContain(`this API key expired at ${expires}`);
        // An edge refuses it before it reads and forwards a write.
        const write = await edge.call("POST", "/api/batch", { headers: withKey(token), body: [] });
        expect([write.status, write.text]).toEqual([401, expect.stringContaining("expired")]);
        expect(must(primary.node.state()).offset).toBe(must(edge.node.state()).offset);
      }),
    timeoutMs,
  );

  test(
    "whose expiry is in the log stays refused on all nodes, whatever their clocks say",
    () =>
      withNodes(
        async ({ all, primary, clocks, settled }) => {
          const { token, id } = await grantKey(primary, { role: "read", expires: "1d" });
          await settled();
          const { offset } = must(primary.node.state());
          // Only the primary's clock has reached the expiry.
          clocks[0].aheadMs = 2 * day;
          await eventually(() => expect(must(primary.node.state()).offset).toBeGreaterThan(offset));
          expect(primary.node.engine().secretsOf(id)[0]?.hasExpired).toBe(true);
          clocks[0].aheadMs = 0;
          await settled();
          expect(await statuses(all, token)).toEqual([401, 401, 401]);
        },
        { "advanced.keyExpiryCheckIntervalMs": "20ms", "advanced.retentionClockSteadyMs": "50ms" },
      ),
    timeoutMs,
  );

  test(
    "that is revoked or rotated is refused as soon as a node has the event; streams of edges end",
    () =>
      withNodes(async ({ all, primary, edge, settled }) => {
        const revoked = await grantKey(primary, { role: "read", expires: "1d" });
        const rotated = await grantKey(primary, { role: "read" });
        await settled();
        // All nodes have the keys in their caches.
        expect(await statuses(all, revoked.token)).toEqual([200, 200, 200]);
        expect(await statuses(all, rotated.token)).toEqual([200, 200, 200]);
        const streams = [
          await openSource(edge.url, { key: revoked.token }),
          await openSource(primary.url, { key: rotated.token }),
        ];
        expect((await edge.call("DELETE", `/api/keys/${revoked.id}`)).status).toBe(200);
        const { token } = await rotateKey(edge, rotated.id, { grace: "0" });
        // The edge has answered after it had applied the events.
        expect(await statuses([primary, edge], revoked.token)).toEqual([401, 401]);
        expect(await statuses([primary, edge], rotated.token)).toEqual([401, 401]);
        await settled();
        expect(await statuses(all, revoked.token)).toEqual([401, 401, 401]);
        expect(await statuses(all, rotated.token)).toEqual([401, 401, 401]);
        expect(await statuses(all, token)).toEqual([200, 200, 200]);
        for (const stream of streams) {
          expect(await stream.ended).toBe(true);
          expect(stream.received.at(-1)?.type).toBe("end");
        }
      }),
    timeoutMs,
  );

  test(
    "that is revoked by the event for which its read waits is refused",
    () =>
      withNodes(async ({ primary, edge, settled }) => {
        const { id, token } = await grantKey(primary, { role: "read" });
        await settled();
        expect((await readWith(edge, token)).status).toBe(200);
        const removed = await primary.call("DELETE", `/api/keys/${id}`);
        const headers = { ...withKey(token), osooffset: must(removed.headers.get("osooffset")) };
        expect((await edge.call("GET", "/api/stats", { headers })).status).toBe(401);
      }),
    timeoutMs,
  );

  test(
    "with restricted writes is restricted on an edge too, also before the edge knows the key",
    () =>
      withNodes(async ({ primary, edge, fallback }) => {
        await primary.call("POST", "/api/policy", { body: { src: wildcardPolicy } });
        const { token } = await grantKey(primary, { role: "write", only_types: ["User", "Org"] });
        const send = async (api: Api, one: object) =>
          (await api.call("POST", "/api/batch", { headers: withKey(token), body: [{ inserts: [one] }] })).status;
        const inside = role("a", "member", Org("x"));
        const outside = fact(
          "has_role",
          { type: "User", id: "a" },
          { type: "String", id: "admin" },
          { type: "Repo", id: "r" },
        );
        expect([await send(edge, outside), await send(edge, inside)]).toEqual([403, 200]);
        expect([await send(primary, outside), await send(primary, inside)]).toEqual([403, 200]);
        expect(await send(fallback, inside)).toBe(503);
        for (const [path, body] of [
          ["/api/policy", { src: "actor User {}" }],
          ["/api/clear_data", {}],
        ] as const)
          expect([path, (await edge.call("POST", path, { headers: withKey(token), body })).status]).toEqual([
            path,
            403,
          ]);
      }),
    timeoutMs,
  );
});

describe("last uses", () => {
  const minute = /T\d\d:\d\d:00\.000Z$/;
  const quick = { "advanced.keyUsesIntervalMs": "50ms" };

  test(
    "are reported by edges and fallbacks, known on all nodes, and survive restarts",
    () =>
      withNodes(async ({ primary, edge, fallback, all, clocks, settled }, cluster) => {
        const atEdge = await grantKey(primary, { role: "read", expires: "9d" });
        const atFallback = await grantKey(primary, { role: "read" });
        const unused = await grantKey(primary, { role: "read" });
        await settled();
        const { offset } = must(primary.node.state());
        expect((await readWith(edge, atEdge.token)).status).toBe(200);
        expect((await readWith(fallback, atFallback.token)).status).toBe(200);
        for (const api of all)
          for (const { id } of [atEdge, atFallback])
            await eventually(async () => expect((await listedKey(api, id))?.last_used).toMatch(minute));
        expect((await listedKey(primary, unused.id))?.last_used).toBeNull();
        const usedAt = (await listedKey(primary, atEdge.id))?.last_used;
        // A later use of the same key, by a node whose clock is ahead, counts as one of now.
        clocks[1].aheadMs = 8 * day;
        expect((await readWith(edge, atEdge.token)).status).toBe(200);
        await eventually(async () => {
          const { last_used: last } = must(await listedKey(edge, atEdge.id));
          expect(Date.parse(must(last))).toBeGreaterThan(Date.now() + 7 * day);
        });
        // The report after this use of another key has the later use as well.
        expect((await readWith(edge, unused.token)).status).toBe(200);
        await eventually(async () => expect((await listedKey(primary, unused.id))?.last_used).toMatch(minute));
        const reported = Date.parse(must((await listedKey(primary, atEdge.id))?.last_used));
        expect(reported).toBeGreaterThanOrEqual(Date.parse(must(usedAt)));
        expect(reported).toBeLessThanOrEqual(Date.now());
        // No event was needed.
        expect(must(primary.node.state()).offset).toBe(offset);
        await cluster.stop();
        const again = apiOf(await cluster.primary());
        expect((await listedKey(again, atEdge.id))?.last_used).toMatch(minute);
        expect((await listedKey(again, atFallback.id))?.last_used).toMatch(minute);
      }, quick),
    timeoutMs,
  );

  test("are accepted from other nodes only, whatever they send", () =>
    withCluster(async (cluster) => {
      const primary = apiOf(await cluster.primary());
      const report = (uses: string, key: string, method = "POST") =>
        fetch(`${primary.url}/replication/v1/key-uses`, {
          method,
          headers: { authorization: `Bearer ${key}`, "Ostiary-Key-Uses": uses },
        });
      expect((await report("admin=29000000", adminKey)).status).toBe(401);
      expect((await report("", nodeKey, "GET")).status).toBe(405);
      for (const uses of ["", "=", ",,,", "a", "a=b=c", "a=-1", "a=1e999", "__proto__=5", "x=9,".repeat(1000)]) {
        const { status } = await report(uses, nodeKey);
        expect([uses, status]).toEqual([uses, 200]);
      }
      const { uses } = (await (await report("ghost=5,admin=99999999999", nodeKey)).json()) as { uses: object };
      const minute = expect.any(Number);
      expect(uses).toEqual({ x: 9, ghost: 5, admin: minute });
      const last = Date.parse(must((await listedKey(primary, "admin"))?.last_used));
      expect(last).toBeLessThanOrEqual(Date.now());
      expect(await listedKey(primary, "ghost")).toBeUndefined();
    }));
});
