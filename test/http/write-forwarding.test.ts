/** What an edge does with a write to the primary: when it repeats one, and what it says of one without an answer. */
import * as Bun from "bun";
import { describe, expect, test } from "bun:test";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { defaultLimits } from "../../src/config/limits.ts";
import { createApp } from "../../src/features/app.ts";
import type { ForwardedRequest, Node } from "../../src/replication/node.ts";
import { OffsetWaiters } from "../../src/replication/replica/offset-waiters.ts";
import { realSystem } from "../../src/replication/system.ts";
import { createWriteForwarder } from "../../src/replication/replica/write-forwarding.ts";
import { startLogging } from "../../src/telemetry/logger.ts";
import { freePort } from "../../scripts/node-process.ts";
import { systemClock } from "../../src/util/clock.ts";
import { adminKey, converged, eventually, refusal, withCluster } from "../replication/cluster.ts";
import { SimulatedClock } from "../replication/simulated-clock.ts";

type System = Parameters<typeof createWriteForwarder>[0]["system"];

function forwarderTo(primaryUrl: string, timeoutMs = 2000, system: System = realSystem) {
  return createWriteForwarder({
    system,
    isForeign: () => false,
    history: () => undefined,
    describeClient: () => "",
    primaryUrl: () => primaryUrl,
    timeoutMs,
    waitMs: 0,
    waiters: new OffsetWaiters(systemClock, {
      state: () => undefined,
      epochs: () => [],
      isNewest: () => true,
      mayLearnEpochs: true,
    }),
    isPrimaryAlive: () => true,
    onNoAnswer: () => {},
  });
}

test("a write whose response was lost may have been executed; one that was not sent was not", async () => {
  const broken = createServer((socket) => socket.on("error", () => {}).once("data", () => socket.destroy()));
  broken.listen(0, "127.0.0.1");
  await once(broken, "listening");
  const { port } = broken.address() as AddressInfo;
  const forward = forwarderTo(`http://127.0.0.1:${port}`);
  const request = { method: "POST", path: "/api/batch", requestId: "1", address: null, headers: {}, body: "[]" };
  expect(await refusal(forward(request))).toMatchObject({
    code: "not_ready",
    message: "the primary broke off, repeat the write to be sure of it",
    mayBeDone: true,
  });
  broken.close();
  expect(await refusal(forward(request))).toMatchObject({
    message: "the primary can't be reached, nothing was written",
    mayBeDone: false,
  });
});

test("the log says which primary did not get a write, and why, in words of our own", async () => {
  const lines: string[] = [];
  startLogging({ level: "warning", format: "text" }, (line) => lines.push(line));
  try {
    const url = `http://127.0.0.1:${await freePort()}`;
    const request = { method: "POST", path: "/api/batch", requestId: "1", address: null, headers: {}, body: "[]" };
    await refusal(forwarderTo(url)(request));
    expect(lines).toEqual([
      expect.stringContaining(`the primary at ${url} did not get a write: nothing listens there (ECONNREFUSED)`),
    ]);
  } finally {
    startLogging({ level: "error", format: "text" });
  }
});

