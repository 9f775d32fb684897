/** Several independent brokers: if one of them fails, edges get each event immediately from another one. */
import * as Bun from "bun";
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Node } from "../../src/replication/node.ts";
import type { PrimaryNode } from "../../src/roles/primary.ts";
import { metrics } from "../../src/telemetry/metrics.ts";
import { prepareMosquitto, type Mosquitto } from "../e2e/mosquitto.ts";
import {
  converged,
  eventually,
  forgetHead,
  insert,
  loadPolicy,
  mayRead,
  refusal,
  successorOf,
  withCluster,
  type Running,
} from "./cluster.ts";

// A timeout of the test runner would kill the broker of all later tests.
setDefaultTimeout(120_000);

/** So long that an event that the brokers do not deliver, or that waits for a hanging one, does not arrive in a test. */
const brokersOnly = {
  "advanced.pollIntervalMs": "10m",
  "advanced.headIntervalMs": "200ms",
  "advanced.brokerSilenceMsMax": "20m",
  "advanced.gapGraceMs": "10m",
  "advanced.brokerKeepaliveMs": "10m",
};

describe("with two Mosquittos", () => {
  let directory: string;
  let first: Mosquitto;
  let second: Mosquitto;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "ostiary-brokers-"));
    first = await prepareMosquitto(join(directory, "first"));
    second = await prepareMosquitto(join(directory, "second"), { like: first });
    await Promise.all([first.start(), second.start()]);
  });

  afterAll(async () => {
    await Promise.all([first.kill(), second.kill()]);
    rmSync(directory, { recursive: true, force: true });
  });

  const name = (mosquitto: Mosquitto): string => new URL(mosquitto.url).host;
  const at = (role: "primary" | "edge", broker = `${first.url},${second.url}`) => ({
    broker,
    brokerUsername: first[role]["OSTIARY_BROKER_USERNAME"] ?? "",
    brokerPassword: first[role]["OSTIARY_BROKER_PASSWORD"] ?? "",
  });

  afterEach(async () => {
    const { brokerUsername: username, brokerPassword: password } = at("primary");
    for (const { url } of [first, second]) await forgetHead(url, { username, password });
  });

  const withTwo = (body: (primary: Running<PrimaryNode>, edge: Running<Node>) => Promise<void>) =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary(at("primary"));
      await loadPolicy(primary.node);
      const edge = await cluster.edge("edge-1", primary, at("edge"));
      for (const { node } of [primary, edge]) {
        await eventually(() => expect(node.health().brokers.map(({ connected }) => connected)).toEqual([true, true]));
      }
      await eventually(() => expect(edge.node.health().state).toBe("LIVE"));
      await body(primary, edge);
    }, brokersOnly);

  test("each delivers every event, and duplicates are dropped", () =>
    withTwo(async (primary, edge) => {
      const counts = async () => ({
        received: await total(metrics.brokerEvents, { direction: "received" }),
        duplicates: await total(metrics.brokerDuplicates),
        applied: (await total(metrics.eventsApplied)) - (await total(metrics.eventsApplied, { source: "write" })),
        gaps: await total(metrics.brokerGaps),
      });
      // Earlier events have arrived twice once nothing arrives any more.
      let before = await counts();
      for (let quietMs = 0; quietMs < 500; quietMs += 100) {
        await Bun.sleep(100);
        const now = await counts();
        if (now.received !== before.received) quietMs = 0;
        before = now;
      }
      // A broker that is slow for a moment gets several events in a message.
      second.freeze();
      for (let index = 0; index < 20; index++) await insert(primary.node, `user-${index}`);
      second.thaw();
      await converged(edge.node, primary.node);
      await eventually(async () => expect((await counts()).received - before.received).toBe(40));
      await eventually(async () => expect((await counts()).duplicates).toBeGreaterThan(before.duplicates));
      expect((await counts()).applied - before.applied).toBe(20);
      expect((await counts()).gaps).toBe(before.gaps);
      expect(edge.node.health().brokers).toEqual([
        { broker: name(first), connected: true },
        { broker: name(second), connected: true },
      ]);
    }));

  test("one is killed and returns, then the other: edges are live all the time, and get each event", () =>
    withTwo(async (primary, edge) => {
      const states = new Set<string>();
      const write = async (user: string): Promise<void> => {
        await insert(primary.node, user);
        await eventually(() => expect(mayRead(edge.node, user)).toBe(true));
        states.add(edge.node.health().state);
      };
      for (const [index, broker] of [first, second, first].entries()) {
        await broker.kill();
        for (let count = 0; count < 20; count++) await write(`dead-${index}-${count}`);
        for (const { node } of [primary, edge]) {
          expect(node.health().isBrokerConnected).toBe(true);
          expect(node.health().brokers).toContainEqual({ broker: name(broker), connected: false });
        }
        await broker.start();
        for (const { node } of [primary, edge]) {
          await eventually(() =>
            expect(node.health().brokers).toContainEqual({ broker: name(broker), connected: true }),
          );
        }
        await write(`back-${index}`);
      }
      states.delete("CATCHUP"); // for the moment of each connect
      expect([...states]).toEqual(["LIVE"]);
    }));

  test("one hangs: the messages that it does not read delay nothing at the other", () =>
    withTwo(async (primary, edge) => {
      first.freeze();
      try {
        for (let index = 0; index < 300; index++) await insert(primary.node, `user-${index}`);
        await converged(edge.node, primary.node);
        expect(edge.node.health().state).toBe("LIVE");
      } finally {
        first.thaw();
      }
      await insert(primary.node, "ann");
      await converged(edge.node, primary.node);
    }));

  test("one hangs while nodes stop: they do not wait for it", () =>
    withTwo(async (primary, edge) => {
      first.freeze();
      try {
        await edge.stop();
        await primary.stop();
      } finally {
        first.thaw();
      }
    }));

  test("a primary that was replaced at one of them is fenced at all", () =>
    withCluster(async (cluster) => {
      const older = await cluster.primary(at("primary"));
      await loadPolicy(older.node);
      await eventually(() => expect(older.node.health().brokers.every(({ connected }) => connected)).toBe(true));
      const data = successorOf(older, join(cluster.directory, "newer"));
      const newer = await cluster.primary({ ...at("primary", second.url), data });
      await eventually(() => expect(newer.node.health().isBrokerConnected).toBe(true));
      await eventually(() =>
        expect(older.node.health()).toMatchObject({
          isBrokerConnected: false,
          brokers: [
            { broker: name(first), connected: false },
            { broker: name(second), connected: false },
          ],
        }),
      );
      expect(await refusal(insert(older.node, "split"))).toMatchObject({ code: "not_ready" });
      await loadPolicy(newer.node);
      expect(newer.node.health().isBrokerConnected).toBe(true);
      expect(older.node.health().isBrokerConnected).toBe(false);
    }));

  test("the embedded one and an external one: each edge is served by those that it knows", () =>
    withCluster(async (cluster) => {
      const both = `embedded,${second.url}`;
      const primary = await cluster.primary(at("primary", both));
      await loadPolicy(primary.node);
      const edges = await Promise.all([
        cluster.edge("both", primary, at("edge", both)),
        cluster.edge("inside", primary),
        cluster.edge("outside", primary, at("edge", second.url)),
      ]);
      for (const { node } of edges) {
        await eventually(() => expect(node.health().brokers.every(({ connected }) => connected)).toBe(true));
        await eventually(() => expect(node.health().state).toBe("LIVE"));
      }
      expect(edges[0]?.node.health().brokers.map(({ broker }) => broker)).toEqual([
        new URL(primary.url).host,
        name(second),
      ]);
      expect(primary.node.health()).toMatchObject({
        brokers: [
          { broker: "embedded", connected: true },
          { broker: name(second), connected: true },
        ],
        brokerClients: 2,
      });
      await insert(primary.node, "ann");
      for (const { node } of edges) await converged(node, primary.node);
    }, brokersOnly));
});

async function total(
  counter: { get(): Promise<{ values: readonly { readonly value: number; readonly labels: object }[] }> },
  wanted: Readonly<Record<string, string>> = {},
): Promise<number> {
  const { values } = await counter.get();
  return values
    .filter(({ labels }) => Object.entries(wanted).every(([name, value]) => Reflect.get(labels, name) === value))
    .reduce((sum, { value }) => sum + value, 0);
}
