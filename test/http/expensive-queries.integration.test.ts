/** Expensive queries: they end at their limits, and do not delay other queries. */
import { describe, expect, spyOn, test } from "bun:test";
import { eventually } from "../replication/cluster.ts";
import { workerProcessesOf } from "../runtime/worker-processes.ts";
import { clientOf, fact, User, value, withPrimary, type Answer, type Api } from "./api.ts";

const policy = `
  actor User {}
  resource Doc { roles = ["reader"]; permissions = ["read", "audit", "trace"]; "read" if "reader"; }
  has_permission(user: User, "audit", doc: Doc) if
    knows(user, a) and knows(b, c) and knows(d, e) and knows(a, b) and knows(c, d) and vouches(e, doc);
  has_permission(user: User, "trace", doc: Doc) if near(user, other) and vouches(other, doc);
  near(a: User, b: User) if knows(a, b);
  near(a: User, c: User) if far(a, b) and near(b, c);
  far(a: User, c: User) if near(a, b) and far(b, c);
  far(a: User, b: User) if knows(b, a);`;

const Doc = (id: string) => value("Doc", id);
/** All users know each other and no user vouches, so the engine has to try every path. */
const crowd = 60;
const facts = [
  fact("has_role", User("0"), value("String", "reader"), Doc("mine")),
  fact("vouches", User("nobody"), Doc("theirs")),
  ...Array.from({ length: crowd ** 2 }, (_, index) =>
    fact("knows", User(String(index % crowd)), User(String(Math.floor(index / crowd)))),
  ),
];

async function loaded(api: Api, src = policy): Promise<void> {
  expect((await api.call("POST", "/api/policy", { body: { src } })).status).toBe(200);
  for (let first = 0; first < facts.length; first += 1000) {
    const answer = await api.call("POST", "/api/batch", { body: [{ inserts: facts.slice(first, first + 1000) }] });
    expect(answer.status).toBe(200);
  }
}

const asking = (api: Api, action: string, path = "authorize"): Promise<Answer> =>
  api.call("POST", `/api/${path}`, {
    body: {
      actor_type: "User",
      actor_id: "0",
      action,
      resource_type: "Doc",
      ...(path === "list" ? {} : { resource_id: "theirs" }),
      context_facts: [],
    },
  });

const states = (): string[] => workerProcessesOf(process.pid).map(({ state }) => state);

const limits = {
  "advanced.queryTimeMsMax": "2s",
  "advanced.slowQueriesMax": "3",
  "advanced.slowQueryAfterMs": "500ms",
  "advanced.queryStepsMax": "300000",
};

describe("a query that takes too long", () => {
  test.each([
    ["a product of facts", "audit", "authorize"],
    ["the same as a list", "audit", "list"],
    ["recursion over a dense graph", "trace", "authorize"],
  ])(
    "%s ends at its limit, while others are answered, and leaves no process at work",
    (_, action, path) =>
      withPrimary(async (api) => {
        await loaded(api);
        let isPending = true;
        const expensive = asking(api, action, path).finally(() => {
          isPending = false;
        });
        const client = clientOf(api.url);
        let answered = 0;
        while (isPending) {
          expect(await client.authorize(User("0"), "read", Doc("mine"))).toBe(true);
          expect(await client.authorize(User("1"), "read", Doc("mine"))).toBe(false);
          expect(await client.list(User("0"), "read", "Doc")).toEqual(["mine"]);
          if (isPending) answered += 3;
        }
        expect(answered).toBeGreaterThan(0);
        const { status, json } = await expensive;
        expect({ status, json }).toEqual({
          status: 400,
          json: { message: expect.stringMatching(/takes longer than|steps/), code: "query_too_expensive" },
        });
        await eventually(() => expect(states()).not.toContain("R"));
      }, limits),
    60_000,
  );

  test(
    "does not delay other offloaded queries for long, however many run",
    () =>
      withPrimary(
        async (api) => {
          await loaded(api);
          const expensive = Array.from({ length: 4 }, () => asking(api, "audit"));
          // This query is offloaded as well: it can examine as many rows, but finds immediately that its user is
          // unknown.
          const body = {
            actor_type: "User",
            actor_id: "stranger",
            action: "audit",
            resource_type: "Doc",
            resource_id: "theirs",
          };
          const answer = await api.call("POST", "/api/authorize", { body: { ...body, context_facts: [] } });
          expect({ status: answer.status, json: answer.json }).toEqual({ status: 200, json: { allowed: false } });
          const ended = await Promise.all(expensive);
          const statuses = ended.map(({ status }) => status);
          expect(statuses.filter((status) => status === 400).length).toBeGreaterThanOrEqual(2);
          expect(statuses.every((status) => status === 400 || status === 429)).toBe(true);
          expect((await api.call("GET", "/metrics")).text).toContain(
            'ostiary_offloaded_queries_total{kind="authorize"}',
          );
          await eventually(() => expect(states()).not.toContain("R"));
        },
        // The slots for slow queries are in use when its turn comes. On a busy machine it needs more than 500 ms itself.
        { ...limits, "advanced.queryTimeMsMax": "8s", "advanced.slowQueryAfterMs": "2s" },
      ),
    60_000,
  );
});

