/**
 * A replica behind an event stream that loses, repeats, delays and reorders messages, with a real primary, log and
 * store. For every seed, its final state is the primary's. The messages are real ones from the broker; only their
 * delivery is simulated.
 */
import { expect, test } from "bun:test";
import { connectAsync, type MqttClient } from "mqtt";
import { defaultLimits, type Limits } from "../../src/config/limits.ts";
import { topicsOf } from "../../src/replication/transport/topics.ts";
import { ReplicaLoop, type ReplicaLoopOptions } from "../../src/replication/replica/replica-loop.ts";
import { Peers } from "../../src/replication/transport/peers.ts";
import { HistoryGuard } from "../../src/replication/history-guard.ts";
import type { Node } from "../../src/replication/node.ts";
import type { PrimaryNode } from "../../src/roles/primary.ts";
import { fetchSnapshot } from "../../src/replication/snapshots/install-snapshot.ts";
import { realClusterSystem } from "../../src/roles/cluster-system.ts";
import { Writer } from "../../src/log/writer/writer.ts";
import { hashKey } from "../../src/store/keys/api-keys.ts";
import type { StoreState } from "../../src/store/log/store-state.ts";
import { metrics } from "../../src/telemetry/metrics.ts";
import { systemClock } from "../../src/util/clock.ts";
import { random as randomFrom } from "../../scripts/benchmark/random.ts";
import { seedsOf } from "../seeds.ts";
import {
  eventually,
  insert,
  loadPolicy,
  nodeKey,
  reader,
  positionOf,
  untraced,
  withCluster,
  type Running,
} from "./cluster.ts";
import { realSystem } from "../../src/replication/system.ts";

const topics = topicsOf("ostiary/v1", "test");
const limits: Limits = {
  ...defaultLimits,
  gapGraceMs: 20,
  // So long that only the event stream or an answer of the primary can be the reason for what a test expects.
  brokerSilenceMsMax: 3_600_000,
  retryDelayMsMin: 5,
  retryDelayMsMax: 50,
};

interface Following {
  readonly loop: ReplicaLoop;
  readonly state: () => StoreState | undefined;
  readonly snapshots: () => number;
}

const clientOf = ({ url }: Running<Node>) =>
  realClusterSystem.connectNode({ url, ackName: () => "test", nodeKey, logTimeoutMs: 5000, snapshotTimeoutMs: 5000 });

/** The parts of an edge without its connection to the broker, which the test replaces. */
async function withReplica(
  primary: Running<Node>,
  directory: string,
  body: (following: Following) => Promise<void>,
): Promise<void> {
  const writer = new Writer({ environment: "test", synchronous: "NORMAL", limits }, realSystem);
  const context = { environment: "test", data: directory, limits, system: realClusterSystem, clock: systemClock };
  const client = clientOf(primary);
  const guard = new HistoryGuard(directory, systemClock);
  let state: StoreState | undefined;
  let snapshots = 0;
  const installSnapshot: ReplicaLoopOptions["installSnapshot"] = async (
    _from,
    _replacing,
    _isDistrusted,
    onInstalled,
  ) => {
    const installed = await fetchSnapshot(context, {
      primary: client,
      guard,
      nodeKeyHashes: [hashKey(nodeKey)],
    });
    if (installed === "unchanged") throw new Error("no snapshot arrived");
    snapshots++;
    state = await writer.open(installed.path);
    onInstalled();
    return state;
  };
  writer.onStateChange((moved) => (state = moved.state));
  const loop = new ReplicaLoop(context, {
    writer,
    peers: new Peers([{ url: primary.url, client }], systemClock, () => state, guard),
    state: () => state,
    installSnapshot,
    onDivergence: () => {},
    onTrustChange: () => {},
    onDamage: (error) => loop.markDiverged(String(error), true),
    onVerified: () => {},
  });
  loop.start();
  try {
    await body({ loop, state: () => state, snapshots: () => snapshots });
  } finally {
    client.close();
    await loop.stop();
    await writer.stop();
  }
}

async function listen(
  primary: Running<Node>,
  deliver: (topic: string, payload: Uint8Array, retained: boolean) => void,
): Promise<MqttClient> {
  const options = {
    protocolVersion: 4,
    clientId: "witness",
    username: "witness",
    password: nodeKey,
    reconnectPeriod: 0,
  } as const;
  const client = await connectAsync(`${primary.url.replace("http", "ws")}/mqtt`, options);
  client.on("message", (topic, payload, packet) => deliver(topic, payload, packet.retain));
  await client.subscribeAsync([topics.events, topics.head], { qos: 0 });
  return client;
}

