/**
 * The change feed as server-sent events: no event is missing or sent twice, and a stream that cannot continue ends with
 * the reason.
 */
import * as Bun from "bun";
import { describe, expect, spyOn, test } from "bun:test";
import { once } from "node:events";
import { cpSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { freePort } from "../../scripts/node-process.ts";
import { openBreakableProxy } from "../replication/breakable-proxy.ts";
import {
  adminKey,
  converged,
  eventually,
  insert,
  loadPolicy,
  post,
  reader,
  withCluster,
  type Cluster,
} from "../replication/cluster.ts";
import { createParser, dataOf, metric, offsets, openSource, type Received, type Source } from "./event-source.ts";

const timeoutMs = 60_000;
const quick = {
  "advanced.headIntervalMs": "100ms",
  "advanced.brokerSilenceMsMax": "500ms",
  "advanced.pollIntervalMs": "200ms",
  "advanced.retryDelayMsMax": "200ms",
};

const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => String(from + index));

/** The reader has the first position, and the node waits for events. */
const hasBegun = (source: Source): Promise<void> => eventually(() => expect(source.lastEventId()).not.toBe(""));

const endings = (reason: string) => metric(`ostiary_event_streams_ended_total{reason="${reason}"}`);

async function started(cluster: Cluster, flags: Readonly<Record<string, string>> = {}) {
  const primary = await cluster.primary(flags);
  await loadPolicy(primary.node);
  return primary;
}

describe("a stream", () => {
  test(
    "begins now or after a position, and sends events as they occur",
    () =>
      withCluster(async (cluster) => {
        const primary = await started(cluster);
        const edge = await cluster.edge("edge", primary);
        await eventually(() => converged(edge.node, primary.node));
        const live = await openSource(primary.url);
        const there = await openSource(edge.url);
        const whole = await openSource(primary.url, { after: "0" });
        const { epoch } = primary.node.health();
        await eventually(() => expect(live.lastEventId()).toBe(`${epoch}:2`));
        expect(live.retryMs()).toBe(1000);

        for (const user of ["a", "b", "c"]) await insert(primary.node, user);
        for (const source of [live, there]) {
          const received = await source.count(3);
          expect(offsets(received)).toEqual(["3", "4", "5"]);
          expect(received.map(({ type }) => type)).toEqual(Array(3).fill("ostiary.facts.changed"));
          expect(received.map(({ id }) => id)).toEqual(received.map((event) => String(dataOf(event)["id"])));
          expect(dataOf(received[0] as Received)["data"]).toEqual({ inserted: [reader("a")], deleted: [] });
        }
        expect(there.received).toEqual(live.received);
        expect(offsets(await whole.count(5))).toEqual(numbers(1, 5));
        const pages = await fetch(`${primary.url}/api/events`, { headers: { authorization: `Bearer ${adminKey}` } });
        const { events } = (await pages.json()) as { events: unknown[] };
        expect(whole.received.map(dataOf)).toEqual(events as Record<string, unknown>[]);
        for (const source of [live, there, whole]) source.close();
      }),
    timeoutMs,
  );

  test(
    "continues from the last id, at the same or another node, without missing an event",
    () =>
      withCluster(async (cluster) => {
        const primary = await started(cluster);
        const edge = await cluster.edge("edge", primary);
        await eventually(() => converged(edge.node, primary.node));
        const urls = [primary.url, edge.url];
        const received: Received[] = [];
        let lastEventId: string | undefined;
        let writing = true;
        const written = (async () => {
          for (let user = 0; user < 150; user += 1) await insert(primary.node, `user-${user}`);
          writing = false;
        })();
        for (let round = 0; writing; round += 1) {
          const source = await openSource(urls[round % 2] ?? "", {
            after: "0",
            ...(lastEventId !== undefined && { lastEventId }),
          });
          await hasBegun(source);
          source.close();
          await source.ended;
          received.push(...source.received);
          lastEventId = source.lastEventId() || lastEventId;
        }
        await written;
        const rest = await openSource(edge.url, { after: "0", ...(lastEventId !== undefined && { lastEventId }) });
        await rest.count(152 - received.length);
        rest.close();
        expect(offsets([...received, ...rest.received])).toEqual(numbers(1, 152));
      }),
    timeoutMs,
  );
});

