/**
 * kill -9 of one process at a time: the others continue to answer, no answer is wrong, and a restarted process catches
 * up.
 */
import * as Bun from "bun";
import { describe, expect, test } from "bun:test";
import { cpSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Oso } from "oso-cloud";
import { builtBinary } from "../../scripts/built-binary.ts";
import { Repository, User } from "../../scripts/example/facts.ts";
import { questions } from "../../scripts/example/questions.ts";
import {
  brokers,
  eventually,
  expectConverged,
  healthOf,
  scenarioTimeoutMs,
  withCluster,
  type Cluster,
} from "./cluster.ts";

describe.each([...brokers])("with the %s broker", (broker) => {
  test(
    "the primary dies: edges and fallback answer, writes are refused quickly, and everything continues when it is back",
    () =>
      withCluster({ broker, fallback: true }, async (cluster) => {
        const { primary, edges, fallback, client } = cluster;
        await expectConverged(primary, [...edges, fallback]);
        await primary.kill();
        for (const node of [...edges, fallback]) await expectRightAnswers(client(node));
        for (const edge of edges) {
          const refused = await insert(cluster, edge.url, "nobody");
          expect(refused.status).toBe(503);
          expect(Number(refused.headers.get("Retry-After"))).toBeGreaterThan(0);
        }
        await primary.start();
        expect(await client(primary).authorize(User("nobody"), "read", Repository("kernel"))).toBe(false);
        await client(primary).insert(["has_role", User("vic"), "reader", Repository("kernel")]);
        for (const node of [...edges, fallback]) {
          await eventually(
            () => client(node).authorize(User("vic"), "read", Repository("kernel")),
            `vic reads at ${node.name}`,
          );
        }
        const throughEdge = await eventuallyAccepted(cluster, edges[0]?.url ?? "", "wes");
        expect(throughEdge).toBe(200);
        await expectConverged(primary, [...edges, fallback]);
      }),
    scenarioTimeoutMs,
  );

  test(
    "the primary dies during writes: no acknowledged write is lost, and the edges agree",
    () =>
      withCluster({ broker }, async ({ primary, edges, client }) => {
        const stream = streamWrites(client(primary));
        await eventually(async () => stream.acknowledged.length > 10, "writes are acknowledged");
        await primary.kill();
        const written = await stream.stop();
        await primary.start();
        const found = await client(primary).get(["has_role", null, "reader", Repository("stream")]);
        const ids = new Set(found.map(([, user]) => (user as { id: string }).id));
        expect(written.filter((id) => !ids.has(id))).toEqual([]);
        await client(primary).insert(["is_banned", User("stream")]);
        await expectConverged(primary, edges);
      }),
    scenarioTimeoutMs,
  );
});

/** So only its probes of the primary end the wait of an edge before the test gives up. */
const waitsForMinutes = { OSTIARY_FORWARD_TIMEOUT_MS: "1m" };

test(
  "a write through an edge does not wait for a hanging primary: it is refused",
  () =>
    withCluster({ broker: "embedded", edges: 1, environment: waitsForMinutes }, async (cluster) => {
      const [edge] = cluster.edges;
      if (edge === undefined) throw new Error("an edge is needed");
      cluster.primary.signal("SIGSTOP");
      // The edge considers it alive at first, later silent.
      for (let attempt = 0; attempt < 2; attempt++) {
        const refused = await insert(cluster, edge.url, `frozen-${attempt}`);
        expect(refused.status).toBe(503);
        expect(Number(refused.headers.get("Retry-After"))).toBeGreaterThan(0);
        await eventually(async () => (await healthOf(edge)).state !== "LIVE", "the edge notices the silence", 40_000);
      }
      cluster.primary.signal("SIGCONT");
      expect(await eventuallyAccepted(cluster, edge.url, "thawed")).toBe(200);
      await expectConverged(cluster.primary, cluster.edges);
    }),
  scenarioTimeoutMs,
);

test(
  "Mosquitto dies: writes continue, the edges poll over HTTP, and get events from it again when it is back",
  () =>
    withCluster({ broker: "mosquitto" }, async ({ primary, edges, mosquitto, client }) => {
      await mosquitto?.kill();
      await client(primary).insert(["is_banned", User("uma")]);
      await expectConverged(primary, edges);
      for (const edge of edges) {
        await eventually(async () => (await healthOf(edge)).state === "STALE_FEED", `${edge.name} notices the silence`);
        expect(await client(edge).authorize(User("uma"), "read", Repository("website"))).toBe(false);
      }
      // Nothing but their requests brings them this one.
      await client(primary).insert(["is_banned", User("ute")]);
      await expectConverged(primary, edges);
      await mosquitto?.start();
      for (const edge of edges) {
        await eventually(async () => (await healthOf(edge)).state === "LIVE", `${edge.name} is live again`, 40_000);
      }
      await client(primary).insert(["is_banned", User("tim")]);
      await expectConverged(primary, edges);
    }),
  scenarioTimeoutMs,
);

