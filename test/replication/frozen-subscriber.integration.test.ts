/** Frozen subscribers of the embedded broker do not delay the edges. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { freePort } from "../../scripts/node-process.ts";
import { topicsOf } from "../../src/replication/transport/topics.ts";
import { converged, eventually, loadPolicy, nodeKey, reader, untraced, withCluster } from "./cluster.ts";
import { freezeSubscriber } from "./raw-mqtt.ts";

setDefaultTimeout(120_000);

const topics = topicsOf("ostiary/v1", "test");

test("an edge is up to date while subscribers are frozen", () =>
  withCluster(
    async (cluster) => {
      const port = await freePort();
      const primary = await cluster.primary({ mqttPort: String(port) });
      await loadPolicy(primary.node);
      const edge = await cluster.edge("edge-1", primary);
      await eventually(() => expect(edge.node.health().state).toBe("LIVE"));
      const frozen = await Promise.all(
        ["frozen-1", "frozen-2", "frozen-3"].map((clientId) =>
          freezeSubscriber({ port, clientId, password: nodeKey, topics: [topics.events, topics.head] }),
        ),
      );
      // About 25 KB each, together more than the system buffers.
      for (let round = 0; round < 80; round++) {
        const write = (part: number) => {
          const inserts = Array.from({ length: 80 }, (_, index) =>
            reader(`${round}-${part}-${index}-${"x".repeat(220)}`),
          );
          return primary.node.writes.batch([{ inserts }], untraced);
        };
        await Promise.all([1, 2, 3, 4, 5].map(write));
      }
      await converged(edge.node, primary.node);
      // So the edge did not wait until they lost their connections.
      expect(primary.node.health().brokerClients).toBe(4);
      for (const socket of frozen) socket.destroy();
    },
    // So long that only the event stream can bring the events.
    {
      "advanced.brokerDrainTimeoutMs": "10m",
      "advanced.headIntervalMs": "200ms",
      "advanced.brokerSilenceMsMax": "20m",
      "advanced.gapGraceMs": "10m",
    },
  ));