/** A reader that can leave data in the socket. */
function slowReader(url: string) {
  const { port, hostname } = new URL(url);
  const { push, ...parsed } = createParser();
  const socket = connect(Number(port), hostname, () =>
    socket.write(
      `GET /api/events?after=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${adminKey}\r\nAccept: text/event-stream\r\n\r\n`,
    ),
  );
  const decode = chunkDecoder();
  socket.setEncoding("latin1");
  socket.on("error", () => {});
  socket.on("data", (text: string) => push(decode(text)));
  return { socket, ...parsed };
}

/** Parses the head and the chunks of a response in pieces of any size, and gives the content of the chunks. */
function chunkDecoder(): (text: string) => string {
  let [rest, started] = ["", false];
  return (text) => {
    rest += text;
    if (!started && rest.includes("\r\n\r\n")) [rest, started] = [rest.slice(rest.indexOf("\r\n\r\n") + 4), true];
    let content = "";
    for (let head; started && (head = /^([0-9a-f]+)\r\n/i.exec(rest)) !== null;) {
      const [line, size = ""] = head;
      const end = line.length + Number.parseInt(size, 16);
      if (rest.length < end + 2) break;
      content += rest.slice(line.length, end);
      rest = rest.slice(end + 2);
    }
    return content;
  };
}

/** Some megabytes of events, more than the sockets of a connection hold. */
async function writeMuch(url: string, batches: number): Promise<void> {
  for (let batch = 0; batch < batches; batch += 1) {
    const facts = Array.from({ length: 1000 }, (_, user) => reader(`${"u".repeat(400)}-${batch}-${user}`));
    expect((await post(url, "/api/batch", [{ inserts: facts }])).status).toBe(200);
  }
}

/** Resolves when the count is positive and does not grow any more. */
async function settled(count: () => number): Promise<void> {
  let [last, unchanged] = [0, 0];
  await eventually(() => {
    const now = count();
    unchanged = now === last ? unchanged + 1 : 0;
    last = now;
    expect(now).toBeGreaterThan(0);
    expect(unchanged).toBeGreaterThan(30);
  });
}

describe("a reader that accepts nothing", () => {
  test(
    "is disconnected",
    () =>
      withCluster(async (cluster) => {
        const [slow, open] = [await endings("slow"), await metric("ostiary_event_streams")];
        const primary = await started(cluster, { "advanced.eventStallMs": "300ms" });
        await writeMuch(primary.url, 14);
        const { socket } = slowReader(primary.url);
        socket.pause();
        const closed = new Promise((resolve) => socket.once("close", resolve));
        await eventually(async () => expect(await endings("slow")).toBe(slow + 1));
        expect(await metric("ostiary_event_streams")).toBe(open);
        // The reader notices the end after reading the buffered data.
        socket.resume();
        await closed;
      }),
    timeoutMs,
  );

  test(
    "but reads again after a while gets all events in order",
    () =>
      withCluster(async (cluster) => {
        const primary = await started(cluster);
        await writeMuch(primary.url, 14);
        const { socket, received } = slowReader(primary.url);
        socket.pause();
        for (let turn = 0; turn < 20; turn += 1) {
          const some = once(socket, "data");
          socket.resume();
          await some;
          socket.pause();
          // The node can send until the sockets are full.
          await insert(primary.node, `during ${turn}`);
        }
        socket.resume();
        await eventually(() => expect(offsets(received)).toEqual(numbers(1, 36)));
        socket.destroy();
      }),
    timeoutMs,
  );

  test(
    "does not delay a node that stops",
    () =>
      withCluster(async (cluster) => {
        const open = await metric("ostiary_event_streams");
        const stallMs = 3_600_000;
        const primary = await started(cluster, { "advanced.eventStallMs": `${stallMs}ms` });
        await writeMuch(primary.url, 14);
        // The node sets such a timer for each part that it sends.
        const timers = spyOn(globalThis, "setTimeout");
        const { socket } = slowReader(primary.url);
        socket.pause();
        await settled(() => timers.mock.calls.filter(([, ms]) => ms === stallMs).length);
        timers.mockRestore();
        const live = await openSource(primary.url);
        await hasBegun(live);
        await eventually(async () => expect(await metric("ostiary_event_streams")).toBe(open + 2));
        const stopped = await endings("stop");
        await primary.stop();
        // The connection of the slow reader was closed at once, or the client would have ended its stream.
        expect(await endings("stop")).toBe(stopped + 2);
        expect(await live.ended).toBe(true);
        expect(live.received.map(({ type }) => type)).toEqual(["end"]);
        socket.destroy();
      }),
    timeoutMs,
  );
});

