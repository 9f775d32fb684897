/** A healthy cluster: writes on one node become visible on the others, with their token immediately. */
import { describe, expect, test } from "bun:test";
import { Repository, User } from "../../scripts/example/facts.ts";
import { freePort } from "../../scripts/node-process.ts";
import { brokers, eventually, expectConverged, healthOf, scenarioTimeoutMs, withCluster } from "./cluster.ts";

describe.each([...brokers])("with the %s broker", (broker) => {
  test(
    "a write to the primary becomes visible on both edges, immediately with its consistency token",
    () =>
      withCluster({ broker }, async ({ primary, edges, client, adminKey }) => {
        const writer = client(primary);
        await writer.insert(["has_role", User("zoe"), "reader", Repository("kernel")]);
        for (const edge of edges) {
          const reader = client(edge);
          await eventually(
            () => reader.authorize(User("zoe"), "read", Repository("kernel")),
            `zoe reads at ${edge.name}`,
          );
        }
        // Many times, because a token prevents a race of about a millisecond.
        for (let index = 0; index < 30; index++) {
          await writer.insert(["has_role", User(`zoe-${index}`), "reader", Repository("kernel")]);
          const token = writer.api.lastOffset ?? "";
          const allowed = await Promise.all(
            edges.map((edge) => authorizeWith(edge.url, adminKey, token, `zoe-${index}`)),
          );
          expect(allowed).toEqual([true, true]);
        }
        await expectConverged(primary, edges);
      }),
    scenarioTimeoutMs,
  );

  test(
    "a later edge starts from a snapshot and then gets events",
    () =>
      withCluster({ broker, edges: 1 }, async ({ primary, edges, client, node }) => {
        const late = await node("edge-late", "edge");
        await late.start();
        await expectConverged(primary, [...edges, late]);
        await client(primary).insert(["is_banned", User("alice")]);
        await eventually(
          async () => !(await client(late).authorize(User("alice"), "delete", Repository("compiler"))),
          "the ban arrives",
        );
        await eventually(async () => (await healthOf(late)).state === "LIVE", "it gets events from the broker");
      }),
    scenarioTimeoutMs,
  );
});

test(
  "edges can connect to the embedded broker over plain MQTT",
  () =>
    withCluster({ broker: "embedded", edges: 0 }, async ({ primary, node, client, nodeKey }) => {
      await primary.stop();
      const port = String(await freePort());
      primary.launch({ OSTIARY_MQTT_PORT: port });
      await primary.ready();
      const edge = await node("edge-tcp", "edge", {
        OSTIARY_BROKER: `mqtt://127.0.0.1:${port}`,
        OSTIARY_BROKER_USERNAME: "edge-tcp",
        OSTIARY_BROKER_PASSWORD: nodeKey,
      });
      await edge.start(({ state }) => state === "LIVE");
      await client(primary).insert(["is_banned", User("alice")]);
      await expectConverged(primary, [edge]);
      expect(edge.output).toContain(`mqtt://127.0.0.1:${port}`);
    }),
  scenarioTimeoutMs,
);

async function authorizeWith(url: string, key: string, token: string, user: string): Promise<boolean> {
  const response = await fetch(`${url}/api/authorize`, {
    method: "POST",
    headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json", OsoOffset: token },
    body: JSON.stringify({
      actor_type: "User",
      actor_id: user,
      action: "read",
      resource_type: "Repository",
      resource_id: "kernel",
      context_facts: [],
    }),
  });
  expect(response.status).toBe(200);
  return ((await response.json()) as { allowed: boolean }).allowed;
}
