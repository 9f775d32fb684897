/** The metrics of events on their way to an edge: their counts, and the time from the commit until they are visible. */
import * as Bun from "bun";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { recordAppliedEvents } from "../../src/replication/replica/applied-events.ts";
import { CommitTimes } from "../../src/log/reader/commit-times.ts";
import type { Node } from "../../src/replication/node.ts";
import type { PrimaryNode } from "../../src/roles/primary.ts";
import { metrics } from "../../src/telemetry/metrics.ts";
import { preciseNow } from "../../src/util/clock.ts";
import { Cluster, converged, eventually, insert, loadPolicy, reader, untraced, withCluster } from "./cluster.ts";

interface Metric {
  get(): Promise<{ values: readonly { readonly labels: Readonly<Record<string, unknown>>; readonly value: number }[] }>;
}

async function total(metric: Metric, labels: Readonly<Record<string, unknown>> = {}): Promise<number> {
  const { values } = await metric.get();
  const wanted = Object.entries(labels);
  return values
    .filter((one) => wanted.every(([name, value]) => one.labels[name] === value))
    .reduce((sum, { value }) => sum + value, 0);
}

const sources = ["feed", "fetch", "poll", "catch_up"] as const;

async function counted() {
  const applied = await Promise.all(sources.map((source) => total(metrics.eventsApplied, { source })));
  const [gaps, catchUps] = [await total(metrics.brokerGaps), await total(metrics.catchUps)];
  return { gaps, catchUps, ...Object.fromEntries(sources.map((source, index) => [source, applied[index] ?? 0])) };
}

async function changed(before: Readonly<Record<string, number>>) {
  const after: Readonly<Record<string, number>> = await counted();
  return Object.fromEntries(Object.entries(after).map(([name, value]) => [name, value - (before[name] ?? 0)]));
}

/** More facts than fit into a message. */
const largeUsers = (write: number): string[] => Array.from({ length: 20 }, (_, index) => `u${write}-${index}`);
const smallMessages = { "advanced.publishEventBytesMax": "1KiB" };

const insertLarge = (node: PrimaryNode, write: number) => insert(node, ...largeUsers(write));

/** How long before their commits the writes were requested: longer than any bucket of the metric, or a busy machine. */
const queuedMs = 3_600_000;

function insertQueued(node: PrimaryNode, users: readonly string[]) {
  const meta = { ...untraced, timeMs: Date.now() - queuedMs };
  return node.writes.batch([{ inserts: users.map((user) => reader(user)) }], meta);
}

describe("events of the event stream", () => {
  const directory = mkdtempSync(join(tmpdir(), "ostiary-applied-"));
  const cluster = new Cluster(directory, {});
  let primary: PrimaryNode;
  let edge: Node;
  beforeAll(async () => {
    const running = await cluster.primary(smallMessages);
    primary = running.node;
    await loadPolicy(primary);
    edge = (await cluster.edge("edge-1", running)).node;
    await eventually(() => expect(edge.health().state).toBe("LIVE"));
  });
  afterAll(async () => {
    await cluster.stop();
    rmSync(directory, { recursive: true });
  });

  test("that it announces without bodies are fetched, and count neither as gaps nor as catch-ups", async () => {
    const before = await counted();
    const states = new Set<string>();
    const look = setInterval(() => states.add(edge.health().state), 1);
    for (let write = 0; write < 6; write++) await insertLarge(primary, write);
    // Several together, with small events between them, which fit into messages.
    for (let round = 0; round < 4; round++) {
      const writes = Array.from({ length: 4 }, (_, index) => insertLarge(primary, 100 + 4 * round + index));
      await Promise.all([...writes, insert(primary, `small-${round}`)]);
    }
    await converged(edge, primary);
    clearInterval(look);
    await eventually(async () => {
      const { fetch = 0, feed = 0, ...others } = await changed(before);
      expect(others).toEqual({ gaps: 0, catchUps: 0, poll: 0, catch_up: 0 });
      expect(fetch).toBeGreaterThanOrEqual(22);
      expect(fetch + feed).toBe(26);
    });
    expect([...states]).toEqual(["LIVE"]);
  });

  test.each(["in a message", "by a fetch"])("have a measured time until they are visible: %s", async (way) => {
    const before = await total(metrics.commitToVisible, { le: 300 });
    await insertQueued(primary, way === "by a fetch" ? largeUsers(1000) : ["ann"]);
    await converged(edge, primary);
    await eventually(() => expect(edge.health().visibleAfterMs).toBeLessThan(queuedMs / 2));
    await eventually(async () => expect(await total(metrics.commitToVisible, { le: 300 })).toBe(before + 1));
  });
});

