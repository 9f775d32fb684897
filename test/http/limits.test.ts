/**
 * Every limit that Oso Cloud publishes, at its boundary: what is just allowed, and the status of what is not. Limits of
 * rates are off by default; their arithmetic is tested with a clock of its own.
 */
import { describe, expect, test } from "bun:test";
import { once } from "node:events";
import { connect } from "node:net";
import { RequestLimits } from "../../src/http/request/request-limits.ts";
import { defaultLimits, type Limits } from "../../src/config/limits.ts";
import { FactRate } from "../../src/log/writer/fact-rate.ts";
import { AppError } from "../../src/util/app-error.ts";
import { TokenBuckets } from "../../src/util/token-buckets.ts";
import { converged, eventually, withCluster } from "../replication/cluster.ts";
import { apiOf, admin, wildcardPolicy, withPrimary, type Answer, type Api } from "./api.ts";

const fact = (user: number, org = "acme") => ({
  predicate: "has_role",
  args: [
    { type: "User", id: `u${user}` },
    { type: "String", id: "member" },
    { type: "Org", id: org },
  ],
});
const facts = (count: number, org = "acme") => Array.from({ length: count }, (_, user) => fact(user, org));
const allOf = (org: string) => ({
  predicate: "has_role",
  args: [
    { type: "User", id: null },
    { type: "String", id: "member" },
    { type: "Org", id: org },
  ],
});
const insert = (api: Api, inserts: unknown[], headers = {}): Promise<Answer> =>
  api.call("POST", "/api/batch", { body: [{ inserts }], headers });
const remove = (api: Api, deletes: unknown[], headers = {}): Promise<Answer> =>
  api.call("POST", "/api/batch", { body: [{ deletes }], headers });
const statusAndCode = ({ status, json }: Answer) => [status, (json as { code?: string }).code];
const ask = (contextFacts: unknown[]) => ({
  ...{ actor_type: "User", actor_id: "u0", action: "read", resource_type: "Org", resource_id: "acme" },
  context_facts: contextFacts,
});

async function createKey(api: Api, role: string): Promise<{ authorization: string }> {
  const { json } = await api.call("POST", "/api/keys", { body: { name: role, role } });
  return { authorization: `Bearer ${(json as { token: string }).token}` };
}

describe("sizes and counts", () => {
  const bytes = 4096;
  const flags = {
    "advanced.contextFactsMax": "2",
    "advanced.batchEntriesMax": "3",
    "advanced.wildcardDeleteFactsMax": "4",
    "advanced.readBodyBytesMax": String(bytes),
    "advanced.writeBodyBytesMax": String(bytes),
    "advanced.apiKeysMax": "3",
  };

  test("have the published defaults", () => {
    expect(defaultLimits).toMatchObject({
      ...{ readBodyBytesMax: 10 * 2 ** 20, writeBodyBytesMax: 960 * 1024, contextFactsMax: 100, batchEntriesMax: 1000 },
      ...{ wildcardDeleteFactsMax: 10_000, queryTimeMsMax: 20_000, apiKeysMax: 128 },
      // These would surprise somebody who runs the node himself.
      ...{ keyRequestsInFlightMax: 0, environmentRequestsInFlightMax: 0, keyReadsPerSecondMax: 0 },
      ...{ environmentReadsPerSecondMax: 0, keyFactsPerMinuteMax: 0, environmentFactsPerMinuteMax: 0 },
    });
  });

  test("are exact: at the limit a request is answered, above it gets its status", () =>
    withPrimary(async (api) => {
      await api.call("POST", "/api/policy", { body: { src: wildcardPolicy } });
      expect((await api.call("POST", "/api/authorize", { body: ask(facts(2)) })).status).toBe(200);
      expect(statusAndCode(await api.call("POST", "/api/authorize", { body: ask(facts(3)) }))).toEqual([
        413,
        "too_large",
      ]);

      expect((await insert(api, facts(3))).status).toBe(200);
      expect(statusAndCode(await insert(api, facts(4)))).toEqual([413, "too_large"]);

      expect((await insert(api, [fact(4)])).status).toBe(200);
      expect((await remove(api, [allOf("acme")])).status).toBe(200);
      for (const first of [0, 3]) await insert(api, facts(6).slice(first, first + 3));
      expect(statusAndCode(await remove(api, [allOf("acme")]))).toEqual([413, "too_large"]);

      const padded = (body: unknown, size: number) => JSON.stringify(body).padEnd(size, " ");
      for (const [path, body] of [
        ["/api/authorize", ask([])],
        ["/api/batch", []],
      ] as const) {
        expect((await api.call("POST", path, { body: padded(body, bytes) })).status).toBe(200);
        expect(statusAndCode(await api.call("POST", path, { body: padded(body, bytes + 1) }))).toEqual([
          413,
          "too_large",
        ]);
      }

      for (const role of ["read", "write"]) await createKey(api, role);
      const fourth = await api.call("POST", "/api/keys", { body: { name: "fourth", role: "read" } });
      expect(statusAndCode(fourth)).toEqual([400, "invalid_request"]);
    }, flags));
});