test("offloaded queries above the limit are refused immediately", () =>
  withPrimary(
    async (api) => {
      await loaded(api);
      const ended = await Promise.all(Array.from({ length: 6 }, () => asking(api, "audit")));
      expect(ended.map(({ status }) => status).sort()).toEqual([400, 400, 429, 429, 429, 429]);
      expect(ended.find(({ status }) => status === 429)?.headers.get("retry-after")).toBe("1");
    },
    { "advanced.queryTimeMsMax": "2s", "advanced.offloadedQueriesMax": "4" },
  ));

test("if no worker process can be started, the query fails with the reason, and the next one succeeds", () =>
  withPrimary(
    async (api) => {
      await loaded(api, simple);
      const spawn = spyOn(Bun, "spawn").mockImplementation(() => {
        throw new Error("EAGAIN: resource temporarily unavailable, posix_spawn");
      });
      const refused = await Promise.all([asking(api, "read"), asking(api, "read")]);
      spawn.mockRestore();
      for (const { status, json } of refused) {
        const message = expect.stringContaining("no worker process could be started");
        expect({ status, json }).toEqual({ status: 503, json: { message, code: "not_ready" } });
      }
      expect((await asking(api, "read")).json).toEqual({ allowed: false });
    },
    { "advanced.servingThreadQueryRowsMax": "1" },
  ));

test("many resources are checked on the serving thread up to a time limit, then in a worker process, with the same result", () =>
  withPrimary(
    async (api) => {
      await loaded(api);
      const resources = Array.from({ length: 2000 }, (_, index) => Doc(index === 1500 ? "mine" : String(index)));
      const body = { actor_type: "User", actor_id: "0", action: "read", resources, context_facts: [] };
      const answer = await api.call("POST", "/api/authorize_resources", { body });
      expect(answer.json).toEqual({ results: [{ type: "Doc", id: "mine" }] });
      expect((await api.call("GET", "/metrics")).text).toContain(
        'ostiary_offloaded_queries_total{kind="authorizeResources"}',
      );
    },
    { "advanced.servingThreadTimeMsMax": "1ms" },
  ));

const simple = `
  actor User {}
  resource Doc { roles = ["reader"]; permissions = ["read"]; "read" if "reader"; }
  has_role(user: User, "reader", doc: Doc) if knows(user, other) and vouches(other, doc);`;

test("a worker process gives the same results as the serving thread", () =>
  withPrimary(
    async (api) => {
      await loaded(api, simple);
      const client = clientOf(api.url);
      expect(await client.authorize(User("0"), "read", Doc("mine"))).toBe(true);
      expect(await client.authorize(User("1"), "read", Doc("mine"))).toBe(false);
      expect(await client.list(User("0"), "read", "Doc")).toEqual(["mine"]);
      expect(await client.actions(User("0"), Doc("mine"))).toEqual(["read"]);
      expect(await client.get(["vouches", null, Doc("theirs")])).toEqual([["vouches", User("nobody"), Doc("theirs")]]);
      const context = [fact("has_role", User("1"), value("String", "reader"), Doc("mine"))];
      const body = { actor_type: "User", actor_id: "1", action: "read", resource_type: "Doc", resource_id: "mine" };
      const answer = await api.call("POST", "/api/authorize", { body: { ...body, context_facts: context } });
      expect(answer.json).toEqual({ allowed: true });
      // The next query sees a write, whichever process answers it.
      await client.insert(["has_role", User("2"), "reader", Doc("mine")]);
      expect(await client.authorize(User("2"), "read", Doc("mine"))).toBe(true);
      expect((await api.call("POST", "/api/authorize", { body: { ...body, action: "" } })).status).toBe(400);
    },
    { "advanced.servingThreadQueryRowsMax": "1" },
  ));