async function writeMuch(primary: PrimaryNode): Promise<void> {
  for (let round = 0; round < 60; round++) {
    const writes = Array.from({ length: 5 }, (_, index) => insert(primary, `u${round}-${index}`));
    if (round % 7 === 0) writes.push(primary.writes.batch([{ deletes: [reader(`u${round - 1}-0`)] }], untraced));
    await Promise.all(writes);
  }
}

test.each(seedsOf(1))("seed %d: after drops, duplicates, delays and reordering, the state is the primary's", (seed) =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary({ "advanced.headIntervalMs": "100ms" });
    await loadPolicy(primary.node);
    await withReplica(primary, cluster.directory, async ({ loop, state }) => {
      const random = randomFrom(seed);
      const deliver = (topic: string, payload: Uint8Array, retained: boolean): void =>
        topic === topics.events ? loop.receiveBatch(payload) : loop.receiveHead(payload, retained, "embedded");
      const client = await listen(primary, (topic, payload, retained) => {
        const luck = random();
        if (luck < 0.2) return;
        if (luck < 0.4) deliver(topic, payload, retained);
        if (luck < 0.6) setTimeout(() => deliver(topic, payload, retained), random() * 30);
        else deliver(topic, payload, retained);
      });
      loop.onSubscribed();
      await writeMuch(primary.node);
      await eventually(() => {
        const { epoch, offset, digest } = state() ?? {};
        expect({ epoch, offset, digest }).toEqual(
          positionOf(primary.node) as { epoch: string; offset: number; digest: string },
        );
      });
      expect(loop.isDiverged).toBe(false);
      await client.endAsync();
    });
  }),
);

async function catchUps(): Promise<number> {
  const { values } = await metrics.catchUps.get();
  return values.reduce((sum, { value }) => sum + value, 0);
}

test("malformed messages and messages of other environments change nothing", () =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary();
    await loadPolicy(primary.node);
    await withReplica(primary, cluster.directory, async ({ loop, state, snapshots }) => {
      await eventually(() => expect(state()?.offset).toBe(primary.node.health().offset ?? -1));
      const { epoch, term, offset, hash } = state() ?? { epoch: "", term: 0, offset: 0, hash: "" };
      const before = state();
      const forged = JSON.stringify({ kind: "facts", inserted: [reader("mallory")], deleted: [] });
      const batch = {
        v: 1,
        s: "test",
        e: epoch,
        t: 1,
        n: term,
        d: null,
        p: offset,
        l: offset + 1,
        h: hash,
        ev: [[offset + 1, 1, "facts", forged, null]],
      };
      const messages = [
        "",
        "{",
        "[]",
        JSON.stringify({ ...batch, v: 2 }),
        JSON.stringify({ ...batch, s: "other" }),
        JSON.stringify({ ...batch, e: "0123456789abcdef" }),
        JSON.stringify({ ...batch, ev: [] }),
        JSON.stringify(batch), // well formed, but with a guessed chain hash
        JSON.stringify({ ...batch, p: offset + 5, l: offset + 6, ev: [[offset + 6, 1, "facts", forged, null]] }),
      ];
      for (const message of messages) {
        loop.receiveBatch(Buffer.from(message));
      }
      expect(state()).toEqual(before);
      // The replica still applies events, and only those of the primary.
      await insert(primary.node, "ann");
      loop.onSubscribed();
      await eventually(() => expect(state()?.digest).toBe(primary.node.health().digest ?? ""));
      expect(state()?.offset).toBe(offset + 1);
      expect(snapshots()).toBe(1);
    });
  }));

