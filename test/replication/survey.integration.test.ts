/** What each node says of all nodes: `GET /api/nodes` and `GET /api/events/:offset/applied` on a real cluster. */
import * as Bun from "bun";
import { describe, expect, test } from "bun:test";
import { build } from "../../src/runtime/version.ts";
import type { Node } from "../../src/replication/node.ts";
import { apiOf } from "../http/api.ts";
import { nodesOf, appliedOf } from "../http/nodes.ts";
import { adminKey, converged, eventually, insert, loadPolicy, nodeKey, type Running, withCluster } from "./cluster.ts";

/** Nobody listens there. */
const deadBroker = "mqtt://127.0.0.1:1";
const names = ["primary", "edge-a", "edge-b", "fallback"];

/** Repeats until the node lists exactly these nodes, all of which answered. */
async function listsAll(node: Running<Node>, expected = names): Promise<void> {
  await eventually(async () => {
    const nodes = await nodesOf(apiOf(node));
    expect(nodes.map((each) => each.node)).toEqual(expected);
    const silent = nodes.filter(({ answered, role }) => !answered && role !== "fallback");
    expect(silent).toEqual([]);
  });
}

describe.each([
  ["with the embedded broker", "embedded"],
  ["while no broker answers", deadBroker],
] as const)("%s", (_, broker) => {
  test(
    "each node lists all nodes with role, position, state and version, and when each had an event",
    () =>
      withCluster(async (cluster) => {
        const usesBroker = broker === "embedded";
        const settings = { broker };
        const primary = await cluster.primary(settings);
        const edges = [
          await cluster.edge("edge-a", primary, settings),
          await cluster.edge("edge-b", primary, settings),
        ];
        const fallback = await cluster.fallback(primary, usesBroker ? {} : { follow: "true" });
        await loadPolicy(primary.node);
        for (const { node } of [...edges, fallback]) await converged(node, primary.node);
        // Nobody knows when the events in a snapshot became visible, so this one comes after it.
        await insert(primary.node, "alice");
        for (const { node } of [...edges, fallback]) await converged(node, primary.node);
        for (const node of [primary, ...edges, fallback]) await listsAll(node);
        const offset = primary.node.health().offset;
        for (const node of [primary, ...edges]) {
          const nodes = await nodesOf(apiOf(node));
          for (const each of nodes) {
            expect(each).toMatchObject({ version: build.version, ready: true, lag_events: 0, offset });
            expect(each.seen_ms_ago).toBeLessThan(60_000);
          }
          expect(nodes.map(({ role }) => role)).toEqual(["primary", "edge", "edge", "fallback"]);
          expect(nodes.find(({ node: name }) => name === "edge-a")?.brokers.map(({ connected }) => connected)).toEqual([
            usesBroker,
          ]);
        }
        for (const node of [primary, ...edges]) {
          const applied = await appliedOf(apiOf(node), Number(offset));
          expect(applied.committed).not.toBeNull();
          expect(applied.nodes.map(({ node: name, has_event }) => [name, has_event])).toEqual(
            names.map((name) => [name, true]),
          );
          for (const each of applied.nodes.filter(({ role }) => role !== "fallback")) {
            expect(each.after_ms).toBeGreaterThanOrEqual(0);
            expect(each.answered).toBe(true);
          }
          expect(applied.nodes[0]?.after_ms).toBe(0);
        }
        expect((await apiOf(primary).call("GET", `/api/events/${Number(offset) + 1}/applied`)).status).toBe(404);
        expect((await apiOf(primary).call("GET", "/api/events/x/applied")).status).toBe(400);
      }),
    120_000,
  );
});

