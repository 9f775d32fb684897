/**
 * Large responses to slow or stalled clients: they need little memory for a bounded time, and a truncated response
 * never looks complete.
 */
import * as Bun from "bun";
import { describe, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { workerProcessesOf } from "../runtime/worker-processes.ts";
import { adminKey, eventually } from "../replication/cluster.ts";
import { must } from "../../src/util/assert.ts";
import { admin, type Api, clientOf, fact, User, value, withPrimary } from "../http/api.ts";

const policy = `actor User {} resource Doc { permissions = ["read"]; roles = ["reader"]; "read" if "reader"; }`;
/** So long that few facts exceed the buffers of a connection. */
const Doc = (index: number) => value("Doc", `${index}-${"x".repeat(490)}`);
const reads = (index: number) => fact("has_role", User("ann"), value("String", "reader"), Doc(index));
const facts = 12_000;
const perBatch = 1000;

const limits = {
  "advanced.servingThreadAnswerValuesMax": "1000",
  "advanced.responseStallMs": "1500ms",
  "advanced.largeResponsesMax": "4",
};

async function loaded(api: Api, count = facts): Promise<void> {
  expect((await api.call("POST", "/api/policy", { body: { src: policy } })).status).toBe(200);
  for (let first = 0; first < count; first += perBatch) {
    const inserts = Array.from({ length: perBatch }, (_, index) => reads(first + index));
    expect((await api.call("POST", "/api/batch", { body: [{ inserts }] })).status).toBe(200);
  }
}

const query = {
  predicate: ["has_role", ["u", "r", "d"]],
  calls: [],
  constraints: {
    u: { type: "User", ids: null },
    r: { type: "String", ids: ["reader"] },
    d: { type: "Doc", ids: null },
  },
  context_facts: [],
};

async function metric(api: Api, name: string): Promise<number> {
  const { text } = await api.call("GET", "/metrics");
  const line = text.split("\n").find((found) => found.startsWith(`${name} `));
  return Number(line?.split(" ").at(-1) ?? 0);
}

/** A client that sends a request and reads only on demand. */
function silentClient(url: string, request: string): { readonly socket: Socket; read(): Promise<string> } {
  const socket = connect(Number(new URL(url).port), "127.0.0.1");
  socket.pause();
  socket.on("error", () => {});
  socket.write(
    `${request} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${adminKey}\r\nConnection: close\r\n\r\n`,
  );
  return {
    socket,
    /** All data until the connection ends. */
    read: () =>
      new Promise((resolve) => {
        const chunks: Buffer[] = [];
        socket.on("data", (chunk) => chunks.push(Buffer.from(chunk)));
        socket.on("close", () => resolve(Buffer.concat(chunks).toString("latin1")));
        socket.resume();
      }),
  };
}

const factsRequest = "GET /api/facts?predicate=has_role";
const lastChunk = "\r\n0\r\n\r\n";

describe("a large response", () => {
  test("is the same whole and in parts, of one revision, and the official client reads it", () =>
    withPrimary(async (api) => {
      await loaded(api, 3000);
      const client = clientOf(api.url);
      const [answered, , stored] = await Promise.all([
        api.call("GET", "/api/facts?predicate=has_role"),
        api.call("POST", "/api/batch", { body: [{ inserts: [reads(-1)] }] }),
        client.get(["has_role", null, null, null]),
      ]);
      const expected = Array.from({ length: 3000 }, (_, index) => JSON.stringify(reads(index))).sort();
      const found = (answered.json as unknown[]).map((stored) => JSON.stringify(stored)).sort();
      expect(found.filter((text) => text !== JSON.stringify(reads(-1)))).toEqual(expected);
      expect(answered.headers.get("content-type")).toBe("application/json");
      expect(stored.length).toBeGreaterThanOrEqual(3000);
      const ids = Array.from({ length: 3001 }, (_, index) => Doc(index - 1).id).sort();
      expect(await client.list(User("ann"), "read", "Doc")).toEqual(ids);
      const rows = await api.call("POST", "/api/evaluate_query", { body: query });
      expect(rows.json).toEqual({ results: ids.map((d) => ({ u: "ann", r: "reader", d })) });
      const head = await api.call("HEAD", "/api/facts?predicate=has_role");
      expect([head.status, head.text]).toEqual([200, ""]);
      expect(await metric(api, "ostiary_large_responses")).toBe(0);
      expect(await metric(api, "ostiary_buffered_bytes")).toBe(0);
    }, limits));

  test("waits for clients that do not read, up to a limit, and is aborted when they stall", () =>
    withPrimary(async (api) => {
      await loaded(api);
      const slow = 'ostiary_large_responses_ended_total{reason="slow"}';
      const before = await metric(api, slow);
      const clients = Array.from({ length: 6 }, () => silentClient(api.url, factsRequest));
      await eventually(async () => expect(await metric(api, "ostiary_large_responses")).toBeGreaterThan(0));
      expect(await clientOf(api.url).authorize(User("ann"), "read", Doc(1))).toBe(true);
      let [responsesMax, bytesMax] = [0, 0];
      await eventually(async () => {
        const [responses, bytes] = [
          await metric(api, "ostiary_large_responses"),
          await metric(api, "ostiary_buffered_bytes"),
        ];
        [responsesMax, bytesMax] = [Math.max(responsesMax, responses), Math.max(bytesMax, bytes)];
        expect(await metric(api, slow)).toBeGreaterThanOrEqual(before + 2);
        expect([responses, bytes]).toEqual([0, 0]);
      });
      // A key may have half of the places.
      expect(responsesMax).toBeLessThanOrEqual(2);
      expect(bytesMax).toBeLessThan(3 * 2 ** 20);
      const answers = await Promise.all(clients.map((client) => client.read()));
      const begun = answers.filter((answer) => answer.startsWith("HTTP/1.1 200"));
      const refused = answers.filter((answer) => answer.startsWith("HTTP/1.1 429"));
      expect(begun.length).toBeGreaterThanOrEqual(2);
      expect(refused.length).toBeGreaterThan(0);
      expect(begun.length + refused.length).toBe(6);
      for (const answer of refused) expect(answer.toLowerCase()).toContain("retry-after: 1");
      expect(begun.filter((answer) => answer.endsWith(lastChunk))).toEqual([]);
      await eventually(() => expect(workerProcessesOf(process.pid).filter(({ state }) => state === "R")).toEqual([]));
    }, limits));

  test("is aborted rather than ended if the process that produces it dies", () =>
    withPrimary(async (api) => {
      await loaded(api);
      const known = new Set(workerProcessesOf(process.pid).map(({ pid }) => pid));
      const client = silentClient(api.url, factsRequest);
      await eventually(async () => expect(await metric(api, "ostiary_large_responses")).toBe(1));
      for (const { pid } of workerProcessesOf(process.pid)) if (!known.has(pid)) process.kill(pid, "SIGKILL");
      const answer = await client.read();
      expect(answer).toStartWith("HTTP/1.1 200");
      expect(answer).not.toEndWith(lastChunk);
      expect(await metric(api, "ostiary_large_responses")).toBe(0);
    }, limits));

  test("continues for a client that reads slowly", () =>
    withPrimary(
      async (api) => {
        await loaded(api);
        const response = await fetch(`${api.url}/api/facts?predicate=has_role`, { headers: admin });
        const chunks: Uint8Array[] = [];
        let bytes = 0;
        for await (const chunk of response.body ?? []) {
          chunks.push(chunk);
          bytes += chunk.byteLength;
          if (bytes % 7 === 0) await Bun.sleep(5);
        }
        expect(JSON.parse(Buffer.concat(chunks).toString())).toHaveLength(facts);
      },
      { ...limits, "advanced.responseStallMs": "500ms" },
    ));
});

test("beyond the budget for bytes, a large response that is in memory is refused, and small ones are not", () =>
  withPrimary(
    async (api) => {
      const comment = `#${"x".repeat(200_000)}\n`;
      const upload = { source: comment + policy, filename: null, force: false };
      await must(api.node.writes).policy(upload, { traceparent: null });
      const refused = await api.call("GET", "/api/policy");
      expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "1"]);
      expect(refused.text).toContain("too many bytes wait");
      expect((await api.call("GET", "/api/policy_metadata")).status).toBe(200);
      expect(await metric(api, "ostiary_buffered_bytes")).toBe(0);
    },
    { "advanced.bufferedBytesMax": "200KiB", "advanced.bufferedNodeBytesReserved": "100KiB" },
  ));
