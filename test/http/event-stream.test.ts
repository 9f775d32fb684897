/** The change feed as server-sent events on one primary. `event-stream.integration.test.ts` has other nodes, and ends. */
import { describe, expect, test } from "bun:test";
import { adminKey, eventually, insert, loadPolicy, policy, withCluster, type Cluster } from "../replication/cluster.ts";
import { createParser, metric, offsets, openSource } from "./event-source.ts";

async function started(cluster: Cluster, flags: Readonly<Record<string, string>>) {
  const primary = await cluster.primary(flags);
  await loadPolicy(primary.node);
  return primary;
}

describe("a stream", () => {
  test(
    "continues with an event that came while no stream was open",
    () =>
      withCluster(async (cluster) => {
        const primary = await started(cluster, { "advanced.eventHeartbeatMs": "50ms" });
        const open = await metric("ostiary_event_streams");
        const before = await openSource(primary.url);
        // A heartbeat says that the node has looked for events at this position, and found none.
        await eventually(() => expect(before.comments.length).toBeGreaterThan(0));
        before.close();
        await eventually(async () => expect(await metric("ostiary_event_streams")).toBe(open));
        await insert(primary.node, "meanwhile");
        const after = await openSource(primary.url, { lastEventId: before.lastEventId() });
        await eventually(() => expect(after.comments.length + after.received.length).toBeGreaterThan(0));
        expect(offsets(after.received)).toEqual(["3"]);
        after.close();
      }),
    60_000,
  );

  test(
    "sends heartbeats, and is not delayed by compression or caches",
    () =>
      withCluster(async (cluster) => {
        const primary = await started(cluster, { "advanced.eventHeartbeatMs": "50ms" });
        const source = await openSource(primary.url);
        await eventually(() => expect(source.comments.length).toBeGreaterThan(3));
        expect(source.received).toEqual([]);
        expect(source.response.headers.get("cache-control")).toBe("no-store");
        expect(source.response.headers.get("content-encoding")).toBeNull();
        expect(source.response.headers.get("x-request-id")).toMatch(/./);
        await insert(primary.node, "a");
        expect(offsets(await source.count(1))).toEqual(["3"]);
        source.close();
      }),
    60_000,
  );

  test(
    "is limited in number, and its slot is free when its reader has disconnected",
    () =>
      withCluster(async (cluster) => {
        const open = await metric("ostiary_event_streams");
        const primary = await started(cluster, { "advanced.eventStreamsMax": "4" });
        const sources = [await openSource(primary.url), await openSource(primary.url)];
        expect(await metric("ostiary_event_streams")).toBe(open + 2);
        const headers = { authorization: `Bearer ${adminKey}`, accept: "text/event-stream" };
        const refused = await fetch(`${primary.url}/api/events`, { headers });
        expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "1"]);
        // No reader accepts data of a stream here.
        expect((await fetch(`${primary.url}/api/events`, { method: "HEAD", headers })).status).toBe(200);
        sources[0]?.close();
        await eventually(async () => expect(await metric("ostiary_event_streams")).toBe(open + 1));
        const next = await openSource(primary.url);
        for (const source of [...sources, next]) source.close();
        await eventually(async () => expect(await metric("ostiary_event_streams")).toBe(open));
      }),
    60_000,
  );
});

test("the reader of these tests follows the standard", () => {
  const parser = createParser();
  const text = `: comment\r\nid: 1\nevent: one\rdata: a\ndata:b\n\ndata\n\nid\nretry: 5\ndata:  c\n\n${policy}`;
  for (const character of text) parser.push(character);
  expect(parser.received).toEqual([
    { type: "one", data: "a\nb", id: "1" },
    { type: "message", data: "", id: "1" },
    { type: "message", data: " c", id: "" },
  ]);
  expect([parser.comments, parser.retryMs()]).toEqual([[" comment"], 5]);
});
