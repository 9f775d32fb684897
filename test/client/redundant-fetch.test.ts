/**
 * `redundantFetch` with real HTTP servers: the order of requests, the response that counts, and that no write is sent
 * twice.
 */
import * as Bun from "bun";
import { afterEach, describe, expect, spyOn, test } from "bun:test";
import { redundantFetch, type RedundantFetchOptions } from "../../src/client/redundant-fetch.ts";
import { deadUrl, named, rawServer, server, silent, stopServers } from "./servers.ts";

/** Too long to have an effect. */
const neverMs = 60_000;
/** The URL of the client, which is not that of a node. */
const clientUrl = "http://client.invalid:1";

afterEach(stopServers);

function caller(urls: readonly string[], options: RedundantFetchOptions = {}) {
  const call = redundantFetch(urls, options)(fetch);
  const answerOf = async (path: string, init: RequestInit): Promise<{ status: number; name: unknown }> => {
    const answer = await call(`${clientUrl}/api${path}`, init);
    return { status: answer.status, name: ((await answer.json()) as { name?: unknown }).name };
  };
  return {
    call,
    read: (path = "/authorize") => answerOf(path, { method: "POST", body: "{}" }),
    write: (path = "/batch") => answerOf(path, { method: "POST", body: "[]" }),
  };
}

/**
 * A timer counts from the last update of the clock of the event loop, so it fires early if the loop was busy: a part of
 * the time proves the wait.
 */
const most = 0.8;

const timed = async <T>(work: Promise<T>): Promise<{ readonly result: T; readonly ms: number }> => {
  const startMs = performance.now();
  const result = await work;
  return { result, ms: performance.now() - startMs };
};

/** Until the end of the block, rests of nodes end only when the test lets time pass. Timers are real. */
function simulatedClock(): Disposable & { readonly pass: (ms: number) => void } {
  let nowMs = performance.now();
  const spy = spyOn(performance, "now").mockImplementation(() => nowMs);
  return { pass: (ms) => void (nowMs += ms), [Symbol.dispose]: () => spy.mockRestore() };
}

async function refusalOf(work: Promise<unknown>): Promise<Error & { readonly code?: string }> {
  try {
    await work;
  } catch (error) {
    return error as Error;
  }
  throw new Error("it was not refused");
}

