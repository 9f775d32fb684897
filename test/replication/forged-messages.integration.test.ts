/**
 * A client that may publish at the broker, because the access list permits everything, but that does not have the node
 * key: nodes ignore its messages.
 */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectAsync, type MqttClient } from "mqtt";
import { decodeBatch, decodeHead, type EventBatch, type Head } from "../../src/replication/transport/messages.ts";
import { topicsOf } from "../../src/replication/transport/topics.ts";
import type { Node } from "../../src/replication/node.ts";
import { chainHash } from "../../src/log/event/position.ts";
import type { PrimaryNode } from "../../src/roles/primary.ts";
import { metrics } from "../../src/telemetry/metrics.ts";
import { must } from "../../src/util/assert.ts";
import { prepareMosquitto, type Mosquitto } from "../e2e/mosquitto.ts";
import { converged, eventually, insert, loadPolicy, mayRead, refusal, withCluster, type Running } from "./cluster.ts";
import { withCapturedLog } from "./captured-log.ts";

// A timeout of the test runner would kill the broker.
setDefaultTimeout(120_000);

const topics = topicsOf("ostiary/v1", "test");
const everything = "user ostiary-primary\ntopic readwrite #\n\nuser ostiary-edge\ntopic readwrite #\n";

interface Scene {
  readonly primary: Running<PrimaryNode>;
  readonly edge: Running<Node>;
  readonly intruder: MqttClient;
  /** The last message that the intruder has read. */
  readonly batch: () => EventBatch;
  readonly head: () => Head;
  readonly lines: readonly string[];
}

describe("with an access list that permits everything", () => {
  const refused = async (): Promise<number> => (await metrics.brokerMessagesRejected.get()).values[0]?.value ?? 0;

  test("a forged event is not applied, although its offset and its hash are right", () =>
    withIntruder(async ({ primary, edge, intruder, batch, lines }) => {
      const before = await refused();
      const seen = batch();
      const body = must(seen.ev[0])[3] as string;
      const row = {
        offset: seen.l + 1,
        timeMs: Date.now(),
        kind: must(seen.ev[0])[2],
        body: body.replaceAll("ann", "eve"),
        traceparent: null,
      };
      const forged: EventBatch = {
        ...seen,
        p: seen.l,
        l: row.offset,
        h: chainHash(seen.h, row),
        d: null,
        ev: [[row.offset, row.timeMs, row.kind, row.body, row.traceparent]],
      };
      for (let count = 0; count < 5; count++)
        await intruder.publishAsync(topics.events, JSON.stringify(forged), { qos: 1 });
      await eventually(async () => expect((await refused()) - before).toBeGreaterThanOrEqual(5));
      expect(mayRead(edge.node, "eve")).toBe(false);
      expect(edge.node.health()).toMatchObject({ ok: true, state: "LIVE" });
      expect(lines.join("")).toContain("check in the broker's access list");
      await insert(primary.node, "bob");
      await converged(edge.node, primary.node);
      expect(mayRead(edge.node, "eve")).toBe(false);
    }));

  test("a forged head does not stop an edge from answering", () =>
    withIntruder(async ({ primary, edge, intruder, head }) => {
      const real = head();
      const forgeries: Partial<Head>[] = [
        { d: "0000000000000000" },
        { h: "0000000000000000" },
        { l: real.l + 1000 },
        { e: "0123456789abcdef" },
        { e: "0123456789abcdef", n: real.n + 1 },
      ];
      for (const change of forgeries) {
        const before = await refused();
        const text = JSON.stringify({ ...real, ...change });
        await intruder.publishAsync(topics.head, text, { qos: 1, retain: true });
        await eventually(async () => expect(await refused()).toBeGreaterThan(before));
        expect(edge.node.health()).toMatchObject({ ok: true });
        expect(mayRead(edge.node, "ann")).toBe(true);
      }
      // Nor does it stop the primary from writing.
      await insert(primary.node, "bob");
      await converged(edge.node, primary.node);
      expect(edge.node.health().state).toBe("LIVE");
      expect(primary.node.health().epoch).toBe(real.e);
    }));

  test("a forged status does not acknowledge a write", () =>
    withMosquitto((mosquitto) =>
      withCluster(async (cluster) => {
        const waiting = { ack: "edges:1", "advanced.ackTimeoutMs": "300ms" };
        const primary = await cluster.primary({ ...login(mosquitto, "ostiary-primary"), ...waiting });
        await eventually(() => expect(primary.node.health().isBrokerConnected).toBe(true));
        await withReader(mosquitto, async (intruder) => {
          const before = await refused();
          const status = { v: 1, epoch: primary.node.health().epoch, offset: 1000 };
          await intruder.publishAsync(topics.status("edge-1"), JSON.stringify(status), { qos: 1 });
          await eventually(async () => expect(await refused()).toBeGreaterThan(before));
          await refusal(insert(primary.node, "ann"));
        });
      }),
    ));

  test("a node's messages are valid only at their topic", () =>
    withIntruder(async ({ primary, edge, intruder, head }) => {
      const authenticated = new Promise<Buffer>((resolve) => {
        intruder.on("message", (topic, payload) => topic === topics.head && resolve(payload));
      });
      const before = await refused();
      await intruder.publishAsync(topics.events, await authenticated, { qos: 1 });
      await eventually(async () => expect(await refused()).toBeGreaterThan(before));
      expect(edge.node.health()).toMatchObject({ ok: true, offset: head().l });
      await insert(primary.node, "bob");
      await converged(edge.node, primary.node);
    }));
});