/** A clock that only the test moves. */
function testClock() {
  let nowMs = 1_000_000;
  return { monotonicMs: () => nowMs, advance: (ms: number) => void (nowMs += ms) };
}

function refusalOf(body: () => unknown): { code: string; retryAfterMs: number | undefined } | undefined {
  try {
    body();
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return { code: error.code, retryAfterMs: error.retryAfterMs };
  }
  return undefined;
}

describe("the number of requests at work", () => {
  const limits = (more: Partial<Limits>): Limits => ({ ...defaultLimits, ...more });

  test("is limited for each key and for all, and a request that ends makes room", () => {
    const counted = new RequestLimits(limits({ keyRequestsInFlightMax: 2, environmentRequestsInFlightMax: 3 }));
    const end = counted.admit("a", "read");
    counted.admit("a", "write");
    expect(refusalOf(() => counted.admit("a", "read"))?.code).toBe("too_many_requests");
    counted.admit("b", "read");
    expect(refusalOf(() => counted.admit("c", "read"))?.code).toBe("too_many_requests");
    end();
    expect(refusalOf(() => counted.admit("c", "read"))).toBeUndefined();
  });

  test("needs no check if no limit is set", () => {
    expect(RequestLimits.of(defaultLimits)).toBeUndefined();
    expect(RequestLimits.of(limits({ environmentReadsPerSecondMax: 1 }))).toBeDefined();
  });

  test("counts requests whose body is on its way, with 429 for the next one and none for health checks", () =>
    withPrimary(requireOneAtWork, oneAtWork));

  test("counts writes that an edge forwards", () =>
    withCluster(async (cluster) => {
      const running = await cluster.primary();
      const edge = await cluster.edge("edge", running);
      await eventually(() => converged(edge.node, running.node));
      await requireOneAtWork(apiOf(edge));
    }, oneAtWork));
});

const oneAtWork = { "advanced.keyRequestsInFlightMax": "1" };

/** While the body of a write is on its way to the node, the node refuses further requests of the key. */
async function requireOneAtWork(api: Api): Promise<void> {
  const { hostname, port } = new URL(api.url);
  const socket = connect(Number(port), hostname);
  await once(socket, "connect");
  const head = `POST /api/batch HTTP/1.1\r\nHost: x\r\nAuthorization: ${admin.authorization}\r\nContent-Length: 2\r\n\r\n[`;
  socket.write(head);
  await eventually(async () =>
    expect(statusAndCode(await api.call("GET", "/api/policy"))).toEqual([429, "too_many_requests"]),
  );
  const refused = await api.call("GET", "/api/policy");
  expect(refused.headers.get("retry-after")).toBe("1");
  expect((await api.call("GET", "/healthcheck")).status).toBe(200);
  expect((await api.call("GET", "/api/policy", { headers: { authorization: "Bearer x" } })).status).toBe(401);
  const answered = once(socket, "data");
  socket.write("]");
  expect(String((await answered)[0])).toStartWith("HTTP/1.1 200");
  await eventually(async () => expect((await api.call("GET", "/api/policy")).status).toBe(200));
  socket.destroy();
}

