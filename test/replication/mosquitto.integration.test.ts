/**
 * A real external broker, as `compose/` configures it: MQTT 5, passwords and access rules; a crash of the broker, and
 * two primaries at the same broker.
 */
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectAsync, type MqttClient } from "mqtt";
import { BrokerConnection } from "../../src/replication/transport/broker-connection.ts";
import { realSystem } from "../../src/replication/system.ts";
import { topicsOf } from "../../src/replication/transport/topics.ts";
import { prepareMosquitto, type Mosquitto } from "../e2e/mosquitto.ts";
import {
  converged,
  eventually,
  forgetHead,
  insert,
  loadPolicy,
  mayRead,
  refusal,
  positionOf,
  successorOf,
  withCluster,
} from "./cluster.ts";

// A timeout of the test runner would kill the broker of all later tests.
setDefaultTimeout(120_000);

const topics = topicsOf("ostiary/v1", "test");

describe("with a real Mosquitto", () => {
  let directory: string;
  let mosquitto: Mosquitto;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "ostiary-mosquitto-"));
    mosquitto = await prepareMosquitto(directory);
    await mosquitto.start();
  });

  afterAll(async () => {
    await mosquitto.kill();
    rmSync(directory, { recursive: true, force: true });
  });

  const flags = (role: "primary" | "edge") => ({
    broker: mosquitto.url,
    brokerUsername: mosquitto[role]["OSTIARY_BROKER_USERNAME"] ?? "",
    brokerPassword: mosquitto[role]["OSTIARY_BROKER_PASSWORD"] ?? "",
  });

  afterEach(() =>
    forgetHead(mosquitto.url, {
      username: flags("primary").brokerUsername,
      password: flags("primary").brokerPassword,
    }),
  );

  const client = (role: "primary" | "edge", clientId: string): Promise<MqttClient> => {
    const { brokerUsername: username, brokerPassword: password } = flags(role);
    return connectAsync(mosquitto.url, { protocolVersion: 5, clientId, username, password, reconnectPeriod: 0 });
  };

  test(
    "edges follow, and are live again after an outage of the broker; meanwhile they use HTTP",
    () =>
      withCluster(
        async (cluster) => {
          const primary = await cluster.primary(flags("primary"));
          await loadPolicy(primary.node);
          const edge = await cluster.edge("edge-1", primary, flags("edge"));
          await converged(edge.node, primary.node);
          await eventually(() => expect(edge.node.health().state).toBe("LIVE"));
          await mosquitto.kill();
          await insert(primary.node, "ann");
          await eventually(() => expect(mayRead(edge.node, "ann")).toBe(true));
          await eventually(() =>
            expect(edge.node.health()).toMatchObject({ ok: true, state: "STALE_FEED", isBrokerConnected: false }),
          );
          await mosquitto.start();
          await eventually(() => expect(edge.node.health()).toMatchObject({ state: "LIVE", isBrokerConnected: true }));
          await insert(primary.node, "bob");
          await converged(edge.node, primary.node);
        },
        {
          "advanced.brokerSilenceMsMax": "500ms",
          "advanced.pollIntervalMs": "200ms",
          "advanced.headIntervalMs": "200ms",
        },
      ),
    120_000,
  );

  test("a node's status is there while it runs, its last status after a stop, and its will after a crash", () =>
    withCluster(async (cluster) => {
      const statuses: string[] = [];
      const witness = await connectAsync(mosquitto.url, {
        protocolVersion: 5,
        clientId: "witness",
        username: "ostiary-witness",
        password: mosquitto.passwords["ostiary-witness"],
        reconnectPeriod: 0,
      });
      witness.on("message", (_topic, payload) =>
        statuses.push((JSON.parse(payload.toString()) as { state: string }).state),
      );
      await witness.subscribeAsync(topics.status("edge-7"), { qos: 0 });
      const primary = await cluster.primary(flags("primary"));
      const edge = await cluster.edge("edge-7", primary, flags("edge"));
      await eventually(() => expect(statuses.length).toBeGreaterThan(0));
      expect(["BOOTSTRAP", "CATCHUP", "LIVE", "DISCONNECTED", "STALE_FEED"]).toContain(statuses.at(-1) ?? "");
      await edge.stop();
      await eventually(() => expect(statuses.at(-1)).toBe("GONE"));

      const { brokerUsername: username, brokerPassword: password } = flags("edge");
      const will = { topic: topics.status("edge-7"), payload: JSON.stringify({ state: "DEAD" }) };
      const options = {
        url: mosquitto.url,
        clientId: "edge-7",
        username,
        password,
        will,
        connectTimeoutMs: 2000,
        keepaliveMs: 5000,
      };
      const connection = new BrokerConnection({ ...options, ownership: false });
      connection.start();
      await eventually(() => expect(connection.connected).toBe(true));
      connection.reconnect(); // ends the connection without a DISCONNECT
      await eventually(() => expect(statuses.at(-1)).toBe("DEAD"));
      await connection.close();
      await witness.endAsync();
    }));

  test("an edge's password cannot forge events or heads", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary(flags("primary"));
      await loadPolicy(primary.node);
      const edge = await cluster.edge("edge-1", primary, flags("edge"));
      await converged(edge.node, primary.node);
      const before = positionOf(edge.node);
      const intruder = await client("edge", "intruder");
      for (const topic of [topics.events, topics.head, topics.status("edge-1")]) {
        expect((await refusal(intruder.publishAsync(topic, "forged", { qos: 1 }))).message).toContain("Not authorized");
      }
      expect(positionOf(edge.node)).toEqual(before);
      await intruder.endAsync();
    }));

  test("of two primaries the older one is fenced: it publishes and writes nothing any more", () =>
    withCluster(async (cluster) => {
      const older = await cluster.primary(flags("primary"));
      await loadPolicy(older.node);
      await eventually(() => expect(older.node.health().isBrokerConnected).toBe(true));
      const data = successorOf(older, join(cluster.directory, "newer"));
      const newer = await cluster.primary({ ...flags("primary"), data });
      await eventually(() => expect(newer.node.health().isBrokerConnected).toBe(true));
      await eventually(() => expect(older.node.health().isBrokerConnected).toBe(false));
      const refused = await refusal(insert(older.node, "split"));
      expect(refused).toMatchObject({ code: "not_ready", message: expect.stringContaining("another primary") });
      await loadPolicy(newer.node);
      await insert(newer.node, "ann");
      await eventually(() => expect(older.node.health().state).toBe("FENCED"));
      // It does not connect again to take the client id back: a fenced primary never does.
      expect(newer.node.health().isBrokerConnected).toBe(true);
      expect(older.node.health().isBrokerConnected).toBe(false);
    }));

  test("an edge's password cannot fence the primary by taking its client id", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary(flags("primary"));
      await loadPolicy(primary.node);
      await eventually(() => expect(primary.node.health().isBrokerConnected).toBe(true));
      const intruder = await client("edge", "ostiary-primary-test");
      await insert(primary.node, "ann");
      expect(primary.node.health().isBrokerConnected).toBe(true);
      await intruder.endAsync();
    }));

  test("a wrong password is retried, and works once it is right", async () => {
    const { brokerUsername: username } = flags("edge");
    const options = {
      url: mosquitto.url,
      clientId: "edge-9",
      username,
      connectTimeoutMs: 2000,
      keepaliveMs: 5000,
      ownership: false as const,
    };
    let attempts = 0;
    const connectMqtt: typeof realSystem.connectMqtt = (attempt) => (attempts++, realSystem.connectMqtt(attempt));
    const connection = new BrokerConnection({ ...options, password: "wrong" }, { ...realSystem, connectMqtt });
    connection.start();
    await eventually(() => expect(attempts).toBeGreaterThan(1));
    expect(connection.connected).toBe(false);
    await connection.close();
    const right = new BrokerConnection({ ...options, password: flags("edge").brokerPassword });
    right.start();
    await eventually(() => expect(right.connected).toBe(true));
    expect(right.window).toBe(8);
    await right.close();
  });
});