async function withMosquitto(body: (mosquitto: Mosquitto) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "ostiary-forged-"));
  const mosquitto = await prepareMosquitto(directory, { acl: everything });
  try {
    await mosquitto.start();
    await body(mosquitto);
  } finally {
    await mosquitto.kill();
    rmSync(directory, { recursive: true, force: true });
  }
}

const withIntruder = (body: (scene: Scene) => Promise<void>): Promise<void> =>
  withMosquitto((mosquitto) =>
    withCapturedLog((lines) =>
      withCluster(async (cluster) => {
        const primary = await cluster.primary(login(mosquitto, "ostiary-primary"));
        await loadPolicy(primary.node);
        const edge = await cluster.edge("edge-1", primary, login(mosquitto, "ostiary-edge"));
        await eventually(() => expect(edge.node.health().state).toBe("LIVE"));
        await withReader(mosquitto, async (intruder, batch, head) => {
          await insert(primary.node, "ann");
          await converged(edge.node, primary.node);
          await eventually(() => expect(head().l).toBe(must(edge.node.health().offset)));
          await body({ primary, edge, intruder, batch, head, lines });
        });
      }),
    ),
  );

const login = (mosquitto: Mosquitto, user: "ostiary-primary" | "ostiary-edge") => ({
  broker: mosquitto.url,
  brokerUsername: user,
  brokerPassword: mosquitto.passwords[user],
});

async function withReader(
  mosquitto: Mosquitto,
  body: (client: MqttClient, batch: () => EventBatch, head: () => Head) => Promise<void>,
): Promise<void> {
  const client = await connectAsync(mosquitto.url, {
    protocolVersion: 5,
    clientId: "intruder",
    username: "ostiary-edge",
    password: mosquitto.passwords["ostiary-edge"],
    reconnectPeriod: 0,
  });
  let batch: EventBatch | undefined;
  let head: Head | undefined;
  client.on("message", (topic, payload) => {
    const decoded = topic === topics.head ? decodeHead(payload) : decodeBatch(payload);
    if ("problem" in decoded) return; // its own message
    if ("ev" in decoded.message) batch = decoded.message;
    else head = decoded.message;
  });
  await client.subscribeAsync([topics.events, topics.head], { qos: 0 });
  await body(
    client,
    () => must(batch),
    () => must(head),
  );
  await client.endAsync();
}