test("a forged head with another digest at the same position: the replica asks the primary, and nothing changes", () =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary();
    await loadPolicy(primary.node);
    await withReplica(primary, cluster.directory, async ({ loop, state, snapshots }) => {
      await eventually(() => expect(state()?.offset).toBe(primary.node.health().offset ?? -1));
      // Before an answer of the primary, heads prove nothing.
      await eventually(() => expect(loop.monitor.freshness.ageMs).not.toBeNull());
      const { epoch, term, offset, hash } = state() ?? { epoch: "", term: 0, offset: 0, hash: "" };
      const position = { v: 1, s: "test", e: epoch, n: term, t: Date.now(), l: offset, h: hash, trim: 0 };
      const head = { ...position, d: "0123456789abcdef", from: [0, "0000000000000000"], role: "primary", ack: false };
      const receive = (number: object): void =>
        loop.receiveHead(Buffer.from(JSON.stringify({ ...head, ...number })), false, "embedded");
      const before = await catchUps();
      receive({ q: 1_000_000 });
      await eventually(async () => expect(await catchUps()).toBeGreaterThan(before));
      expect(loop.isDiverged).toBe(false);
      expect(snapshots()).toBe(1);
      // If the primary cannot be asked, a head of the event stream is enough: no answer is better than a wrong one. But
      // an old head is not.
      await primary.stop();
      for (const old of [{ q: 1 }, {}]) receive(old);
      for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setTimeout(resolve, 0));
      expect(loop.isDiverged).toBe(false);
      receive({ q: 1_000_001 });
      await eventually(() => expect(loop.isDiverged).toBe(true));
      expect(loop.stateName).toBe("DIVERGED");
    });
  }));

test("an event that is too large for the broker is fetched from the log", () =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary();
    await loadPolicy(primary.node);
    await withReplica(primary, cluster.directory, async ({ loop, state, snapshots }) => {
      const sizes: number[] = [];
      const client = await listen(primary, (topic, payload, retained) => {
        sizes.push(payload.byteLength);
        if (topic === topics.events) loop.receiveBatch(payload);
        else loop.receiveHead(payload, retained, "embedded");
      });
      loop.onSubscribed();
      await eventually(() => expect(state()?.offset).toBe(primary.node.health().offset ?? -1));
      const users = Array.from({ length: 900 }, (_, index) => `user-with-a-rather-long-name-${index}`);
      await insert(primary.node, ...users);
      await insert(primary.node, "after");
      await eventually(() => expect(state()?.digest).toBe(primary.node.health().digest ?? ""));
      expect(Math.max(...sizes)).toBeLessThan(64 * 1024);
      expect(snapshots()).toBe(1);
      await client.endAsync();
    });
  }));

test("a message that is lost before a pause shows in the next head", () =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary();
    await loadPolicy(primary.node);
    await withReplica(primary, cluster.directory, async ({ loop, state }) => {
      const client = await listen(primary, (topic, payload, retained) => {
        if (topic === topics.head) loop.receiveHead(payload, retained, "embedded");
      });
      await eventually(() => expect(state()?.offset).toBe(primary.node.health().offset ?? -1));
      await insert(primary.node, "ann");
      await eventually(() => expect(state()?.digest).toBe(primary.node.health().digest ?? ""));
      await client.endAsync();
    });
  }));

test("the primary refuses positions that are not in its history", () =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary({ "retention.events": "10" });
    await loadPolicy(primary.node);
    for (let index = 0; index < 40; index++) await insert(primary.node, `u${index}`);
    const client = clientOf(primary);
    const { epoch, offset } = primary.node.health();
    const at = Number(offset);
    const ask = async (position: { epoch?: string; offset?: number; hash?: string }) => {
      const answer = await client.log({
        epoch: epoch ?? "",
        term: 0,
        offset: at,
        hash: "0123456789abcdef",
        ...position,
      });
      return "refused" in answer ? { code: answer.refused.code, message: answer.refused.message } : answer;
    };
    expect(await ask({ epoch: "0123456789abcdef" })).toMatchObject({ message: expect.stringContaining("epoch") });
    expect(await ask({ offset: at + 1 })).toMatchObject({ message: expect.stringContaining("the log is shorter") });
    expect(await ask({})).toMatchObject({ message: expect.stringContaining("another history") });
    expect(await ask({ offset: at - 3 })).toMatchObject({ message: expect.stringContaining("another history") });
    expect(await ask({ offset: 2 })).toMatchObject({ message: expect.stringContaining("no longer") });
    const raw = (query: string) =>
      fetch(`${primary.url}/replication/v1/log?${query}`, { headers: { Authorization: `Bearer ${nodeKey}` } });
    expect((await raw(`epoch=${epoch}&after=2&hash=0123456789abcdef`)).status).toBe(410);
    expect((await raw(`epoch=0123456789abcdef&after=2&hash=0123456789abcdef`)).status).toBe(409);
    expect((await raw(`epoch=${epoch}&after=x&hash=0123456789abcdef`)).status).toBe(400);
  }));