describe("the rate of reads", () => {
  test("allows exactly as many as the limit, then one after the other", () => {
    const clock = testClock();
    const rate = new RequestLimits(
      { ...defaultLimits, keyReadsPerSecondMax: 10, environmentReadsPerSecondMax: 15 },
      clock,
    );
    const read = (key: string) => refusalOf(() => rate.admit(key, "read")());
    for (let count = 0; count < 10; count++) expect(read("a")).toBeUndefined();
    expect(read("a")).toEqual({ code: "too_many_requests", retryAfterMs: 100 });
    // Refused reads of one key take nothing from the others.
    for (let count = 0; count < 5; count++) expect(read("b")).toBeUndefined();
    expect(read("b")?.code).toBe("too_many_requests");
    expect(refusalOf(() => rate.admit("a", "write"))).toBeUndefined();
    clock.advance(100);
    expect(read("a")).toBeUndefined();
    expect(read("a")?.code).toBe("too_many_requests");
    clock.advance(60_000);
    for (let count = 0; count < 10; count++) expect(read("a")).toBeUndefined();
    expect(read("a")?.code).toBe("too_many_requests");
  });

  test("forgets the holder that was not used for longest, so that its memory is bounded", () => {
    const buckets = new TokenBuckets({ capacity: 1, perSecond: 1, holdersMax: 2 }, testClock());
    expect(["a", "b", "a", "c", "b"].map((holder) => buckets.take(holder))).toEqual([true, true, false, true, true]);
  });

  test("is 429 with Retry-After over HTTP", () =>
    withPrimary(
      async (api) => {
        const startMs = performance.now();
        const answers = await Promise.all(Array.from({ length: 50 }, () => api.call("GET", "/api/policy")));
        const seconds = (performance.now() - startMs) / 1000;
        const refused = answers.filter(({ status }) => status === 429);
        expect(answers.length - refused.length).toBeGreaterThanOrEqual(2);
        // A slow machine makes more of them in their time, not above the rate.
        expect(answers.length - refused.length).toBeLessThanOrEqual(2 + Math.ceil(2 * seconds));
        for (const answer of refused) expect(answer.headers.get("retry-after")).toBe("1");
      },
      { "advanced.keyReadsPerSecondMax": "2" },
    ));
});

describe("the rate of changed facts", () => {
  test("covers each minute, and says when there is room again", () => {
    const clock = testClock();
    const rate = new FactRate(clock);
    rate.add("a", 60);
    clock.advance(30_000);
    rate.add("a", 40);
    expect(rate.delayMs("a", 1, 100)).toBe(31_000);
    expect(rate.delayMs("a", 61, 100)).toBe(61_000);
    expect(rate.delayMs("b", 100, 100)).toBe(0);
    clock.advance(30_999);
    expect(rate.delayMs("a", 1, 100)).toBe(1);
    clock.advance(1);
    expect(rate.delayMs("a", 60, 100)).toBe(0);
    expect(rate.delayMs("a", 61, 100)).toBe(30_000);
  });

  test("counts what a write changes: each fact of a pattern, nothing for repeated and refused writes", () =>
    withPrimary(
      async (api) => {
        await api.call("POST", "/api/policy", { body: { src: wildcardPolicy } });
        const key = await createKey(api, "write");
        const limited = await insert(api, facts(11), key);
        expect(statusAndCode(limited)).toEqual([413, "too_large"]);
        const repeated = { ...key, "X-Request-ID": "once" };
        for (let times = 0; times < 3; times++) expect((await insert(api, facts(4), repeated)).status).toBe(200);
        expect((await insert(api, facts(4), key)).status).toBe(200);
        expect((await remove(api, [allOf("acme")], key)).status).toBe(200);
        // 8 of 10 are used.
        const third = await insert(api, facts(3, "other"), key);
        expect(statusAndCode(third)).toEqual([429, "too_many_requests"]);
        expect(Number(third.headers.get("retry-after"))).toBeWithin(1, 62);
        expect((await insert(api, facts(2, "other"), key)).status).toBe(200);
        expect((await insert(api, facts(1, "last"), key)).status).toBe(429);
        // Another key has a rate of its own, but the environment has one for all.
        expect((await insert(api, facts(5, "admin"))).status).toBe(200);
        expect((await insert(api, [fact(9, "admin")])).status).toBe(429);
        // Policies and keys are not facts.
        expect(
          (await api.call("POST", "/api/policy", { body: { src: `${wildcardPolicy}\n` }, headers: key })).status,
        ).toBe(200);
      },
      { "advanced.keyFactsPerMinuteMax": "10", "advanced.environmentFactsPerMinuteMax": "15" },
    ));

  test("counts a write that an edge forwards once, at the primary", () =>
    withCluster(
      async (cluster) => {
        const running = await cluster.primary();
        const [primary, edge] = [apiOf(running), apiOf(await cluster.edge("edge", running))];
        await eventually(() => converged(edge.node, primary.node));
        await edge.call("POST", "/api/policy", { body: { src: wildcardPolicy } });
        expect((await insert(edge, facts(6))).status).toBe(200);
        expect((await insert(primary, facts(4, "other"))).status).toBe(200);
        const refused = await insert(edge, [fact(0, "last")]);
        expect(statusAndCode(refused)).toEqual([429, "too_many_requests"]);
        expect(Number(refused.headers.get("retry-after"))).toBeWithin(1, 62);
      },
      { "advanced.keyFactsPerMinuteMax": "10" },
    ));
});
