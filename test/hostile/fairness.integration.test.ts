/**
 * One API key uses all resources that it can get: another key is still served, and the greedy one gets 429 with its
 * usage.
 */
import * as Bun from "bun";
import { expect, test } from "bun:test";
import { ResultSets } from "../../src/engine/query/result-sets.ts";
import { packStrings } from "../../src/engine/request/packed-strings.ts";
import { defaultLimits } from "../../src/config/limits.ts";
import { BodyParser } from "../../src/http/request/body-parser.ts";
import { ByteBudget, type ByteReservation } from "../../src/http/response/byte-budget.ts";
import { EventPages, LogReadQueue } from "../../src/http/events/log-read-queue.ts";
import { LargeBody } from "../../src/http/request/body-reader.ts";
import { SlotPool } from "../../src/util/slot-pool.ts";
import { apiOf, fact, User, value, withPrimary, type Answer, type Api } from "../http/api.ts";
import { openSource } from "../http/event-source.ts";
import { eventually, withCluster } from "../replication/cluster.ts";
import { workerProcessesOf } from "../runtime/worker-processes.ts";

const timeoutMs = 60_000;
/** Long enough for a busy machine, because processes are started meanwhile. */
const waitMs = 30_000;

const good = 'actor User {}\nresource Org { roles = ["member"]; permissions = ["read"]; "read" if "member"; }';

async function keyOf(api: Api): Promise<{ readonly authorization: string }> {
  const made = await api.call("POST", "/api/keys", { body: { name: "other", role: "read" } });
  return { authorization: `Bearer ${(made.json as { readonly token: string }).token}` };
}

const refusedWith = (text: string) => ({ status: 429, json: { message: expect.stringContaining(text) } });

test("a holder can take a slot while it holds fewer than are free", () => {
  const places = new SlotPool(100, "things");
  const takeAll = (holder: string): number => {
    let taken = 0;
    for (; places.canAcquire(holder); taken++) places.acquire(holder);
    return taken;
  };
  const holders = Array.from({ length: 20 }, (_, index) => String(index));
  expect(holders.map(takeAll).slice(0, 4)).toEqual([50, 25, 13, 6]);
  for (let count = 0; count < 50; count++) places.release("0");
  expect(places.canAcquire("new")).toBe(true);
  expect(() => new SlotPool(1, "things").acquire("alone")).not.toThrow();
});

test("a key can hold as many bytes of bodies and responses as are free, a node any number", () => {
  const budget = new ByteBudget({ bufferedBytesMax: 1200, bufferedNodeBytesReserved: 200 });
  const kept: ByteReservation[] = [];
  const takeAll = (holder: string, peer?: "node"): number => {
    const before = kept.length;
    for (let next = budget.reserve(10, holder, peer); next !== undefined; next = budget.reserve(10, holder, peer))
      kept.push(next);
    return (kept.length - before) * 10;
  };
  expect([takeAll("greedy"), takeAll("one"), takeAll("two")]).toEqual([500, 250, 130]);
  expect(budget.reserve(10, "greedy")).toBeUndefined();
  const lease = budget.reserve(20, "honest");
  expect(lease?.resize(100)).toBe(true);
  expect(lease?.resize(110)).toBe(false);
  lease?.release();
  lease?.release();
  expect(takeAll("honest")).toBe(60);
  expect(takeAll("", "node")).toBe(260);
  expect(budget.usedBytes).toBe(1200);
  // The metric counts the bytes of all budgets, also for tests of the same process.
  for (const { release } of kept) release();
  expect(budget.usedBytes).toBe(0);
});

test("large bodies are parsed in turns of their keys, the smallest of a key first", async () => {
  const parser = new BodyParser(defaultLimits);
  const order: string[] = [];
  const send = async (holder: string, kibibytes: number): Promise<void> => {
    const bytes = new TextEncoder().encode(JSON.stringify({ src: "#".repeat(kibibytes * 1024) }));
    await parser.parse("policy", new LargeBody(bytes, holder));
    order.push(`${holder} ${kibibytes}`);
  };
  try {
    const greedy = Array.from({ length: 20 }, () => send("greedy", 70));
    await Promise.all([send("honest", 900), send("honest", 500), ...greedy]);
  } finally {
    parser.close();
  }
  // The first one did not wait.
  expect(order.slice(0, 4)).toEqual(["greedy 70", "honest 500", "greedy 70", "honest 900"]);
});

test("pages of events are read in turns, and one key cannot fill the queue", async () => {
  const pages = new EventPages({ eventPagesMax: 10 }, new LogReadQueue());
  const order: string[] = [];
  const ask = (holder: string): Promise<void> => pages.read(holder, () => void order.push(holder));
  const greedy = Array.from({ length: 20 }, () => ask("greedy"));
  const others = [ask("one"), ask("two"), ask("one")];
  const settled = await Promise.allSettled(greedy);
  await Promise.all(others);
  expect(settled.filter(({ status }) => status === "fulfilled").length).toBe(5);
  expect(order.slice(0, 5)).toEqual(["greedy", "one", "two", "greedy", "one"]);
  expect(await pages.read("greedy", () => "again")).toBe("again");
});

