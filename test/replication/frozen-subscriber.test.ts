/** Frozen subscribers of the embedded broker do not delay the other edges. */
import * as Bun from "bun";
import { expect, setDefaultTimeout, test } from "bun:test";
import { freePort } from "../../scripts/node-process.ts";
import { topicsOf } from "../../src/replication/transport/topics.ts";
import { converged, eventually, loadPolicy, nodeKey, reader, untraced, withCluster } from "./cluster.ts";
import { freezeSubscriber } from "./raw-mqtt.ts";

setDefaultTimeout(120_000);

const topics = topicsOf("ostiary/v1", "test");

test.each([
  ["TCP", undefined],
  ["WebSocket", "/mqtt"],
])("an edge is up to date while others are frozen (%s)", (_over, path) =>
  withCluster(
    async (cluster) => {
      const mqttPort = await freePort();
      const primary = await cluster.primary({ mqttPort: String(mqttPort) });
      await loadPolicy(primary.node);
      const edge = await cluster.edge("edge-1", primary);
      await eventually(() => expect(edge.node.health().state).toBe("LIVE"));
      const port = path === undefined ? mqttPort : Number(new URL(primary.url).port);
      const frozen = await Promise.all(
        ["frozen-1", "frozen-2", "frozen-3"].map((clientId) =>
          freezeSubscriber({ port, path, clientId, password: nodeKey, topics: [topics.events, topics.head] }),
        ),
      );
      const late: Promise<number>[] = [];
      const offset = (): number => edge.node.health().offset ?? 0;
      const lateness = async (target: number): Promise<number> => {
        const startMs = performance.now();
        while (offset() < target) await Bun.sleep(5);
        return performance.now() - startMs;
      };
      // About 25 KB each, until all subscribers have lost their connection.
      const endMs = performance.now() + 60_000;
      for (let count = 0; performance.now() < endMs && primary.node.health().brokerClients !== 1; count++) {
        const write = (part: number) => {
          const users = Array.from({ length: 80 }, (_, index) =>
            reader(`${count}-${part}-${index}-${"x".repeat(220)}`),
          );
          return primary.node.writes.batch([{ inserts: users }], untraced);
        };
        await Promise.all([1, 2, 3, 4, 5].map(write));
        late.push(lateness(primary.node.health().offset ?? 0));
        await Bun.sleep(5);
      }
      expect(primary.node.health().brokerClients).toBe(1);
      // Without a separate limit, each message would wait for the drain timeout, here 10 s.
      expect(Math.max(...(await Promise.all(late)))).toBeLessThan(3500);
      await converged(edge.node, primary.node);
      for (const socket of frozen) socket.destroy();
    },
    // Heads are so rare that they help too late.
    { "advanced.brokerDrainTimeoutMs": "10s", "advanced.headIntervalMs": "9s", "advanced.brokerSilenceMsMax": "60s" },
  ),
);
