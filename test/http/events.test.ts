/**
 * The change feed in pages: every kind of event as a CloudEvent, on every node that has a log, and each position from
 * which a reader cannot continue.
 */
import { describe, expect, test } from "bun:test";
import { z } from "zod";
import { converged, eventually, withCluster } from "../replication/cluster.ts";
import { apiOf, Org, role, wildcardPolicy, withPrimary, type Api, type CallOptions } from "./api.ts";

/** The attributes that CloudEvents 1.0 requires of an event in JSON, and our own. */
const cloudEvent = z
  .strictObject({
    specversion: z.literal("1.0"),
    id: z.string().regex(/^[0-9a-f]{16}:\d+$/),
    source: z.literal("/environments/test"),
    type: z.string().regex(/^ostiary(?:\.[a-z]+){2}$/),
    time: z.iso.datetime(),
    subject: z.string().min(1).optional(),
    datacontenttype: z.literal("application/json").optional(),
    data: z.record(z.string(), z.unknown()).optional(),
    offset: z.string().regex(/^[1-9]\d*$/),
    epoch: z.string().regex(/^[0-9a-f]{16}$/),
    traceparent: z
      .string()
      .regex(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/)
      .optional(),
  })
  .refine(({ data, datacontenttype }) => (data === undefined) === (datacontenttype === undefined))
  .refine((event) => Object.keys(event).every((name) => /^[a-z0-9]{1,20}$/.test(name)))
  .refine(({ id, epoch, offset }) => id === `${epoch}:${offset}`);
const token = z.string().regex(/^[0-9a-f]{16}:\d+$/);
const pageSchema = z.strictObject({ events: z.array(cloudEvent), next: token, head: token });

async function pageOf(api: Api, query = "", options: CallOptions = {}) {
  const answer = await api.call("GET", `/api/events${query}`, options);
  expect({ status: answer.status, text: answer.text }).toMatchObject({ status: 200 });
  expect(answer.headers.get("content-type")).toMatch(/^application\/json/);
  return pageSchema.parse(answer.json);
}

const insertion = (user: string) => ({ body: [{ inserts: [role(user, "member", Org("acme"))] }] });

async function withPolicy(api: Api): Promise<void> {
  const loaded = await api.call("POST", "/api/policy", { body: { src: wildcardPolicy, filename: "wild.polar" } });
  expect(loaded.status).toBe(200);
}

