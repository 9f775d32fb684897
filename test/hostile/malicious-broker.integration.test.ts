/**
 * A broker that drops, delays and repeats messages. It sees all messages of the nodes, but cannot create any. Whatever
 * it does, no database counts as up to date for longer than permitted, and no primary acknowledges or gives up anything
 * because of it.
 */
import * as Bun from "bun";
import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, mkdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { decodeHead, type Head } from "../../src/replication/transport/messages.ts";
import { createMessageMac } from "../../src/replication/transport/message-mac.ts";
import { topicsOf } from "../../src/replication/transport/topics.ts";
import type { Node } from "../../src/replication/node.ts";
import type { PrimaryNode } from "../../src/roles/primary.ts";
import { hashKey, mintApiKey } from "../../src/store/keys/api-keys.ts";
import { metrics } from "../../src/telemetry/metrics.ts";
import { must } from "../../src/util/assert.ts";
import {
  type Cluster,
  converged,
  eventually,
  insert,
  loadPolicy,
  mayRead,
  nodeKey,
  post,
  refusal,
  type Running,
  untraced,
  withCluster,
} from "../replication/cluster.ts";
import { openBreakableProxy, type BreakableProxy } from "../replication/breakable-proxy.ts";
import { withCapturedLog } from "../replication/captured-log.ts";
import { type HostileBroker, type Message, openHostileBroker, type Treatment } from "./hostile-broker.ts";

setDefaultTimeout(90_000);

const topics = topicsOf("ostiary/v1", "test");
const maxStalenessMs = 1000;

/** Shorter than the defaults, for shorter bounds. */
const quick = {
  "advanced.headIntervalMs": "100ms",
  "advanced.brokerSilenceMsMax": "750ms",
  "advanced.pollIntervalMs": "500ms",
  "advanced.gapGraceMs": "50ms",
};

let broker: HostileBroker;
beforeEach(async () => {
  broker = await openHostileBroker();
});
afterEach(() => broker[Symbol.asyncDispose]());

interface Scene {
  readonly cluster: Cluster;
  readonly primary: Running<PrimaryNode>;
  readonly edge: Running<Node>;
  /** The connection of the edge to the primary's HTTP port. */
  readonly line: BreakableProxy;
  /** Queries the edge with an API key, which `revoke` revokes. */
  readonly ask: () => Promise<number>;
  readonly revoke: () => Promise<unknown>;
}

/** A primary and an edge, connected by the broker and by an HTTP connection that can be cut. */
const withEdge = (body: (scene: Scene) => Promise<void>, changes: Readonly<Record<string, string>> = {}) =>
  withCluster(
    async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      const { id, text: key, hash } = mintApiKey("test");
      const apiKey = { id, name: "app", role: "read", hash, timeMs: Date.now() } as const;
      await primary.node.writes.keys({ add: [apiKey], remove: [] }, untraced);
      await insert(primary.node, "ann");
      await using line = await openBreakableProxy(primary.url);
      const edge = await cluster.edge("edge-1", line);
      await converged(edge.node, primary.node);
      await eventually(() => expect(edge.node.health()).toMatchObject({ state: "LIVE", isBrokerConnected: true }));
      const [actor, resource] = [
        { actor_type: "User", actor_id: "ann" },
        { resource_type: "Repo", resource_id: "main" },
      ];
      const question = { ...actor, action: "read", ...resource };
      const ask = async (): Promise<number> => (await post(edge.url, "/api/authorize", question, key)).status;
      const revoke = () => primary.node.writes.keys({ add: [], remove: [id] }, untraced);
      await eventually(async () => expect(await ask()).toBe(200));
      await body({ cluster, primary, edge, line, ask, revoke });
    },
    { broker: broker.url, maxStaleness: `${maxStalenessMs}ms`, ...quick, ...changes },
  );

const heads = (): Head[] =>
  broker.published.flatMap(({ topic, payload }) => {
    const decoded = topic === topics.head ? decodeHead(payload) : { problem: "" };
    return "message" in decoded ? [decoded.message] : [];
  });
const lastAt = (topic: string): Message => must(broker.published.findLast((message) => message.topic === topic));

/** Delays messages by a growing time: heads arrive in order and never stop, each older than the one before. */
function delayMoreAndMore(treatment: (message: Message, delayMs: number) => Treatment): void {
  const startMs = performance.now();
  broker.treat = (message) => treatment(message, 4 * (performance.now() - startMs));
}

