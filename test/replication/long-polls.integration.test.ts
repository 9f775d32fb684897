/**
 * While no broker can be reached, edges long-poll the primary for its next head: writes and tokens take no longer than
 * with the event stream.
 */
import { describe, expect, test } from "bun:test";
import { freePort } from "../../scripts/node-process.ts";
import { eventually, insert, loadPolicy, mayRead, post, reader, withCluster, type Cluster } from "./cluster.ts";
import { openBrokerProxy } from "./broker-proxy.ts";

/** Only an answer of the primary can be in time, because the next poll is a minute away. */
const flags = {
  "advanced.pollIntervalMs": "1m",
  "advanced.brokerSilenceMsMax": "300ms",
  "advanced.headIntervalMs": "100ms",
  "advanced.consistencyWait": "5s",
};

/** A primary and two edges whose only broker is down. */
async function withoutBroker(cluster: Cluster, more: Record<string, string> = {}) {
  const mqttPort = await freePort();
  const primary = await cluster.primary({ ...flags, ...more, mqttPort: String(mqttPort) });
  const broker = await openBrokerProxy(mqttPort);
  const follow = { ...flags, ...more, broker: broker.url };
  const edges = [await cluster.edge("edge-1", primary, follow), await cluster.edge("edge-2", primary, follow)] as const;
  await eventually(() => loadPolicy(primary.node));
  await eventually(() => expect(edges.map(({ node }) => node.health().state)).toEqual(["LIVE", "LIVE"]));
  broker.close();
  await eventually(() => expect(edges.map(({ node }) => node.health().state)).toEqual(["STALE_FEED", "STALE_FEED"]));
  return { primary, edges, mqttPort };
}

describe("without a reachable broker", () => {
  test("an edge has applied a forwarded write when it answers, and another edge applies it for its token", () =>
    withCluster(async (cluster) => {
      const { edges } = await withoutBroker(cluster);
      const [one, other] = edges;
      for (const user of ["ann", "bob", "eve"]) {
        const answer = await post(one.url, "/api/batch", [{ inserts: [reader(user)] }]);
        expect(answer.status).toBe(200);
        expect(mayRead(one.node, user)).toBe(true);
        await other.node.waitFor(answer.headers.get("OsoOffset") ?? "");
        expect(mayRead(other.node, user)).toBe(true);
      }
    }));

  test("a write that needs acknowledgements is acknowledged", () =>
    withCluster(async (cluster) => {
      const { primary, edges } = await withoutBroker(cluster, { ack: "edges:2", "advanced.ackTimeoutMs": "5s" });
      for (const user of ["ann", "bob", "eve"]) {
        await insert(primary.node, user);
        expect(edges.map(({ node }) => mayRead(node, user))).toEqual([true, true]);
      }
    }));

  test(
    "edges report that they ask the primary over HTTP, and why",
    () =>
      withCluster(
        async (cluster) => {
          const { primary, edges } = await withoutBroker(cluster, { "advanced.pollIntervalMs": "1s" });
          const following = async (url: string) =>
            ((await (await fetch(`${url}/healthcheck`)).json()) as { following?: string }).following;
          expect(await following(edges[0].url)).toBe(
            "it gets events from the primary over HTTP, because no broker is connected",
          );
          expect(await following(primary.url)).toBeUndefined();
          const connected = await cluster.edge("edge-3", primary);
          await eventually(async () => expect(await following(connected.url)).toBe("it gets events from a broker"));
          await primary.stop();
          for (const { url } of [edges[0], connected])
            await eventually(async () =>
              expect(await following(url)).toBe("the primary does not answer: the database of this node may be old"),
            );
        },
        { "advanced.pollIntervalMs": "1s", "advanced.brokerSilenceMsMax": "300ms" },
      ),
    120_000,
  );

  test("edges report that they have all events, and stop without waiting for the primary", () =>
    withCluster(async (cluster) => {
      const { primary, edges } = await withoutBroker(cluster);
      await edges[0].node.waitForLatest();
      expect((await fetch(`${edges[0].url}/readyz`)).status).toBe(200);
      // A stop that waits for the long polls of other nodes would take a minute.
      await primary.stop();
    }));
});