test(
  "an edge whose primary is gone lists its peers that answer, and the others as they were",
  () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      const other = await cluster.edge("edge-b", primary);
      const edge = await cluster.edge("edge-a", primary, { peers: other.url });
      await loadPolicy(primary.node);
      await converged(edge.node, primary.node);
      await listsAll(edge, ["primary", "edge-a", "edge-b"]);
      await primary.stop();
      await eventually(async () => {
        const nodes = await nodesOf(apiOf(edge));
        expect(nodes.map((each) => each.node)).toEqual(["primary", "edge-a", "edge-b"]);
        const [gone, own, peer] = nodes;
        expect(gone).toMatchObject({ answered: false, lag_events: null });
        expect(gone?.seen_ms_ago).toBeGreaterThan(0);
        expect(own).toMatchObject({ answered: true, seen_ms_ago: 0, offset: edge.node.health().offset });
        expect(peer).toMatchObject({ seen_ms_ago: 0, offset: other.node.health().offset });
      });
    }),
  120_000,
);

test(
  "a node that does not answer stays in the list as it was last known, and a lost one says so",
  () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      const edge = await cluster.edge("edge-a", primary);
      await loadPolicy(primary.node);
      await converged(edge.node, primary.node);
      await listsAll(primary, ["primary", "edge-a"]);
      await edge.stop();
      await eventually(async () => {
        const gone = (await nodesOf(apiOf(primary))).find(({ node }) => node === "edge-a");
        expect(gone).toMatchObject({ state: "GONE", answered: false, ready: null });
      });
    }),
  120_000,
);

test(
  "a primary of an earlier version, which has no such request, leaves an edge with what it knows itself",
  () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      // It refuses the requests that release 0.1.0 does not have, as that release does.
      const old = Bun.serve({
        hostname: "127.0.0.1",
        port: 0,
        fetch: async (request) => {
          const { pathname, search } = new URL(request.url);
          if (/\/(?:survey|report)$/.test(pathname))
            return Response.json({ message: "no such route", code: "not_found" }, { status: 404 });
          return fetch(primary.url + pathname + search, {
            method: request.method,
            headers: request.headers,
            ...(request.method === "POST" && { body: await request.bytes() }),
          });
        },
      });
      try {
        const edge = await cluster.edge("edge-a", { url: `http://127.0.0.1:${old.port}` }, { broker: deadBroker });
        await loadPolicy(primary.node);
        await converged(edge.node, primary.node);
        const nodes = await nodesOf(apiOf(edge));
        expect(nodes.map((each) => [each.node, each.offset])).toEqual([
          ["primary", primary.node.health().offset],
          ["edge-a", edge.node.health().offset],
        ]);
        // The primary knows the edge from its positions.
        await eventually(async () => {
          const known = (await nodesOf(apiOf(primary))).find(({ node }) => node === "edge-a");
          expect(known).toMatchObject({ role: "edge", offset: edge.node.health().offset, answered: false });
        });
      } finally {
        await old.stop(true);
      }
    }),
  120_000,
);

test("other nodes need the node key, and malformed reports and questions are refused", () =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary();
    const edge = await cluster.edge("edge-a", primary);
    const ask = async (url: string, method: string, path: string, key: string, body?: string): Promise<number> =>
      (
        await fetch(`${url}/replication/v1/${path}`, {
          method,
          headers: { Authorization: `Bearer ${key}` },
          ...(body !== undefined && { body }),
        })
      ).status;
    expect(await ask(primary.url, "GET", "survey", adminKey)).toBe(401);
    expect(await ask(primary.url, "POST", "report", adminKey, "{}")).toBe(401);
    expect(await ask(primary.url, "GET", "survey?trace=1", nodeKey)).toBe(400);
    expect(await ask(primary.url, "GET", "survey?offset=-1", nodeKey)).toBe(400);
    expect(await ask(primary.url, "POST", "report", nodeKey, "{")).toBe(400);
    expect(await ask(primary.url, "POST", "report", nodeKey, `"${"x".repeat(1_100_000)}"`)).toBe(400);
    expect(await ask(edge.url, "GET", "survey", nodeKey)).toBe(409);
  }));
