/** Access control: nodes need the node key, and only the primary can publish to its topics. */
import { expect, test } from "bun:test";
import { connectAsync, type MqttClient } from "mqtt";
import { Repository, User } from "../../scripts/example/facts.ts";
import { randomHex } from "../../scripts/node-process.ts";
import {
  brokers,
  eventually,
  expectConverged,
  healthOf,
  scenarioTimeoutMs,
  withCluster,
  type Cluster,
} from "./cluster.ts";

test.each([...brokers])(
  "a node with the wrong node key is refused (%s broker)",
  (broker) =>
    withCluster({ broker, edges: 1 }, async ({ primary, node, client }) => {
      const wrong = { OSTIARY_NODE_KEY: randomHex(32) };
      const strangers = [await node("stranger", "edge", wrong), await node("strange-fallback", "fallback", wrong)];
      for (const stranger of strangers) stranger.launch();
      for (const stranger of strangers) {
        await eventually(async () => /node key/i.test(stranger.output), `${stranger.name} reports the refusal`);
        expect(stranger.running).toBe(true);
        const health = await fetch(`${stranger.url}/healthcheck`);
        expect(health.status).toBe(503);
        expect(
          await client(stranger)
            .authorize(User("alice"), "delete", Repository("compiler"))
            .catch(() => "refused"),
        ).toBe("refused");
      }
      const asked = await fetch(`${primary.url}/replication/v1/head`, {
        headers: { Authorization: `Bearer ${wrong.OSTIARY_NODE_KEY}` },
      });
      expect(asked.status).toBe(401);
      expect((await fetch(`${primary.url}/replication/v1/snapshot`)).status).toBe(401);
    }),
  scenarioTimeoutMs,
);

test.each([...brokers])(
  "the credentials of an edge do not permit forged events or heads (%s broker)",
  (broker) =>
    withCluster({ broker, edges: 1 }, async (cluster) => {
      const { primary, edges, client } = cluster;
      const { epoch, offset } = await healthOf(primary);
      if (offset === null) throw new Error("the primary has no log");
      const forged = JSON.stringify({
        ...{
          v: 1,
          s: "default",
          e: epoch,
          t: Date.now(),
          p: offset,
          l: offset + 1,
          h: "0123456789abcdef",
        },
        ev: [[offset + 1, Date.now(), "facts", forgedGrant, null]],
      });
      for (const topic of ["ostiary/v1/default/ev", "ostiary/v1/default/head", "ostiary/v1/default/node/edge-a"]) {
        const attacker = await connectAsEdge(cluster, "attacker");
        // Mosquitto answers an MQTT 5 publisher with 135; the embedded broker closes the connection.
        const closed = new Promise<void>((resolve) => attacker.once("close", () => resolve()));
        await Promise.race([attacker.publishAsync(topic, forged, { qos: 1 }).catch(() => undefined), closed]);
        await attacker.endAsync(true);
      }
      // The next event comes after the forged ones, if these come at all.
      await client(primary).insert(["has_role", User("next"), "reader", Repository("kernel")]);
      await expectConverged(primary, edges);
      for (const node of [primary, ...edges])
        expect(await client(node).authorize(User("attacker"), "delete", Repository("compiler"))).toBe(false);
      await eventually(async () => (await healthOf(edges[0] ?? primary)).state === "LIVE", "the edge is still live");
    }),
  scenarioTimeoutMs,
);

const forgedGrant = JSON.stringify({
  kind: "facts",
  inserted: [
    {
      predicate: "has_role",
      args: [
        { type: "User", id: "attacker" },
        { type: "String", id: "owner" },
        { type: "Organization", id: "acme" },
      ],
    },
  ],
  deleted: [],
});

/** Logs in with the credentials of an edge. */
function connectAsEdge({ mosquitto, primary, nodeKey }: Cluster, id: string): Promise<MqttClient> {
  const common = { clientId: id, clean: true, reconnectPeriod: 0, connectTimeout: 5000 };
  if (mosquitto === undefined) {
    const url = `${primary.url.replace("http:", "ws:")}/mqtt`;
    return connectAsync(url, { ...common, protocolVersion: 4, username: id, password: nodeKey });
  }
  return connectAsync(mosquitto.url, {
    ...common,
    protocolVersion: 5,
    username: mosquitto.edge["OSTIARY_BROKER_USERNAME"] ?? "",
    password: mosquitto.edge["OSTIARY_BROKER_PASSWORD"] ?? "",
  });
}