describe("a write whose connection was closed without an answer", () => {
  const request = (path: string) => ({
    ...{ method: "POST", path, requestId: "1", address: null, body: '[{"inserts":[]}]' },
    headers: { "X-Request-ID": "order-1", "Content-Type": "application/json" },
  });
  /** A primary that answers the first request of each connection, while `isOpen`. */
  async function withClosingPrimary(
    body: (primary: {
      url: string;
      requests: string[];
      refuse: () => void;
      answerWith: (status: string) => void;
      stopAtNext: () => void;
    }) => Promise<void>,
  ): Promise<void> {
    const requests: string[] = [];
    let [status, stops] = ["200 OK", false];
    const answer = (): string => `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`;
    const server = createServer((socket) => {
      let isFirst = true;
      let received = "";
      socket.on("error", () => {});
      socket.on("data", (bytes) => {
        received += bytes.toString();
        if (!received.endsWith('[{"inserts":[]}]')) return;
        requests.push(received);
        received = "";
        if (isFirst && status !== "") socket.write(answer());
        else socket.destroy();
        isFirst = false;
        if (stops) server.close();
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    try {
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const stopAtNext = (): void => void (stops = true);
      await body({
        url,
        requests,
        stopAtNext,
        refuse: () => void (status = ""),
        answerWith: (next) => void (status = next),
      });
    } finally {
      server.close();
    }
  }
  /**
   * Forwards the write until it goes over a kept connection first, which the client has only some time after an answer.
   * Resolves with the status, or with the error.
   */
  async function overKeptConnection(
    forward: ReturnType<typeof forwarderTo>,
    { requests }: { readonly requests: unknown[] },
  ): Promise<unknown> {
    let outcome: unknown;
    await eventually(async () => {
      requests.length = 0;
      outcome = await forward(request("/api/batch")).then(
        ({ status }) => status,
        (error: unknown) => error,
      );
      expect(requests).toHaveLength(2);
    });
    return outcome;
  }
  const brokeOff = {
    code: "not_ready",
    message: "the primary broke off, repeat the write to be sure of it",
    mayBeDone: true,
  };

  test("is repeated once under its request id, over a new connection", () =>
    withClosingPrimary(async ({ url, requests }) => {
      const forward = forwarderTo(url);
      // Each kept connection is closed at its next request. Deno cannot be asked for a new one while it has others.
      const kept = "deno" in process.versions ? 1 : 4;
      await Promise.all(Array.from({ length: kept }, () => forward(request("/api/batch"))));
      expect(await overKeptConnection(forward, { requests })).toBe(200);
      for (const each of requests) expect(each).toMatch(/^x-request-id: order-1\r$/im);
    }));

  // Deno repeats such a request itself, so the forwarder sees only the second answer.
  const repeatsItself = "deno" in process.versions;
  test.skipIf(repeatsItself).each(["429 Too Many Requests", "503 Service Unavailable"])(
    "may be done, if its repetition gets %s (skipped on Deno, which repeats it itself)",
    (status) =>
      withClosingPrimary(async ({ url, requests, answerWith }) => {
        const forward = forwarderTo(url);
        answerWith(status);
        expect(await overKeptConnection(forward, { requests })).toMatchObject(brokeOff);
      }),
  );

  test.each(["400 Bad Request", "409 Conflict"])("is refused, if its repetition gets %s", (status) =>
    withClosingPrimary(async ({ url, requests, answerWith }) => {
      const forward = forwarderTo(url);
      answerWith(status);
      expect(await overKeptConnection(forward, { requests })).toBe(Number(status.slice(0, 3)));
    }),
  );

  test("is not repeated a second time", () =>
    withClosingPrimary(async ({ url, requests, refuse }) => {
      refuse();
      expect(await refusal(forwarderTo(url)(request("/api/policy?force=true")))).toMatchObject(brokeOff);
      expect(requests.length).toBe(2);
    }));

  test("is not repeated if the primary could do it twice", () =>
    withClosingPrimary(async ({ url, requests, refuse }) => {
      refuse();
      for (const path of ["/api/keys", "/api/keys/a/rotate", "/api/environments"])
        expect(await refusal(forwarderTo(url)(request(path)))).toMatchObject(brokeOff);
      expect(requests.length).toBe(3);
    }));

  test("may be done, even if the primary can't be reached when it is repeated", () =>
    withClosingPrimary(async ({ url, requests, refuse, stopAtNext }) => {
      refuse();
      stopAtNext();
      expect(await refusal(forwarderTo(url)(request("/api/batch")))).toMatchObject(brokeOff);
      expect(requests.length).toBe(1);
    }));
});

test.each([
  { answersUntilMs: 0, refusedByMs: 1000 },
  { answersUntilMs: 10_000, refusedByMs: 13_000 },
])("a primary that hangs is noticed within seconds, however long a write may take: %p", async (primary) => {
  const clock = new SimulatedClock();
  const fetch = (url: string | URL | Request, init?: RequestInit): Promise<Response> => {
    if (String(url).endsWith("/healthcheck") && clock.monotonicMs() < primary.answersUntilMs)
      return Promise.resolve(new Response("ok"));
    return new Promise((_resolve, reject) =>
      init?.signal?.addEventListener("abort", () => reject(init.signal?.reason as Error)),
    );
  };
  const forward = forwarderTo("http://primary", 60_000, { clock, fetch: fetch as System["fetch"] });
  let refusedAtMs = Infinity;
  const refused = refusal(
    forward({ method: "POST", path: "/api/batch", requestId: "1", address: null, headers: {}, body: "[]" }),
  ).finally(() => (refusedAtMs = clock.monotonicMs()));
  for (let passedMs = 0; passedMs < 20_000; passedMs += 50) await clock.passSettled(50);
  expect(await refused).toMatchObject({
    message: "the primary did not answer in time, repeat the write to be sure of it",
    mayBeDone: true,
  });
  expect(refusedAtMs).toBeGreaterThan(primary.answersUntilMs);
  expect(refusedAtMs).toBeLessThanOrEqual(primary.refusedByMs);
});

test("an answer that is not from a primary is not passed on", async () => {
  const proxy = Bun.serve({ port: 0, fetch: ({ url }) => new Response("<p>", { status: Number(url.slice(-3)) }) });
  const forward = forwarderTo(`http://127.0.0.1:${proxy.port}`);
  const refused = async (status: number) =>
    await refusal(
      forward({ method: "POST", path: `/api/batch?${status}`, requestId: "1", address: null, headers: {}, body: "[]" }),
    );
  expect(await refused(431)).toMatchObject({
    code: "invalid_request",
    message: expect.stringContaining("status 431 and without JSON, the URL or a header can be too long"),
  });
  for (const status of [502, 200])
    expect(await refused(status)).toMatchObject({
      code: "not_ready",
      message: expect.stringContaining(`status ${status} and without JSON, repeat the write`),
      mayBeDone: true,
    });
  await proxy.stop(true);
});

test("an edge checks a request for a key before it forwards it, since a primary of 0.1.0 ignores unknown members", () =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary();
    const edge = await cluster.edge("edge", primary);
    await converged(edge.node, primary.node);
    const forwarded: ForwardedRequest["body"][] = [];
    const forward = async ({ body }: ForwardedRequest) => (
      forwarded.push(body),
      { status: 200, headers: {}, body: "{}" }
    );
    const app = createApp(Object.create(edge.node, { forward: { value: forward } }) as Node, defaultLimits);
    const statusOf = async (body: object): Promise<number> => {
      const headers = { authorization: `Bearer ${adminKey}` };
      const request = { method: "POST", headers, body: JSON.stringify(body) };
      return (await app.fetch(new Request("http://localhost/api/keys", request))).status;
    };
    const role = { name: "a", role: "write" };
    expect(await statusOf({ ...role, expires: "1d" })).toBe(400);
    expect(await statusOf(role)).toBe(200);
    expect(forwarded).toEqual([JSON.stringify(role)]);
    app.close();
  }));
