/**
 * What a real Mosquitto may do to the event stream: lose messages and retained heads, stall, refuse, have low limits,
 * permit everything.
 */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectAsync, type MqttClient } from "mqtt";
import { BrokerConnection, type BrokerConnectionOptions } from "../../src/replication/transport/broker-connection.ts";
import { topicsOf } from "../../src/replication/transport/topics.ts";
import type { PrimaryNode } from "../../src/roles/primary.ts";
import { prepareMosquitto, type Mosquitto, type MosquittoOptions } from "../e2e/mosquitto.ts";
import { converged, eventually, insert, loadPolicy, reader, refusal, untraced, withCluster } from "./cluster.ts";
import { withCapturedLog } from "./captured-log.ts";
import { openBrokerProxy } from "./broker-proxy.ts";

// A timeout of the test runner would kill the broker of all later tests.
setDefaultTimeout(120_000);

const topics = topicsOf("ostiary/v1", "test");
const linkDefaults = { clientId: "edge-9", connectTimeoutMs: 2000, keepaliveMs: 5000, ownership: false } as const;

async function withMosquitto(options: MosquittoOptions, body: (mosquitto: Mosquitto) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "ostiary-mosquitto-"));
  const mosquitto = await prepareMosquitto(directory, options);
  try {
    await mosquitto.start();
    await body(mosquitto);
  } finally {
    await mosquitto.kill();
    rmSync(directory, { recursive: true, force: true });
  }
}

type User = "ostiary-primary" | "ostiary-edge";

const flags = (mosquitto: Mosquitto, user: User, broker = mosquitto.url) => ({
  broker,
  brokerUsername: user,
  brokerPassword: mosquitto.passwords[user],
});

const clientAt = (mosquitto: Mosquitto, user: User, clientId: string): Promise<MqttClient> =>
  connectAsync(mosquitto.url, {
    protocolVersion: 5,
    clientId,
    username: user,
    password: mosquitto.passwords[user],
    reconnectPeriod: 0,
  });

const linkTo = (mosquitto: Mosquitto, user: User, options: Partial<BrokerConnectionOptions> = {}): BrokerConnection =>
  new BrokerConnection({
    ...linkDefaults,
    url: mosquitto.url,
    username: user,
    password: mosquitto.passwords[user],
    ...options,
  });

/** An event of about 25 KB, which still fits in a message. */
async function insertMuch(node: PrimaryNode, name: string): Promise<void> {
  const users = Array.from({ length: 80 }, (_, index) => reader(`${name}-${index}-${"x".repeat(220)}`));
  await node.writes.batch([{ inserts: users }], untraced);
}

