/**
 * A healthy cluster: writes on one node become visible on the others, and a client reads its own writes immediately.
 */
import { describe, expect, test } from "bun:test";
import { Folder, Organization, Repository, User } from "../../scripts/example/facts.ts";
import { questions } from "../../scripts/example/questions.ts";
import { freePort } from "../../scripts/node-process.ts";
import { brokers, eventually, expectConverged, healthOf, scenarioTimeoutMs, withCluster } from "./cluster.ts";

describe.each([...brokers])("with the %s broker", (broker) => {
  test(
    "all nodes answer the queries of the example",
    () =>
      withCluster({ broker, fallback: true }, async ({ primary, edges, fallback, client }) => {
        await expectConverged(primary, [...edges, fallback]);
        for (const node of [primary, ...edges, fallback]) {
          const oso = client(node);
          for (const { text, ask, expected } of questions) {
            expect({ node: node.name, text, answer: await ask(oso) }).toEqual({
              node: node.name,
              text,
              answer: expected,
            });
          }
        }
      }),
    scenarioTimeoutMs,
  );

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
    "a client of an edge reads its own writes",
    () =>
      withCluster({ broker }, async ({ primary, edges: [edge, other], client }) => {
        if (edge === undefined || other === undefined) throw new Error("two edges are needed");
        const oso = client(edge);
        for (let index = 0; index < 20; index++) {
          await oso.insert(["has_role", User(`yan-${index}`), "writer", Folder("acme/src")]);
          expect(await oso.authorize(User(`yan-${index}`), "create_repository", Folder("acme/src/tools"))).toBe(true);
          await oso.delete(["has_role", User(`yan-${index}`), null, Folder("acme/src")]);
          expect(await oso.authorize(User(`yan-${index}`), "create_repository", Folder("acme/src/tools"))).toBe(false);
        }
        await expectConverged(primary, [edge, other]);
      }),
    scenarioTimeoutMs,
  );

  test(
    "a policy and the deletion of all data reach the edges",
    () =>
      withCluster({ broker }, async ({ primary, edges, client, adminKey }) => {
        const writer = client(primary);
        await writer.policy(
          'actor User {} resource Organization { permissions = ["read"]; roles = ["owner"]; "read" if "owner"; }',
        );
        await expectConverged(primary, edges);
        for (const edge of edges) {
          const { resources } = await client(edge).getPolicyMetadata();
          expect(Object.keys(resources).toSorted()).toEqual(["Organization", "User", "global"]);
          expect(await client(edge).authorize(User("alice"), "read", Organization("acme"))).toBe(true);
        }
        const cleared = await fetch(`${primary.url}/api/clear_data`, {
          method: "POST",
          headers: { Authorization: `Bearer ${adminKey}` },
        });
        expect(cleared.status).toBe(200);
        await expectConverged(primary, edges);
        for (const edge of edges) expect(await client(edge).get(["has_role"])).toEqual([]);
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