describe("the events", () => {
  test("are of all kinds, without secrets", () =>
    withPrimary(async (api) => {
      await withPolicy(api);
      const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
      await api.call("POST", "/api/batch", {
        headers: { traceparent, "x-request-id": "name-of-the-request" },
        body: [
          { inserts: [role("ann", "member", Org("acme")), role("bob", "admin", Org("acme"))] },
          { deletes: [role("bob", "admin", Org("acme"))] },
          { inserts: [role("eve", "member", Org("acme"))] },
        ],
      });
      await api.call("POST", "/api/batch", {
        body: [
          {
            deletes: [
              { predicate: "has_role", args: [{ type: "User", id: null }, { type: null, id: null }, Org("acme")] },
            ],
          },
        ],
      });
      await api.call("POST", "/api/clear_data", { headers: { "x-request-id": "name-of-the-request" } });
      const made = await api.call("POST", "/api/keys", { body: { name: "web", role: "read" } });
      const { id, token: text } = made.json as { id: string; token: string };
      await api.call("DELETE", `/api/keys/${id}`);

      const { events, next, head } = await pageOf(api);
      expect(next).toBe(head);
      expect(head).toBe(`${api.node.health().epoch}:${api.node.health().offset}`);
      expect(events.map(({ type }) => type)).toEqual([
        "ostiary.keys.changed",
        "ostiary.policy.loaded",
        "ostiary.facts.changed",
        "ostiary.facts.changed",
        "ostiary.facts.cleared",
        "ostiary.keys.changed",
        "ostiary.keys.changed",
      ]);
      const [first, policy, written, deleted, cleared, added, removed] = events;
      const key = { id, name: "web", role: "read", created: expect.stringMatching(/^\d{4}-/) };
      expect(first?.data).toEqual({
        added: [{ id: "admin", name: "admin", role: "admin", created: key.created }],
        removed: [],
      });
      expect(policy).toMatchObject({
        subject: "policies/1",
        data: { id: 1, filename: "wild.polar", source: wildcardPolicy },
      });
      expect(written).toMatchObject({
        data: { inserted: [role("ann", "member", Org("acme")), role("eve", "member", Org("acme"))], deleted: [] },
        traceparent: expect.stringContaining("0af7651916cd43dd8448eb211c80319c"),
      });
      expect(Object.keys(written?.data ?? {})).toEqual(["inserted", "deleted"]);
      expect(deleted?.data).toMatchObject({
        inserted: [],
        deleted: [{ predicate: "has_role" }, { predicate: "has_role" }],
      });
      expect(cleared).not.toHaveProperty("data");
      expect(added?.data).toEqual({ added: [key], removed: [] });
      expect(removed?.data).toEqual({ added: [], removed: [key] });
      expect(events.filter((event) => event.traceparent !== undefined)).toHaveLength(1);

      const all = (await api.call("GET", "/api/events")).text;
      for (const secret of [text.slice(-48), "hash", "name-of-the-request", "request"])
        expect(all).not.toContain(secret);
    }));

  test("come in pages, as an object or as a batch", () =>
    withPrimary(async (api) => {
      await withPolicy(api);
      for (const user of ["a", "b", "c", "d", "e"]) await api.call("POST", "/api/batch", insertion(user));
      const whole = await pageOf(api);
      expect(whole.events).toHaveLength(7);

      const paged = [];
      let page = await pageOf(api, "?limit=3");
      for (; page.next !== page.head; page = await pageOf(api, `?limit=3&after=${page.next}`)) {
        expect(page.events).toHaveLength(3);
        paged.push(...page.events);
      }
      expect([...paged, ...page.events]).toEqual(whole.events);
      expect(await pageOf(api, `?after=${page.head}`)).toEqual({ events: [], next: page.head, head: page.head });
      expect((await pageOf(api, "?after=5")).events).toEqual(whole.events.slice(5));
      expect(await pageOf(api, "?after=0&limit=2")).toEqual(await pageOf(api, "?limit=2"));

      const batch = await api.call("GET", "/api/events?after=2&limit=2", {
        headers: { accept: "application/cloudevents-batch+json, application/json;q=0.5" },
      });
      expect(batch.headers.get("content-type")).toBe("application/cloudevents-batch+json");
      expect(batch.json).toEqual(whole.events.slice(2, 4));
      expect(batch.headers.get("ostiary-next")).toBe(whole.events[3]?.id ?? "");
      expect(batch.headers.get("ostiary-head")).toBe(whole.head);
      expect(batch.headers.get("x-request-id")).toMatch(/./);
      const rather = await api.call("GET", "/api/events", {
        headers: { accept: "text/event-stream;q=0, application/cloudevents-batch+json;q=0.1, */*" },
      });
      expect(pageSchema.parse(rather.json)).toEqual(whole);
    }));

  test("do not exceed the limits of a page, but a page has at least one event", () =>
    withPrimary(
      async (api) => {
        await withPolicy(api);
        for (const user of ["a", "b"]) await api.call("POST", "/api/batch", insertion(user));
        const first = await pageOf(api, "?limit=1000");
        expect(first.events.map(({ type }) => type)).toEqual(["ostiary.keys.changed"]);
        const second = await pageOf(api, `?after=${first.next}`);
        expect(second.events.map(({ type }) => type)).toEqual(["ostiary.policy.loaded"]);
        expect((await pageOf(api, `?after=${second.next}`)).events).toHaveLength(2);
      },
      { "advanced.eventsPageBytesMax": "500", "advanced.eventsPageMax": "2" },
    ));
});