describe("a real Mosquitto", () => {
  test("is used with MQTT 5", () =>
    withMosquitto({}, (mosquitto) =>
      withCluster(async (cluster) => {
        const primary = await cluster.primary(flags(mosquitto, "ostiary-primary"));
        await cluster.edge("edge-1", primary, flags(mosquitto, "ostiary-edge"));
        await eventually(() => expect(mosquitto.output).toMatch(/as ostiary-primary-test-\w+ \(p5, c1, k5,/));
        await eventually(() => expect(mosquitto.output).toMatch(/as edge-1 \(p5, c1, k5,/));
      }),
    ));

  test(
    "drops messages that a slow edge does not read: the edge still reaches the state of the others",
    () =>
      withMosquitto({ changes: { "max_queued_messages 10000": "max_queued_messages 5" } }, (mosquitto) =>
        withCluster(async (cluster) => {
          const proxy = await openBrokerProxy(Number(new URL(mosquitto.url).port));
          const primary = await cluster.primary(flags(mosquitto, "ostiary-primary"));
          await loadPolicy(primary.node);
          const fast = await cluster.edge("fast", primary, flags(mosquitto, "ostiary-edge"));
          // The timeout is long, since the broker would otherwise serve the edge over a new connection.
          const patient = { "advanced.brokerKeepaliveMs": "60s" };
          const slow = await cluster.edge("slow", primary, {
            ...flags(mosquitto, "ostiary-edge", proxy.url),
            ...patient,
          });
          for (const { node } of [fast, slow]) await eventually(() => expect(node.health().state).toBe("LIVE"));
          proxy.stall();
          const dropped = (): boolean => mosquitto.output.includes("being dropped for client slow");
          for (let round = 0; round < 600 && !dropped(); round++)
            await Promise.all([0, 1, 2, 3].map((index) => insertMuch(primary.node, `user-${round}-${index}`)));
          expect(dropped()).toBe(true);
          await converged(fast.node, primary.node);
          expect(fast.node.health().state).toBe("LIVE");
          proxy.resume();
          await insert(primary.node, "ann");
          for (const { node } of [fast, slow]) await converged(node, primary.node);
          await eventually(() => expect(slow.node.health().state).toBe("LIVE"));
          proxy.close();
        }),
      ),
    120_000,
  );

  test("has lost the retained head after a restart: the primary publishes a new one within a head interval", () =>
    withMosquitto({}, (mosquitto) =>
      withCluster(async (cluster) => {
        const primary = await cluster.primary(flags(mosquitto, "ostiary-primary"));
        await loadPolicy(primary.node);
        await eventually(() => expect(primary.node.health().isBrokerConnected).toBe(true));
        await mosquitto.kill();
        await eventually(() => expect(primary.node.health().isBrokerConnected).toBe(false));
        await mosquitto.start();
        const witness = await clientAt(mosquitto, "ostiary-edge", "witness");
        const heads: { readonly l: number; readonly retained: boolean }[] = [];
        witness.on("message", (_topic, payload, { retain }) => {
          const { l } = JSON.parse(payload.toString()) as { l: number };
          heads.push({ l, retained: retain });
        });
        await witness.subscribeAsync(topics.head, { qos: 0 });
        await eventually(() => expect(primary.node.health().isBrokerConnected).toBe(true));
        await eventually(() => expect(heads.length).toBeGreaterThan(0));
        // There was none before, and there is one for later subscribers.
        expect(heads[0]).toEqual({ l: primary.node.health().offset ?? 0, retained: false });
        const next = await clientAt(mosquitto, "ostiary-edge", "next");
        const retained = new Promise<boolean>((resolve) => {
          next.on("message", (_topic, _payload, { retain }) => resolve(retain));
        });
        await next.subscribeAsync(topics.head, { qos: 0 });
        expect(await retained).toBe(true);
        await Promise.all([witness.endAsync(), next.endAsync()]);
      }),
    ));

  test("gets no message later that could not be sent at its time", () =>
    withMosquitto({}, async (mosquitto) => {
      const publish = (link: BrokerConnection, text: string) =>
        refusal(link.publish(topics.events, text, { qos: 1, retain: false }));
      const link = linkTo(mosquitto, "ostiary-primary");
      expect((await publish(link, "before")).message).toBe("not connected to the broker");
      link.start();
      await eventually(() => expect(link.connected).toBe(true));
      mosquitto.freeze();
      const underWay = [publish(link, "first"), publish(link, "second")];
      // Both messages are on their way when this is answered.
      await new Promise((resolve) => setTimeout(resolve, 0));
      await mosquitto.kill();
      for (const error of await Promise.all(underWay)) expect(error.message).toContain("onnection closed");
      await eventually(() => expect(link.connected).toBe(false));
      expect((await publish(link, "meanwhile")).message).toBe("not connected to the broker");
      await mosquitto.start();
      const received: string[] = [];
      const witness = await clientAt(mosquitto, "ostiary-edge", "witness");
      witness.on("message", (_topic, payload) => received.push(payload.toString()));
      await witness.subscribeAsync(topics.events, { qos: 0 });
      await eventually(() => expect(link.connected).toBe(true));
      await link.publish(topics.events, "after", { qos: 1, retain: false });
      await eventually(() => expect(received).toEqual(["after"]));
      await Promise.all([witness.endAsync(), link.close()]);
    }));

  test("that forbids events is logged once, and edges use HTTP", () =>
    withMosquitto({}, (mosquitto) =>
      withCapturedLog((lines) =>
        withCluster(
          async (cluster) => {
            // The primary logs in as an edge, which may not publish events.
            const primary = await cluster.primary(flags(mosquitto, "ostiary-edge"));
            await loadPolicy(primary.node);
            const edge = await cluster.edge("edge-1", primary, flags(mosquitto, "ostiary-edge"));
            await eventually(() => expect(primary.node.health().isBrokerConnected).toBe(true));
            for (let index = 0; index < 5; index++) {
              await insert(primary.node, `user-${index}`);
              await converged(edge.node, primary.node);
            }
            const complaints = lines.filter((line) => line.includes("does not accept what this primary publishes"));
            expect(complaints).toHaveLength(1);
            expect(complaints[0]).toContain("Not authorized (the broker's access rules do not permit it");
            // Nothing was resent, and the connection is the first one.
            expect(primary.node.health().isBrokerConnected).toBe(true);
            expect(mosquitto.output.match(/as ostiary-primary-test/g)).toHaveLength(1);
          },
          { "advanced.brokerSilenceMsMax": "500ms", "advanced.pollIntervalMs": "200ms", "log.level": "warning" },
        ),
      ),
    ));

  test("with low limits gets no more messages at a time, and no larger ones, than it permits", () =>
    withMosquitto(
      {
        changes: {
          "max_inflight_messages 0": "max_inflight_messages 3",
          "max_packet_size 1048576": "max_packet_size 20000",
        },
      },
      async (mosquitto) => {
        const link = linkTo(mosquitto, "ostiary-primary");
        link.start();
        await eventually(() => expect(link.connected).toBe(true));
        expect(link.window).toBe(3);
        await link.close();
        await withCluster(async (cluster) => {
          const primary = await cluster.primary(flags(mosquitto, "ostiary-primary"));
          await loadPolicy(primary.node);
          const edge = await cluster.edge("edge-1", primary, flags(mosquitto, "ostiary-edge"));
          await eventually(() => expect(edge.node.health().state).toBe("LIVE"));
          await insertMuch(primary.node, "large");
          await Promise.all(Array.from({ length: 200 }, (_, index) => insert(primary.node, `user-${index}`)));
          await converged(edge.node, primary.node);
          expect(mosquitto.output.match(/as ostiary-primary-test/g)).toHaveLength(1);
        });
      },
    ));

  test("is killed: an edge stops in time although that was a moment ago", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      for (let attempt = 0; attempt < 3; attempt++)
        await withMosquitto({}, async (mosquitto) => {
          const edge = await cluster.edge(`edge-${attempt}`, primary, flags(mosquitto, "ostiary-edge"));
          await eventually(() => expect(edge.node.health().isBrokerConnected).toBe(true));
          await mosquitto.kill();
          await edge.stop();
        });
    }));
});