test("result sets of the key with the most are removed first", () => {
  const limits = { resultSetsMax: 4, resultSetsBytesMax: 1000, resultSetTtlMs: 1000, resultSetFinishedTtlMs: 1000 };
  const listings = new ResultSets(limits);
  const name = { epoch: "e", offset: 1, second: null };
  const isKept = (question: string): boolean => listings.page(question, name, 0, 1) !== undefined;
  listings.add("of another", { ...name, ids: packStrings(["a", "b"]) }, "another");
  for (let index = 0; index < 20; index++)
    listings.add(`greedy ${index}`, { ...name, ids: packStrings(["a", "b"]) }, "greedy");
  expect([isKept("of another"), isKept("greedy 16"), isKept("greedy 17"), isKept("greedy 19")]).toEqual([
    true,
    false,
    true,
    true,
  ]);
  listings.add("large", { ...name, ids: packStrings(["x".repeat(980)]) }, "greedy");
  expect([isKept("of another"), isKept("greedy 19"), isKept("large")]).toEqual([true, false, true]);
  listings.clear();
});

test(
  "event streams",
  () =>
    withCluster(
      async (cluster) => {
        const primary = await cluster.primary();
        const api = apiOf(primary);
        const sources = [];
        for (let count = 0; count < 4; count++) sources.push(await openSource(primary.url));
        const stream = { accept: "text/event-stream" };
        const refused = await api.call("GET", "/api/events", { headers: stream });
        expect(refused).toMatchObject(refusedWith("too many event streams: this API key holds 4 of 8 slots"));
        expect(refused.headers.get("retry-after")).toBe("1");
        const other = await keyOf(api);
        const opened = await fetch(`${primary.url}/api/events`, { headers: { ...stream, ...other } });
        expect(opened.status).toBe(200);
        await opened.body?.cancel();
        for (const source of sources) source.close();
        await eventually(async () => {
          const again = await openSource(primary.url);
          again.close();
        });
      },
      { "advanced.eventStreamsMax": "8" },
    ),
  timeoutMs,
);

test(
  "checks of policies",
  () =>
    withPrimary(
      async (api) => {
        const known = workerProcessesOf(process.pid).map(({ pid }) => pid);
        const check = (headers: Readonly<Record<string, string>> = {}): Promise<Answer> =>
          api.call("POST", "/api/test", { body: { src: good }, headers });
        expect((await check()).status).toBe(200);
        const checker = workerProcessesOf(process.pid).find(({ pid }) => !known.includes(pid));
        process.kill(Number(checker?.pid), "SIGSTOP");
        const greedy = Array.from({ length: 5 }, () => check());
        const refused = (await Promise.all(greedy.slice(2)))[0];
        expect(refused).toMatchObject(refusedWith("this API key holds 2 of 4 slots"));
        expect(await check(await keyOf(api))).toMatchObject({ status: 200, json: { success: true } });
        process.kill(Number(checker?.pid), "SIGCONT");
        expect((await Promise.all(greedy)).map(({ status }) => status)).toEqual([200, 200, 429, 429, 429]);
      },
      { "advanced.policyChecksWaitingMax": "4" },
    ),
  timeoutMs,
);

/** All users know each other and no user vouches, so the engine has to try every path. */
const crowd = 50;
const crowded = `actor User {} resource Doc { permissions = ["audit"]; }
  has_permission(user: User, "audit", doc: Doc) if
    knows(user, a) and knows(b, c) and knows(d, e) and knows(a, b) and knows(c, d) and vouches(e, doc);`;

test(
  "slow queries",
  () =>
    withPrimary(
      async (api) => {
        expect((await api.call("POST", "/api/policy", { body: { src: crowded } })).status).toBe(200);
        const facts = Array.from({ length: crowd ** 2 }, (_, index) =>
          fact("knows", User(String(index % crowd)), User(String(Math.floor(index / crowd)))),
        );
        facts.push(fact("vouches", User("nobody"), value("Doc", "d")));
        for (let first = 0; first < facts.length; first += 1000)
          await api.call("POST", "/api/batch", { body: [{ inserts: facts.slice(first, first + 1000) }] });
        const ask = (headers: Readonly<Record<string, string>> = {}): Promise<Answer> =>
          api.call("POST", "/api/authorize", {
            headers,
            body: {
              actor_type: "User",
              actor_id: "0",
              action: "audit",
              resource_type: "Doc",
              resource_id: "d",
              context_facts: [],
            },
          });
        const refused: Answer[] = [];
        const greedy = Array.from({ length: 4 }, async () => {
          const answer = await ask();
          if (answer.status === 429) refused.push(answer);
        });
        const key = await keyOf(api);
        await eventually(() => expect(refused.length).toBeGreaterThan(0), waitMs);
        expect(refused[0]).toMatchObject(refusedWith("this API key holds 2 of 3 slots"));
        // The slow query of the other key continues beside the two.
        const other = ask(key);
        await eventually(() => expect(refused.length).toBe(2), waitMs);
        const atWork = (): number => workerProcessesOf(process.pid).filter(({ state }) => state === "R").length;
        await eventually(() => expect(atWork()).toBeGreaterThanOrEqual(3), waitMs);
        expect(Bun.peek.status(other)).toBe("pending");
        for (const { pid } of workerProcessesOf(process.pid)) process.kill(pid, "SIGKILL");
        await Promise.all(greedy);
        // It may not have begun yet.
        expect(await other).toMatchObject({ json: { message: expect.stringContaining("has ended") } });
      },
      { "advanced.queryTimeMsMax": "1m", "advanced.slowQueryAfterMs": "200ms", "advanced.slowQueriesMax": "3" },
    ),
  timeoutMs,
);