test("events are fetched by polling without a broker, which is no catch-up either", () =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary();
    await loadPolicy(primary.node);
    const fallback = await cluster.fallback(primary, { follow: "true" });
    await converged(fallback.node, primary.node);
    await eventually(() => expect(fallback.node.health().state).toBe("FOLLOWING"));
    const failedBefore = await total(metrics.confirmations, { result: "failed" });
    const before = await counted();
    for (let write = 0; write < 5; write++) {
      await insert(primary.node, `user-${write}`);
      await converged(fallback.node, primary.node);
    }
    await eventually(async () => {
      // On a busy machine a request for the head may fail, which causes a catch-up.
      const catchUps = (await total(metrics.confirmations, { result: "failed" })) - failedBefore;
      expect(await changed(before)).toEqual({ gaps: 0, catchUps, feed: 0, fetch: 0, poll: 5, catch_up: 0 });
    });
  }));

describe("the time from the commit until an event is visible", () => {
  test("is measured for missed events, from the request if the time of the commit is unknown", () =>
    withCluster(async (cluster) => {
      const first = await cluster.primary();
      await loadPolicy(first.node);
      const early = await cluster.edge("edge-1", first);
      await converged(early.node, first.node);
      await early.stop();
      await insertQueued(first.node, ["ann"]);
      const awayMs = 100;
      await Bun.sleep(awayMs);
      const back = await cluster.edge("edge-1", first);
      await converged(back.node, first.node);
      // The events are counted after they are visible.
      await eventually(() => expect(back.node.health().visibleAfterMs).toBeGreaterThanOrEqual(awayMs));
      expect(back.node.health().visibleAfterMs).toBeLessThan(queuedMs);
      await back.stop();
      await insertQueued(first.node, ["bob"]);
      await first.stop();
      const late = async () =>
        (await total(metrics.commitToVisible, { le: "+Inf" })) - (await total(metrics.commitToVisible, { le: 300 }));
      const before = await late();
      const second = await cluster.primary();
      const last = await cluster.edge("edge-1", second);
      await converged(last.node, second.node);
      await eventually(async () => expect(await late()).toBe(before + 1));
    }));

  test("is never negative if the clocks of two machines differ", async () => {
    const event = { offset: 7, traceparent: null, digest: "", inserted: 1, deleted: 0, startMs: 1004, endMs: 1005 };
    const replayed = { events: [{ ...event, timeMs: 90_000 }], startMs: 1003, committedMs: 1006, wasPrepared: false };
    const state = {} as never;
    for (const committedMs of [undefined, [null], [99_000]]) {
      const delivery = { source: "feed", receivedMs: 1002, committedMs, announced: undefined } as const;
      expect(recordAppliedEvents({ ...replayed, state }, delivery)).toBe(4);
    }
    const known = { source: "feed", receivedMs: 1002, committedMs: [1000.5], announced: undefined } as const;
    const before = (await metrics.commitToVisible.get()).values.find(({ metricName }) => metricName?.endsWith("_sum"));
    recordAppliedEvents({ ...replayed, state }, known);
    const after = (await metrics.commitToVisible.get()).values.find(({ metricName }) => metricName?.endsWith("_sum"));
    expect(Number(after?.value) - Number(before?.value)).toBeCloseTo(0.0055, 6);
  });
});

test("the precise time follows a wall clock that is set while the process runs", () => {
  const { now } = Date;
  /** The wall clock has whole milliseconds. */
  const expectAgreement = (): void => {
    for (let count = 0; count < 100; count++) {
      const [beforeMs, preciseMs, afterMs] = [Date.now(), preciseNow(), Date.now()];
      expect(preciseMs).toBeGreaterThanOrEqual(beforeMs - 0.001);
      expect(preciseMs).toBeLessThan(afterMs + 2);
    }
  };
  expectAgreement();
  try {
    for (const setMs of [2, -2, 7, 3_600_000, -3_600_000]) {
      Date.now = () => now() + setMs;
      expectAgreement();
    }
  } finally {
    Date.now = now;
  }
  expectAgreement();
  const times = Array.from({ length: 1000 }, preciseNow);
  expect(times).toEqual(times.toSorted((one, other) => one - other));
  expect(new Set(times).size).toBeGreaterThan(10);
});

test("the commit times of the last events are known, and one commit may have several events", () => {
  const times = new CommitTimes(10);
  const of = (...offsets: number[]) => times.of(offsets.map((offset) => ({ offset })));
  expect(of(10, 11)).toBeUndefined();
  times.record(13, 1000.12345);
  times.record(14, 2000);
  expect(of(10, 11, 13, 14, 15)).toEqual([null, 1000.123, 1000.123, 2000, null]);
  for (let offset = 15; offset < 40_000; offset++) times.record(offset, offset);
  expect(of(14, 39_999)).toEqual([null, 39_999]);
});