describe("a stream ends", () => {
  test(
    "when its node stops, with a message",
    () =>
      withCluster(async (cluster) => {
        const primary = await started(cluster);
        const edge = await cluster.edge("edge", primary);
        await eventually(() => converged(edge.node, primary.node));
        const sources = [await openSource(edge.url), await openSource(edge.url, { after: "2" })];
        for (const source of sources) await hasBegun(source);
        await edge.stop();
        for (const source of sources) {
          expect(await source.ended).toBe(true);
          expect(source.received.map(({ type }) => type)).toEqual(["end"]);
          expect(dataOf(source.received[0] as Received)).toEqual({
            message: "this node stops, continue at another one",
          });
        }
      }),
    timeoutMs,
  );

  test(
    "when its key is removed, before it sends another event",
    () =>
      withCluster(async (cluster) => {
        const primary = await started(cluster);
        const edge = await cluster.edge("edge", primary);
        const made = await post(primary.url, "/api/keys", { name: "reader", role: "read" });
        const { id, token } = (await made.json()) as { id: string; token: string };
        await eventually(() => converged(edge.node, primary.node));
        const sources = [await openSource(primary.url, { key: token }), await openSource(edge.url, { key: token })];
        await insert(primary.node, "a");
        for (const source of sources) await source.count(1);
        const removed = await fetch(`${primary.url}/api/keys/${id}`, {
          method: "DELETE",
          headers: { authorization: `Bearer ${adminKey}` },
        });
        expect(removed.status).toBe(200);
        await insert(primary.node, "b");
        for (const source of sources) {
          expect(await source.ended).toBe(true);
          expect(source.received.map(({ type }) => type)).toEqual(["ostiary.facts.changed", "end"]);
          expect(source.received[1]?.data).toContain("the API key of this stream was removed");
        }
      }),
    timeoutMs,
  );

  test(
    "as gone when a snapshot replaces events that it has not sent yet",
    () =>
      withCluster(async (cluster) => {
        const limits = {
          "retention.events": "3",
          "advanced.logTrimIntervalMs": "50ms",
          "advanced.snapshotReuseMs": "1ms",
        };
        const primary = await started(cluster, limits);
        await using link = await openBreakableProxy(primary.url);
        const edge = await cluster.edge("edge", { ...primary, url: link.url }, quick);
        await eventually(() => converged(edge.node, primary.node));
        const source = await openSource(edge.url);
        await insert(primary.node, "seen");
        await source.count(1);
        link.cut();
        for (let user = 0; user < 20; user += 1) await insert(primary.node, `unseen-${user}`);
        await eventually(async () => expect((await pageStatus(primary.url, source.lastEventId())).status).toBe(410));
        link.mend();
        await eventually(() => converged(edge.node, primary.node));
        await expectGone(source, "are not kept here");
        // It continues from the head, after the state was read.
        const { head } = dataOf(source.received.at(-1) as Received) as { head: string };
        const next = await openSource(edge.url, { lastEventId: head });
        await insert(primary.node, "after");
        expect(offsets(await next.count(1))).toEqual(["24"]);
        next.close();
      }),
    timeoutMs,
  );

  test(
    "as gone when an older state was restored and no history has its position",
    () =>
      withCluster(async (cluster) => {
        const port = String(await freePort());
        const primary = await started(cluster, { port });
        const edge = await cluster.edge("edge", primary, quick);
        await insert(primary.node, "kept");
        await primary.stop();
        const backup = `${cluster.directory}/backup`;
        // SQLite deletes the files beside the database when the last connection of this process is collected.
        await eventually(() => cpSync(primary.data, backup, { recursive: true }));
        const middle = await cluster.primary({ port });
        await insert(middle.node, "lost");
        await eventually(() => converged(edge.node, middle.node));
        const source = await openSource(edge.url);
        await insert(middle.node, "lost too");
        await source.count(1);
        await middle.stop();
        const note = await Bun.file(`${primary.data}/position`).text();
        rmSync(primary.data, { recursive: true });
        cpSync(backup, primary.data, { recursive: true });
        await Bun.write(`${primary.data}/position`, note);
        const restored = await cluster.primary({ port });
        await eventually(() => converged(edge.node, restored.node));
        await expectGone(source, "is not part of this environment's history");
      }),
    timeoutMs,
  );

  test(
    "when another primary took over and this node gets no events any more",
    () =>
      withCluster(async (cluster) => {
        const port = String(await freePort());
        const flags = { ...quick, "advanced.peerCheckIntervalMs": "200ms", "advanced.eventHeartbeatMs": "100ms" };
        const primary = await started(cluster, { ...flags, peers: `http://127.0.0.1:${port}` });
        const edge = await cluster.promotable("edge", { primary: primary.url, port, ...flags });
        (await openUntilServed(edge.url)).close();
        const source = await openSource(primary.url);
        expect((await post(edge.url, "/api/promote", { force: true })).status).toBe(200);
        expect(await source.ended).toBe(true);
        expect(source.received.map(({ type }) => type)).toEqual(["end"]);
        expect(source.received[0]?.data).toContain("another primary has taken over");
        const headers = { authorization: `Bearer ${adminKey}`, accept: "text/event-stream" };
        expect((await fetch(`${primary.url}/api/events`, { headers })).status).toBe(503);
      }),
    timeoutMs,
  );

  test(
    "when its edge becomes the primary, and continues there",
    () =>
      withCluster(async (cluster) => {
        const primary = await started(cluster, quick);
        const edge = await cluster.promotable("edge", { primary: primary.url, ...quick });
        const source = await openUntilServed(edge.url);
        await insert(primary.node, "before");
        await source.count(1);
        await primary.stop();
        expect((await post(edge.url, "/api/promote", {})).status).toBe(200);
        await source.ended;
        expect(source.received.map(({ type }) => type)).toEqual(["ostiary.facts.changed", "end"]);
        const next = await openSource(edge.url, { lastEventId: source.lastEventId() });
        expect((await post(edge.url, "/api/batch", [{ inserts: [reader("after")] }])).status).toBe(200);
        const received = await next.count(2);
        expect(received.map(({ type }) => type)).toEqual(["ostiary.epoch.started", "ostiary.facts.changed"]);
        expect(offsets(received)).toEqual(["4", "5"]);
        expect(new Set(received.map(({ id }) => id.split(":")[0]))).not.toContain(source.lastEventId().split(":")[0]);
        next.close();
      }),
    timeoutMs,
  );
});

async function pageStatus(url: string, after: string): Promise<Response> {
  return fetch(`${url}/api/events?after=${after}`, { headers: { authorization: `Bearer ${adminKey}` } });
}

/** A stream that ends with `gone`; its position is refused from then on. */
async function expectGone(source: Source, reason: string): Promise<void> {
  expect(await source.ended).toBe(true);
  const last = source.received.at(-1) as Received;
  expect([last.type, last.data]).toEqual(["gone", expect.stringContaining(reason)]);
  expect(dataOf(last)).toEqual({
    message: expect.stringContaining(reason),
    earliest: expect.stringMatching(/^[0-9a-f]{16}:\d+$/),
    head: expect.stringMatching(/^[0-9a-f]{16}:\d+$/),
  });
}

async function openUntilServed(url: string): Promise<Source> {
  await eventually(async () => expect((await fetch(`${url}/healthcheck`)).status).toBe(200));
  return openSource(url);
}