describe("a position from which a reader cannot continue", () => {
  const cases: readonly (readonly [query: string, status: number, message: string])[] = [
    ["?after=yesterday", 400, "`yesterday` is not a position in the log"],
    ["?after=", 400, "is not a position in the log"],
    ["?after=-1", 400, "`-1` is not a position in the log"],
    ["?after=99", 400, "the log ends at 2"],
    ["?after=EPOCH:99", 400, "the log ends at 2"],
    ["?after=0123456789abcdef:1", 409, "`0123456789abcdef:1` is not part of this environment's history"],
    ["?limit=0", 400, "`limit` in the query must be a whole number from 1 on"],
    ["?limit=ten", 400, "must be a whole number"],
    ["?offset=1", 400, "must not have `offset`"],
  ];

  test("is refused with a message", () =>
    withPrimary(async (api) => {
      await withPolicy(api);
      const { epoch } = api.node.health();
      for (const accept of ["application/json", "text/event-stream"])
        for (const [query, status, message] of cases) {
          const answer = await api.call("GET", `/api/events${query.replace("EPOCH", epoch ?? "")}`, {
            headers: { accept },
          });
          expect({ query, status: answer.status, json: answer.json }).toMatchObject({
            query,
            status,
            json: { message: expect.stringContaining(message) },
          });
          expect(answer.headers.get("content-type")).toBe("application/json");
        }
      const endless = await api.call("GET", "/api/events?limit=5", { headers: { accept: "text/event-stream" } });
      const message = expect.stringContaining("no `limit`");
      expect([endless.status, endless.json]).toEqual([400, { message, code: "invalid_request" }]);
    }));

  test("is refused with the start of the log if the next event was removed", () =>
    withPrimary(
      async (api) => {
        await withPolicy(api);
        for (const user of ["a", "b", "c", "d", "e"]) await api.call("POST", "/api/batch", insertion(user));
        const { epoch } = api.node.health();
        await eventually(async () => {
          const gone = await api.call("GET", "/api/events?after=1");
          expect([gone.status, gone.json]).toEqual([
            410,
            {
              message: expect.stringContaining("the log of this node begins at 5"),
              earliest: `${epoch}:4`,
              head: `${epoch}:7`,
              code: "gone",
            },
          ]);
        });
        expect((await api.call("GET", `/api/events?after=${epoch}:3`)).status).toBe(410);
        const stream = await api.call("GET", "/api/events?after=3", { headers: { accept: "text/event-stream" } });
        expect(stream.status).toBe(410);
        expect((await pageOf(api, "?after=4")).events.map(({ offset }) => offset)).toEqual(["5", "6", "7"]);
        expect(await pageOf(api)).toEqual(await pageOf(api, "?after=4"));
      },
      { "retention.events": "3", "advanced.logTrimIntervalMs": "50ms" },
    ));
});

describe("other nodes", () => {
  test("an edge gives the same events, and waits for a position of the primary", () =>
    withCluster(
      async (cluster) => {
        const running = await cluster.primary();
        const primary = apiOf(running);
        await withPolicy(primary);
        // An edge that started from a snapshot has the events after it.
        const edge = apiOf(await cluster.edge("edge", running));
        await eventually(() => converged(edge.node, running.node));
        const begun = await pageOf(edge);
        for (let round = 0; round < 10; round += 1) {
          const written = await primary.call("POST", "/api/batch", insertion(`user-${round}`));
          const place = written.headers.get("osooffset") ?? "";
          expect(await pageOf(edge, `?after=${place}`)).toMatchObject({ events: [], next: place });
          const fresh = await pageOf(edge, `?after=${begun.head}`, { headers: { osooffset: place } });
          expect(fresh.events).toHaveLength(round + 1);
        }
        expect((await pageOf(edge, `?after=${begun.head}`)).events).toEqual(
          (await pageOf(primary, `?after=${begun.head}`)).events,
        );
        const { epoch } = primary.node.health();
        const future = await edge.call("GET", `/api/events?after=${epoch}:1000`);
        expect([future.status, future.headers.get("retry-after")]).toEqual([503, "1"]);
        expect((await edge.call("GET", "/api/events?after=1000")).status).toBe(400);
        expect((await edge.call("GET", "/api/events?after=0123456789abcdef:1")).status).toBe(409);
      },
      { "advanced.consistencyWait": "5s" },
    ));

  test("a fallback with `follow` gives its events, and one with snapshots answers that it cannot", () =>
    withCluster(async (cluster) => {
      const running = await cluster.primary();
      const primary = apiOf(running);
      await withPolicy(primary);
      const replicating = await cluster.fallback(running, { follow: "true", data: `${cluster.directory}/replicating` });
      const fetching = await cluster.fallback(running);
      await eventually(() => converged(replicating.node, running.node));
      await eventually(() => expect(fetching.node.health().ok).toBe(true));
      const { head } = await pageOf(apiOf(replicating));
      await primary.call("POST", "/api/batch", insertion("ann"));
      await eventually(async () => {
        const page = await pageOf(apiOf(replicating), `?after=${head}`);
        expect(page.events.map(({ type }) => type)).toEqual(["ostiary.facts.changed"]);
      });
      for (const accept of ["application/json", "text/event-stream"]) {
        const refused = await apiOf(fetching).call("GET", "/api/events", { headers: { accept } });
        expect([refused.status, refused.json]).toEqual([
          404,
          { message: expect.stringContaining("has no events: ask the primary"), code: "not_found" },
        ]);
      }
    }));
});