describe("a read", () => {
  test("is sent to the first node only, if that answers", async () => {
    const [a, b] = [server("a"), server("b")];
    const { read } = caller([a.url, b.url], { hedgeAfterMs: neverMs });
    for (let index = 0; index < 5; index++) expect(await read()).toEqual({ status: 200, name: "a" });
    expect([a.asked.length, b.asked.length]).toEqual([5, 0]);
  });

  test("is sent to the next node after a silence; the first good response wins, and the other request is aborted", async () => {
    const [a, b, c] = [server("a", silent), server("b"), server("c")];
    const { result, ms } = await timed(caller([a.url, b.url, c.url], { hedgeAfterMs: 80 }).read());
    expect(result).toEqual({ status: 200, name: "b" });
    expect(ms).toBeGreaterThan(most * 80);
    await until(() => a.asked[0]?.aborted === true);
    expect(c.asked).toEqual([]);
  });

  test("accepts the response of the first node if it comes before that of the second", async () => {
    const b = server("b", silent);
    const a = server("a", async () => {
      await until(() => b.asked.length === 1);
      return named("a");
    });
    expect(await caller([a.url, b.url], { hedgeAfterMs: 20 }).read()).toEqual({ status: 200, name: "a" });
    expect(b.asked).toHaveLength(1);
    await until(() => b.asked[0]?.aborted === true);
  });

  test.each([500, 502, 503, 429, 409])("goes to the next node immediately after a %d", async (status) => {
    const [a, b] = [server("a", () => named("a", status)), server("b")];
    const { read } = caller([a.url, b.url], { hedgeAfterMs: neverMs });
    expect(await read()).toEqual({ status: 200, name: "b" });
  });

  test("goes to the next node immediately if the connection fails", async () => {
    const broken = await rawServer((socket) => socket.destroy());
    const b = server("b");
    const { read } = caller([await deadUrl(), broken.url, b.url], { hedgeAfterMs: neverMs });
    expect(await read()).toEqual({ status: 200, name: "b" });
    expect(broken.requests()).toBe(1);
  });

  test("goes to the next node if a response is incomplete", async () => {
    const half = await rawServer((socket) =>
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"name"', () => socket.destroy()),
    );
    expect(await caller([half.url, server("b").url], { hedgeAfterMs: neverMs }).read()).toEqual({
      status: 200,
      name: "b",
    });
  });

  test("goes to the next node after the time limit, also in the middle of a response", async () => {
    const stuck = await rawServer((socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"name"'));
    const { read } = caller([server("a", silent).url, stuck.url, server("c").url], {
      hedgeAfterMs: neverMs,
      timeoutMs: 60,
    });
    const { result, ms } = await timed(read());
    expect(result).toEqual({ status: 200, name: "c" });
    expect(ms).toBeGreaterThan(most * 120);
  });

  test.each([200, 202, 400, 401, 403, 404, 413])("accepts a %d as the response", async (status) => {
    const [a, b] = [server("a", () => named("a", status)), server("b")];
    expect(await caller([a.url, b.url], { hedgeAfterMs: neverMs }).read()).toEqual({ status, name: "a" });
    expect(b.asked).toEqual([]);
  });

  test("that all nodes refused gets the refusal that is most likely temporary", async () => {
    const all = [409, 503, 429].map((status) => server(String(status), () => named(String(status), status)).url);
    expect(await caller([...all, await deadUrl()]).read()).toEqual({ status: 503, name: "503" });
  });

  test("without a response rejects with all reasons, and with the code that the official client checks", async () => {
    const dead = [await deadUrl(), await deadUrl()];
    const refused = await refusalOf(caller(dead).read());
    expect(refused.code).toBe("ECONNREFUSED");
    for (const url of dead) expect(refused.message).toContain(`${url}: `);

    const late = await refusalOf(caller([server("a", silent).url], { timeoutMs: 30 }).read());
    expect(late.code).toBe("ETIMEDOUT");
    expect(late.message).toContain("no answer within 30 ms");
  });

  test("is aborted on all nodes when its caller aborts", async () => {
    const [a, b] = [server("a", silent), server("b", silent)];
    const controller = new AbortController();
    const { call } = caller([a.url, b.url], { hedgeAfterMs: 10 });
    const asked = call(`${clientUrl}/api/facts`, { signal: controller.signal });
    await until(() => b.asked.length === 1);
    controller.abort(new Error("enough"));
    expect((await refusalOf(asked)).message).toBe("enough");
    await until(() => a.asked[0]?.aborted === true && b.asked[0]?.aborted === true);
    expect((await refusalOf(call(`${clientUrl}/api/facts`, { signal: controller.signal }))).message).toBe("enough");
    expect(a.asked).toHaveLength(1);
  });

  test.each([
    ["POST", "/authorize"],
    ["POST", "/authorize_resources"],
    ["POST", "/list"],
    ["POST", "/actions"],
    ["POST", "/evaluate_query"],
    ["POST", "/explain"],
    ["GET", "/facts?predicate=has_role"],
    ["GET", "/policy"],
    ["GET", "/policy_metadata?"],
    ["GET", "/keys"],
  ])("is %s %s", async (method, path) => {
    const [a, b] = [server("a", () => named("a", 503)), server("b")];
    const answer = await caller([a.url, b.url]).call(`${clientUrl}/api${path}`, { method });
    expect([answer.status, b.asked.length]).toEqual([200, 1]);
  });
});

describe("a node that failed", () => {
  test("is asked last for a while, then tested once, and used again when it works", async () => {
    const [a, b] = [server("a", () => named("a", 503)), server("b")];
    using clock = simulatedClock();
    const { read } = caller([a.url, b.url], { hedgeAfterMs: neverMs, restMs: 1000 });
    for (let index = 0; index < 5; index++) expect((await read()).name).toBe("b");
    clock.pass(999);
    expect((await read()).name).toBe("b");
    expect(a.asked).toHaveLength(1);
    clock.pass(1);
    // The test of the node is answered after the other reads.
    a.answer = async () => {
      await until(() => b.asked.length === 10);
      return named("a");
    };
    const names = await Promise.all(Array.from({ length: 5 }, async () => (await read()).name));
    expect(names).toEqual(["a", "b", "b", "b", "b"]);
    expect((await read()).name).toBe("a");
  });

  test("rests twice as long after each further failure", async () => {
    using clock = simulatedClock();
    const [a, b] = [server("a", () => named("a", 500)), server("b")];
    const { read } = caller([a.url, b.url], { hedgeAfterMs: neverMs, restMs: 100 });
    await read();
    for (const [index, restMs] of [100, 200, 400].entries()) {
      clock.pass(restMs - 1);
      await read();
      expect(a.asked).toHaveLength(index + 1);
      clock.pass(1);
      await read();
      expect(a.asked).toHaveLength(index + 2);
    }
  });

  test("by being silent costs one silence, not one per read", async () => {
    const [a, b] = [server("a", silent), server("b")];
    const { read } = caller([a.url, b.url], { hedgeAfterMs: 50, restMs: neverMs });
    await read();
    await Promise.all(Array.from({ length: 20 }, () => read()));
    expect(a.asked).toHaveLength(1);
  });

  test("is asked anyway if all nodes have failed", async () => {
    const [a, b] = [server("a", () => named("a", 503)), server("b", () => named("b", 503))];
    const { read } = caller([a.url, b.url], { restMs: neverMs });
    expect((await read()).status).toBe(503);
    b.answer = () => named("b");
    expect(await read()).toEqual({ status: 200, name: "b" });
  });
});

describe("the fallback", () => {
  test("is not asked while a trusted node is silent, until the delay is over", async () => {
    const [a, b, fallback] = [server("a", silent), server("b", silent), server("fallback")];
    const options = { fallback: fallback.url, hedgeAfterMs: 10, fallbackAfterMs: 200 };
    const { result, ms } = await timed(caller([a.url, b.url], options).read());
    expect(result.name).toBe("fallback");
    expect(ms).toBeGreaterThan(most * 200);
    expect([a.asked.length, b.asked.length]).toEqual([1, 1]);
  });

  test("is asked later for a read with a consistency token", async () => {
    const [a, fallback] = [server("a", silent), server("fallback")];
    const order: string[] = [];
    const waitMs = async (name: string, headers: Record<string, string>): Promise<number> => {
      const call = redundantFetch([a.url], { fallback: fallback.url })((url, init) => {
        if (url.startsWith(fallback.url)) order.push(name);
        return fetch(url, init);
      });
      return (await timed(call(`${clientUrl}/api/facts`, { headers }))).ms;
    };
    const waits = await Promise.all([waitMs("token", { OsoOffset: "0:1" }), waitMs("none", {})]);
    expect(order).toEqual(["none", "token"]);
    for (const [index, leastMs] of [2500, 500].entries()) expect(waits[index]).toBeGreaterThan(most * leastMs);
  });

  test("is asked immediately when all others have failed", async () => {
    const [a, fallback] = [server("a", () => named("a", 503)), server("fallback")];
    const options = { fallback: fallback.url, hedgeAfterMs: neverMs, fallbackAfterMs: neverMs };
    expect((await caller([a.url, await deadUrl()], options).read()).name).toBe("fallback");
  });

  test("is asked after one silence if all others were silent before, which are used again when they work", async () => {
    const [a, b, fallback] = [server("a", silent), server("b", silent), server("fallback")];
    const options = { fallback: fallback.url, hedgeAfterMs: 40, fallbackAfterMs: 300, restMs: 50, timeoutMs: neverMs };
    const { read } = caller([a.url, b.url], options);
    await read();
    const timers = spyOn(globalThis, "setTimeout");
    expect((await read()).name).toBe("fallback");
    const waits = new Set(timers.mock.calls.map(([, ms]) => ms));
    timers.mockRestore();
    expect([...waits].toSorted()).toEqual([options.hedgeAfterMs, neverMs]);
    b.answer = () => named("b");
    await until(async () => (await read()).name === "b");
  });

  test("never gets a write", async () => {
    const fallback = server("fallback");
    const { write } = caller([await deadUrl()], { fallback: fallback.url });
    expect((await refusalOf(write())).message).toContain("nothing was written");
    expect(fallback.asked).toEqual([]);
  });
});

describe("a write", () => {
  test("goes to the first node only, however long that takes", async () => {
    const a = server("a", () => Bun.sleep(150).then(() => named("a")));
    const b = server("b");
    const { write } = caller([a.url, b.url], { hedgeAfterMs: 5, fallbackAfterMs: 5 });
    expect(await write()).toEqual({ status: 200, name: "a" });
    expect([a.asked.length, b.asked.length]).toEqual([1, 0]);
  });

  test("without a response is not sent again: it may have been executed", async () => {
    const breaking = await rawServer((socket) => socket.destroy());
    const b = server("b");
    await refusalOf(caller([breaking.url, b.url]).write());
    const a = server("a", silent);
    const late = await refusalOf(caller([a.url, b.url], { timeoutMs: 50 }).write());
    expect(late.message).toContain("no answer within 50 ms");
    expect([breaking.requests(), a.asked.length, b.asked.length]).toEqual([1, 1, 0]);
  });

  test("that could not be sent goes to the next node, and so do later writes", async () => {
    const [b, c] = [server("b"), server("c")];
    const { write } = caller([await deadUrl(), b.url, c.url]);
    for (let index = 0; index < 3; index++) expect(await write()).toEqual({ status: 200, name: "b" });
    expect([b.asked.length, c.asked.length]).toEqual([3, 0]);
  });

  test.each([500, 503, 429, 409, 400])(
    "that was refused with %d is refused; a repeated one avoids a failing node",
    async (status) => {
      const [a, b] = [server("a", () => named("a", status)), server("b")];
      const { write, read } = caller([a.url, b.url]);
      expect(await write()).toEqual({ status, name: "a" });
      expect(b.asked).toEqual([]);
      expect((await write()).name).toBe(status >= 500 ? "b" : "a");
      a.answer = () => named("a");
      expect((await read()).name).toBe("a");
    },
  );

  test.each([
    ["POST", "/batch"],
    ["POST", "/policy"],
    ["POST", "/clear_data"],
    ["POST", "/keys"],
    ["POST", "/expect"],
    ["POST", "/whatever/list"],
    ["POST", "/facts"],
    ["DELETE", "/facts"],
    ["DELETE", "/keys/abc"],
    ["PUT", "/list"],
  ])("is %s %s", async (method, path) => {
    const [a, b] = [server("a", () => named("a", 503)), server("b")];
    const answer = await caller([a.url, b.url], { hedgeAfterMs: 1 }).call(`${clientUrl}/api${path}`, { method });
    expect([answer.status, a.asked.length, b.asked.length]).toEqual([503, 1, 0]);
  });
});

test("all parts of a request reach the node, and all parts of the response come back", async () => {
  const body = JSON.stringify({ results: ["a", "ä", "😀"] });
  const headers = { OsoOffset: "0123:17", "X-Request-ID": "r-1", "Server-Timing": "oso;dur=1.5" };
  const a = server("a", () => new Response(body, { status: 202, headers }));
  const sent = {
    method: "POST",
    headers: { OsoOffset: "0123:16", Authorization: "Bearer key", "X-Request-ID": "r-1" },
    body: '{"a":"ü"}',
  };
  const { call } = caller([`${a.url}/behind/a/proxy/`]);
  const answer = await call(`${clientUrl}/some/base/api/list?x=%2Fapi%2F&y=1`, sent);
  const [asked] = a.asked;
  expect([asked?.method, asked?.path, asked?.body]).toEqual([
    "POST",
    "/behind/a/proxy/api/list?x=%2Fapi%2F&y=1",
    sent.body,
  ]);
  for (const [name, value] of Object.entries(sent.headers)) expect(asked?.headers.get(name)).toBe(value);
  expect(answer.status).toBe(202);
  for (const [name, value] of Object.entries(headers)) expect(answer.headers.get(name)).toBe(value);
  expect(await answer.text()).toBe(body);
});

test("an agent of the client's protocol is not used for a node with the other one", async () => {
  const agents: unknown[] = [];
  const watching = (url: string, init?: RequestInit & { agent?: unknown }): Promise<Response> => {
    agents.push(init?.agent);
    return fetch(url, { method: init?.method ?? "GET" });
  };
  const call = redundantFetch([server("a").url])(watching);
  const agent = { keepAlive: true };
  await call("http://client.invalid/api/facts", { agent } as RequestInit);
  await call("https://client.invalid/api/facts", { agent } as RequestInit);
  expect(agents).toEqual([agent, undefined]);
});

test("invalid arguments are refused immediately, and no password is repeated", () => {
  expect(() => redundantFetch([])).toThrow("at least one node");
  for (const url of ["node:8080", "ftp://node", "", "http://me:secret@node", "http://node/?key=secret"]) {
    expect(() => redundantFetch([url])).toThrow(/^(?!.*secret).*needs URLs of nodes/);
    expect(() => redundantFetch(["http://node"], { fallback: url })).toThrow("needs URLs of nodes");
  }
  expect(() => redundantFetch(["http://node"], { hedgeAfterMs: -1 })).toThrow("hedgeAfterMs must be a number");
  expect(() => redundantFetch(["http://node"], { timeoutMs: 2 ** 40 })).toThrow("timeoutMs must be a number");
  expect(() => redundantFetch(["http://node"])(fetch)(`${clientUrl}/elsewhere`)).toThrow("not a URL of the API");
});

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (const endMs = Date.now() + 45_000; !(await condition()); await Bun.sleep(5))
    if (Date.now() > endMs) throw new Error("it did not happen within 45 seconds");
}
