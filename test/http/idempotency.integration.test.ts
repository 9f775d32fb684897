/** Repeated writes get their first response on other nodes, after a restart and after a promotion. */
import { describe, expect, test } from "bun:test";
import { freePort } from "../../scripts/node-process.ts";
import { must } from "../../src/util/assert.ts";
import { converged, eventually, withCluster } from "../replication/cluster.ts";
import { type Done, kinds, offsetAt, prepare, send, stateAt } from "./repeated-writes.ts";

const timeoutMs = 60_000;

const requestIdOf = (name: string): string => `repeated ${name}`;

/** Sends each kind of write to `url`, and after each the others to the primary. Returns the responses by kind. */
async function sendEach(primaryUrl: string, url = primaryUrl): Promise<ReadonlyMap<string, Done>> {
  const responses = new Map<string, Done>();
  for (const { name, write, meanwhile } of kinds) {
    await prepare(primaryUrl);
    responses.set(name, await send(url, write, requestIdOf(name)));
    for (const between of meanwhile) expect((await send(primaryUrl, between)).status).toBe(200);
  }
  return responses;
}

/** Each repeated write gets its first response, and changes nothing. Each would change something. */
async function expectRepeated(url: string, responses: ReadonlyMap<string, Done>): Promise<void> {
  const before = [await offsetAt(url), await stateAt(url)];
  for (const { name, write } of kinds)
    expect(await send(url, write, requestIdOf(name))).toEqual(must(responses.get(name)));
  expect([await offsetAt(url), await stateAt(url)]).toEqual(before);
}

describe("each kind of write gets its first response", () => {
  test(
    "through an edge",
    () =>
      withCluster(async (cluster) => {
        const primary = await cluster.primary();
        await prepare(primary.url);
        const edge = await cluster.edge("edge", primary);
        await eventually(() => converged(edge.node, primary.node));
        const responses = await sendEach(primary.url, edge.url);
        await converged(edge.node, primary.node);
        for (const url of [edge.url, primary.url]) await expectRepeated(url, responses);
      }),
    timeoutMs,
  );

  test(
    "after a restart",
    () =>
      withCluster(async (cluster) => {
        const primary = await cluster.primary();
        const responses = await sendEach(primary.url);
        const [offset, state] = [await offsetAt(primary.url), await stateAt(primary.url)];
        await primary.stop();
        const { url } = await cluster.primary();
        // The start has begun a new term.
        expect([await offsetAt(url), await stateAt(url)]).toEqual([offset + 1, state]);
        await expectRepeated(url, responses);
      }),
    timeoutMs,
  );

  test.each(["an event", "a snapshot"])(
    "at an edge that was promoted meanwhile, to which the write had come in %s",
    (as) =>
      withCluster(async (cluster) => {
        const port = String(await freePort());
        const primary = await cluster.primary({ peers: `http://127.0.0.1:${port}` });
        await prepare(primary.url);
        const follow = async () => {
          const edge = await cluster.promotable("edge", { primary: primary.url, port });
          await arrived(edge.url, primary.url);
        };
        if (as === "an event") await follow();
        let responses = await sendEach(primary.url);
        if (as === "a snapshot") {
          await follow();
          // The warnings about a policy are in the log, which is not in a snapshot.
          const withoutWarnings = (done: Done): Done => ({ ...done, message: done.message.replace(/;.*/, "") });
          responses = new Map([...responses].map(([name, done]) => [name, withoutWarnings(done)]));
        }
        const url = `http://127.0.0.1:${port}`;
        await arrived(url, primary.url);
        await primary.stop();
        expect((await send(url, { path: "/api/promote", body: {} })).status).toBe(200);
        await expectRepeated(url, responses);
      }),
    timeoutMs,
  );
});

async function arrived(url: string, primaryUrl: string): Promise<void> {
  await eventually(async () => expect(await offsetAt(url)).toBe(await offsetAt(primaryUrl)));
}