/** Repeats a message all the time. */
function repeat(message: Message, intervalMs = 20): Disposable {
  const timer = setInterval(() => broker.send(message), intervalMs);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

async function readyz({ url }: Running<Node>): Promise<number> {
  return (await fetch(`${url}/readyz`)).status;
}

const counted = async (metric: { get(): Promise<{ values: readonly { value: number }[] }> }): Promise<number> =>
  (await metric.get()).values.reduce((sum, { value }) => sum + value, 0);

/** Waits until the edge answers with this status. */
function untilAnswered(status: number, ask: Scene["ask"]): Promise<void> {
  return eventually(async () => expect(await ask()).toBe(status));
}

describe("a broker that drops all events and repeats one old head", () => {
  test("does not keep a revoked key valid: the edge asks the primary itself", () =>
    withEdge(async ({ edge, ask, revoke }) => {
      const old = lastAt(topics.head);
      broker.treat = () => "drop";
      using _ = repeat(old);
      await revoke();
      await untilAnswered(401, ask);
      expect(edge.node.health().ok).toBe(true);
    }));

  test("does not make a database fresh without its primary: queries are refused in time, and it is not ready", () =>
    withCapturedLog((lines) =>
      withEdge(
        async ({ edge, line, ask, revoke }) => {
          const old = lastAt(topics.head);
          const before = await counted(metrics.brokerStaleHeads);
          // New heads come as retained ones, and the retained one comes as a new one.
          broker.treat = (message) => {
            if (message.topic === topics.head) broker.send(message, { retained: true });
            return "drop";
          };
          using _ = repeat(old);
          line.cut();
          await revoke();
          await untilAnswered(503, ask);
          await eventually(async () => expect(await readyz(edge)).toBe(503));
          expect(edge.node.health().state).not.toBe("LIVE");
          expect(await ask()).toBe(503);
          line.mend();
          await untilAnswered(401, ask);
          await eventually(async () => expect(await counted(metrics.brokerStaleHeads)).toBeGreaterThan(before));
          await eventually(() => expect(lines.join("")).toContain("it repeats or delays messages"));
          expect(lines.filter((text) => text.includes("it repeats or delays messages"))).toHaveLength(1);
        },
        { "advanced.readyAgeMsMax": `${maxStalenessMs}ms` },
      ),
    ));
});

describe("a broker that delays everything, in order", () => {
  test("delays no revocation: the edge asks the primary itself", () =>
    withEdge(async ({ ask, revoke }) => {
      delayMoreAndMore((_message, delayMs) => delayMs);
      await Bun.sleep(800);
      await revoke();
      await untilAnswered(401, ask);
    }));

  test("does not make a database fresh without its primary", () =>
    withEdge(async ({ line, ask, revoke }) => {
      delayMoreAndMore(({ topic }, delayMs) => (topic === topics.head ? delayMs : "drop"));
      await Bun.sleep(500);
      line.cut();
      await revoke();
      // Each of these heads is newer than the one before.
      await untilAnswered(503, ask);
    }));

  test("does not make an edge report a write as lost that it cannot know", () =>
    withEdge(
      async ({ edge, line }) => {
        const unknown = "0123456789abcdef:1";
        expect(await refusal(edge.node.waitFor(unknown))).toMatchObject({ code: "conflict" });
        line.cut();
        await eventually(async () =>
          expect(await refusal(edge.node.waitFor(unknown))).toMatchObject({ code: "not_ready" }),
        );
        expect(await refusal(edge.node.waitForLatest())).toMatchObject({ code: "not_ready" });
      },
      { "advanced.consistencyWait": "100ms" },
    ));
});

describe("repeated heads after a restart", () => {
  test("of the edge prove nothing to it", () =>
    withEdge(async ({ cluster, edge, line }) => {
      await edge.stop();
      line.cut();
      const again = await cluster.edge("edge-1", line);
      // Also the newest head, which this edge never received.
      using _ = repeat(lastAt(topics.head));
      await Bun.sleep(600);
      expect(again.node.health().ok).toBe(true);
      expect(again.node.health().state).not.toBe("LIVE");
      expect(await readyz(again)).toBe(503);
      expect(() => again.node.requireFresh()).toThrow("has not confirmed");
      line.mend();
      await eventually(() => expect(again.node.health().state).toBe("LIVE"));
      expect(await readyz(again)).toBe(200);
      again.node.requireFresh();
    }));

  test("of the primary are older than all later ones, also after a crash", () =>
    withEdge(
      async ({ cluster, primary, edge, line, ask }) => {
        const { port } = new URL(primary.url);
        const last = lastAt(topics.head);
        const greatest = (): number => Math.max(...heads().map(({ q }) => must(q)));
        await eventually(() => expect(greatest()).toBeGreaterThan(4));
        await primary.stop();
        const before = greatest();
        const count = heads().length;
        const again = await cluster.primary({ port });
        await eventually(() => expect(heads().length).toBeGreaterThan(count + 8));
        expect(
          Math.min(
            ...heads()
              .slice(count)
              .map(({ q }) => must(q)),
          ),
        ).toBeGreaterThan(before);
        expect(new Set(heads().map(({ q }) => q)).size).toBe(heads().length);
        // The term of the second start is a later one.
        expect(must(heads().at(-1)).n).toBe(must(heads()[0]).n + 1);
        await insert(again.node, "bob");
        await converged(edge.node, again.node);
        await eventually(() => expect(edge.node.health().state).toBe("LIVE"));
        broker.treat = () => "drop";
        line.cut();
        using _ = repeat(last);
        await untilAnswered(503, ask);
      },
      { "advanced.headSequencesReserved": "4" },
    ));
});

test("several brokers deliver each head: the edge is live, without a warning", () =>
  withCapturedLog(async (lines) => {
    await using other = await openHostileBroker();
    // A little slower, as another broker may be.
    other.treat = () => 40;
    await withEdge(
      async ({ edge, primary }) => {
        const states = new Set<string>();
        for (let index = 0; index < 20; index++) {
          await insert(primary.node, `user-${index}`);
          await Bun.sleep(50);
          states.add(edge.node.health().state);
        }
        expect([...states]).toEqual(["LIVE"]);
        expect(other.published.filter(({ topic }) => topic === topics.head).length).toBeGreaterThan(8);
      },
      { broker: `${broker.url},${other.url}`, maxStaleness: "30s" },
    );
    expect(lines.filter((line) => line.includes("repeats or delays"))).toEqual([]);
  }));

test("a confirmation is one small request per window: no gap, no catch-up, and always live", () =>
  withEdge(
    async ({ edge }) => {
      await eventually(() => expect(edge.node.health().state).toBe("LIVE"));
      const before = [await counted(metrics.catchUps), await counted(metrics.brokerGaps)];
      const asked = await counted(metrics.confirmations);
      const states = new Set<string>();
      const startMs = performance.now();
      let requests = 0;
      for (; requests < 2; requests = (await counted(metrics.confirmations)) - asked) {
        states.add(edge.node.health().state);
        await Bun.sleep(5);
      }
      expect([...states]).toEqual(["LIVE"]);
      expect([await counted(metrics.catchUps), await counted(metrics.brokerGaps)]).toEqual(before);
      // The first one may come at once, the second one not before a part of the window is over.
      expect(performance.now() - startMs).toBeGreaterThan(300);
    },
    { "advanced.brokerSilenceMsMax": "2s", maxStaleness: "30s" },
  ));

test("all messages repeated in reverse: the edge has the primary's state, and sends it no more requests than before", () =>
  withEdge(
    async ({ edge, primary }) => {
      for (let index = 0; index < 20; index++) await insert(primary.node, `user-${index}`);
      await converged(edge.node, primary.node);
      const { epoch, digest } = primary.node.health();
      const before = await counted(metrics.catchUps);
      for (let round = 0; round < 10; round++) {
        for (const message of broker.published.toReversed()) {
          broker.send(message);
          broker.send(message, { retained: true });
        }
        await Bun.sleep(20);
      }
      expect(edge.node.health()).toMatchObject({ ok: true, epoch, digest });
      expect(primary.node.health()).toMatchObject({ state: "PRIMARY", epoch, digest });
      expect((await counted(metrics.catchUps)) - before).toBeLessThan(5);
      await insert(primary.node, "bob");
      await converged(edge.node, primary.node);
    },
    { maxStaleness: "30s" },
  ));

test("a head of an abandoned epoch, repeated a thousand times, causes few requests only", () =>
  withEdge(async ({ edge, primary }) => {
    const { m: _, ...head } = JSON.parse(lastAt(topics.head).payload.toString()) as Head & { m: string };
    const given = { ...head, e: "0123456789abcdef", n: head.n + 10, q: 1 };
    const mac = createMessageMac([hashKey(nodeKey)]);
    broker.treat = ({ topic }) => (topic === topics.head ? "pass" : "drop");
    const abandoned = { topic: topics.head, payload: Buffer.from(mac.sign(topics.head, JSON.stringify(given))) };
    const before = await counted(metrics.catchUps);
    for (let count = 0; count < 1000; count++) {
      for (const retained of [false, true]) broker.send(abandoned, { retained });
      if (count % 10 === 0) await Bun.sleep(5);
    }
    expect((await counted(metrics.catchUps)) - before).toBeLessThan(20);
    expect(edge.node.health().ok).toBe(true);
    expect(primary.node.health().epoch).toBe(head.e);
  }));

test("a primary that cannot reserve sequence numbers publishes no heads, continues, and publishes again later", () =>
  withCapturedLog((lines) =>
    withCluster(
      async (cluster) => {
        const primary = await cluster.primary();
        await loadPolicy(primary.node);
        const edge = await cluster.edge("edge-1", primary);
        await eventually(() => expect(edge.node.health().state).toBe("LIVE"));
        // The temporary file of the reservation.
        const obstacle = join(primary.data, "head-sequence.new");
        mkdirSync(obstacle);
        await eventually(() => expect(lines.join("")).toContain("no sequence number is left"));
        const count = heads().length;
        await insert(primary.node, "ann");
        await eventually(() => expect(mayRead(edge.node, "ann")).toBe(true));
        await eventually(() => expect(edge.node.health().state).toBe("STALE_FEED"));
        expect(heads().length).toBe(count);
        expect(await readyz(edge)).toBe(200);
        expect(await readyz(primary)).toBe(200);
        rmdirSync(obstacle);
        await eventually(() => expect(edge.node.health().state).toBe("LIVE"));
        const numbers = heads().map(({ q }) => must(q));
        expect(numbers).toEqual(numbers.toSorted((one, two) => one - two));
        expect(new Set(numbers).size).toBe(numbers.length);
        expect(Number(readFileSync(join(primary.data, "head-sequence"), "utf8"))).toBeGreaterThan(Math.max(...numbers));
      },
      { broker: broker.url, ...quick, "advanced.headSequencesReserved": "6" },
    ),
  ));

test("a repeated status of an abandoned history acknowledges no write", () =>
  withCluster(
    async (cluster) => {
      const primary = await cluster.primary();
      await eventually(() => expect(primary.node.health().isBrokerConnected).toBe(true));
      const edge = await cluster.edge("edge-1", primary);
      await eventually(() => expect(edge.node.health().state).toBe("LIVE"));
      await loadPolicy(primary.node);
      const { port } = new URL(primary.url);
      // A copy of all files, as from a snapshot of the disk, including the files that show a primary the age of its
      // database.
      const copied = join(cluster.directory, "copied");
      await primary.stop();
      cpSync(primary.data, copied, { recursive: true, filter: (path) => !path.endsWith("-shm") });
      const again = await cluster.primary({ port });
      await eventually(() => expect(edge.node.health().state).toBe("LIVE"));
      for (const user of ["ann", "bob", "eve"]) await insert(again.node, user);
      const { epoch, term } = again.node.health();
      const statuses = broker.published.filter(({ topic }) => topic === topics.status("edge-1"));
      await edge.stop();
      await again.stop();
      broker.treat = () => "drop";
      broker.forget();
      const restored = await cluster.primary({ data: copied });
      await eventually(() => expect(restored.node.health().isBrokerConnected).toBe(true));
      expect(restored.node.health()).toMatchObject({ epoch: expect.not.stringMatching(String(epoch)), term });
      const timer = setInterval(() => statuses.forEach((status) => broker.send(status)), 20);
      try {
        expect((await refusal(insert(restored.node, "zoe"))).message).toContain("not enough edges");
      } finally {
        clearInterval(timer);
      }
    },
    { broker: broker.url, ack: "edges:1", ...quick, "advanced.ackTimeoutMs": "1500ms" },
  ));

test("a broker that reports a session takeover and repeats the primary's own heads does not fence it", async () => {
  await withCluster(
    async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      await eventually(() => expect(primary.node.health().isBrokerConnected).toBe(true));
      await eventually(() => expect(broker.published.length).toBeGreaterThan(3));
      const head = must(broker.published.findLast(({ topic }) => topic === topics.head));
      const timer = setInterval(() => broker.send(head), 20);
      try {
        expect(broker.takeAway("ostiary-primary")).toBe(1);
        // It checks that for a moment, then accepts writes, whatever the broker reports.
        await eventually(async () =>
          expect((await refusal(insert(primary.node, "ann"))).message).toContain("may have"),
        );
        await eventually(async () => {
          await insert(primary.node, "bob");
        });
        await eventually(() => expect(broker.takeAway("ostiary-primary")).toBe(1));
        await Bun.sleep(100);
        await insert(primary.node, "eve");
        const { state, degraded } = primary.node.health();
        expect([state, degraded]).toEqual(["PRIMARY", undefined]);
      } finally {
        clearInterval(timer);
      }
    },
    { broker: broker.url, ...quick },
  );
});