test.each([
  ["of its database", (name: string) => /\.db(?:-wal|-shm)?$/.test(name)],
  ["of its whole directory", () => true],
])(
  "the edges take over the state of a primary that was restored from an old copy %s",
  (_what, restored) =>
    withCluster({ broker: "mosquitto" }, async ({ primary, edges, client }) => {
      await primary.stop();
      const backup = `${primary.directory}-backup`;
      cpSync(primary.directory, backup, { recursive: true });
      await primary.start();
      for (const name of ["alice", "erin", "dave"]) await client(primary).insert(["is_banned", User(name)]);
      await expectConverged(primary, edges);

      await primary.stop();
      for (const name of readdirSync(primary.directory).filter(restored)) {
        rmSync(join(primary.directory, name), { recursive: true });
      }
      for (const name of readdirSync(backup).filter(restored)) {
        cpSync(join(backup, name), join(primary.directory, name), { recursive: true });
      }
      await primary.start();
      await client(primary).insert(["has_role", User("new"), "reader", Repository("kernel")]);
      for (const edge of edges) {
        // The bans belonged to the old history, which is gone.
        const reader = client(edge);
        await eventually(() => reader.authorize(User("alice"), "delete", Repository("compiler")), "the old writes go");
        await eventually(() => reader.authorize(User("new"), "read", Repository("kernel")), "the new write comes");
      }
      await expectConverged(primary, edges);
    }),
  scenarioTimeoutMs,
);

test(
  "two primaries on one broker: the older one is fenced and refuses writes",
  () =>
    withCluster({ broker: "mosquitto", edges: 1 }, async (cluster) => {
      const { primary, node } = cluster;
      const usurper = await node("usurper", "primary", cluster.mosquitto?.primary);
      // It continues the same history: a primary with another history would not start.
      await restoreFrom(cluster, primary, usurper.directory);
      await usurper.start();
      await eventually(
        async () => (await insert(cluster, primary.url, "late")).status === 503,
        "the older one refuses writes",
      );
      // The other one is the primary, this one does not become it again, and still answers queries.
      expect((await insert(cluster, usurper.url, "new")).status).not.toBe(503);
      expect((await insert(cluster, primary.url, "late")).status).toBe(503);
      await expectRightAnswers(cluster.client(primary));
    }),
  scenarioTimeoutMs,
);

async function restoreFrom({ adminKey, nodeKey, directory }: Cluster, node: { url: string }, data: string) {
  const binary = await builtBinary();
  const file = join(directory, "taken.backup");
  const environment = { OSO_AUTH: adminKey, OSTIARY_NODE_KEY: nodeKey };
  for (const command of [
    ["backup", "--url", node.url, "--out", file],
    ["restore", file, "--data", data],
  ]) {
    const { exitCode, stderr } = Bun.spawnSync([binary, ...command], { env: environment, timeout: 30_000 });
    if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr.toString()}`);
  }
}

async function expectRightAnswers(oso: Oso): Promise<void> {
  for (const { text, ask, expected } of questions)
    expect({ text, answer: await ask(oso) }).toEqual({ text, answer: expected });
}

/** Without the official client, which would try three times. */
function insert({ adminKey }: Cluster, url: string, user: string): Promise<Response> {
  return fetch(`${url}/api/batch`, {
    method: "POST",
    headers: { Authorization: `Bearer ${adminKey}`, "Content-Type": "application/json" },
    signal: AbortSignal.timeout(20_000),
    body: JSON.stringify([
      {
        inserts: [
          {
            predicate: "has_role",
            args: [
              { type: "User", id: user },
              { type: "String", id: "reader" },
              { type: "Repository", id: "kernel" },
            ],
          },
        ],
      },
    ]),
  });
}

async function eventuallyAccepted(cluster: Cluster, url: string, user: string): Promise<number> {
  let status = 0;
  await eventually(
    async () => (status = (await insert(cluster, url, user)).status) === 200,
    "a write through the edge",
  );
  return status;
}

/** Writes facts until it is stopped or refused; resolves with the users whose writes were acknowledged. */
function streamWrites(oso: Oso) {
  const acknowledged: string[] = [];
  let stopped = false;
  const running = (async () => {
    for (let index = 0; !stopped; index++) {
      await oso.insert(["has_role", User(`stream-${index}`), "reader", Repository("stream")]);
      acknowledged.push(`stream-${index}`);
    }
  })().catch(() => undefined);
  return {
    acknowledged,
    async stop(): Promise<string[]> {
      stopped = true;
      await running;
      return acknowledged;
    },
  };
}
