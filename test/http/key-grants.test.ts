/** Grants of API keys over HTTP: expiry, restricted writes and rotation. `replication/key-grants.test.ts` has other nodes. */
import { describe, expect, test } from "bun:test";
import { hashKey } from "../../src/store/keys/api-keys.ts";
import { must } from "../../src/util/assert.ts";
import { adminKey, eventually, SystemWithClock, untraced, withCluster } from "../replication/cluster.ts";
import {
  apiOf,
  fact,
  Org,
  Repo,
  role,
  User,
  value,
  wildcardPolicy,
  withPrimary,
  type Api,
  sharedPrimary,
} from "./api.ts";
import { openSource } from "./event-source.ts";
import { grantKey, listedKey, readWith, rotateKey, withKey } from "./keys.ts";
import { withLongTimers } from "./long-timers.ts";

const withCleanPrimary = sharedPrimary();

const day = 86_400_000;
/** Tests of streams that end without one have a timeout before it. */
const lateHeartbeat = { "advanced.eventHeartbeatMs": "60s" };

/** A primary whose clock the test sets. */
async function withClock(body: (api: Api, system: SystemWithClock) => Promise<void>, flags = {}): Promise<void> {
  const system = new SystemWithClock();
  await withCluster(async (cluster) => body(apiOf(await cluster.primary(flags, undefined, system)), system));
}

describe("a key with an expiry", () => {
  test("is refused from then on, with a clear message, also if it was used just before; it stays listed", () =>
    withClock(async (api, system) => {
      const beforeMs = Date.now();
      const { id, token, expires = "" } = await grantKey(api, { role: "read", expires: "90d" });
      expect(Date.parse(expires)).toBeWithin(beforeMs + 90 * day, Date.now() + 90 * day + 1);
      expect((await readWith(api, token)).status).toBe(200);
      system.aheadMs = 89 * day;
      expect((await readWith(api, token)).status).toBe(200);
      expect(await listedKey(api, id)).toMatchObject({ expires });
      system.aheadMs = 91 * day;
      const refused = await readWith(api, token);
      const message = `this API key expired at ${expires}: ask an administrator for another one`;
      expect([refused.status, refused.json]).toEqual([401, { message, code: "unauthorized" }]);
      expect(await listedKey(api, id)).toMatchObject({ id, expires, expired: true });
      // The secret has to be right: nobody else learns that the key has expired.
      expect((await readWith(api, `${token}0`)).json).toMatchObject({
        message: expect.not.stringContaining("expired"),
      });
      expect((await api.call("DELETE", `/api/keys/${id}`)).status).toBe(200);
      expect(await listedKey(api, id)).toBeUndefined();
    }));

  test("can have a time as its expiry, in any time zone, but not one in the past", () =>
    withCleanPrimary(async (api) => {
      const made = await grantKey(api, { role: "read", expires: "2099-01-01T02:00:00+02:00" });
      expect(made.expires).toBe("2099-01-01T00:00:00.000Z");
      const refused = async (expires: unknown) => {
        const body = { name: "key", grant: { role: "read", expires } };
        const { status, json } = await api.call("POST", "/api/keys", { body });
        return [status, (json as { message: string }).message];
      };
      const wrong =
        "`grant.expires` in the body must be a duration of at most 36500 days, such as `90d`, or a time, such as `2027-01-31T00:00:00Z`";
      for (const text of [
        "",
        "0",
        "0d",
        "-1d",
        "36501d",
        "1e9d",
        "99999999999999999999d",
        "tomorrow",
        "2027-01-31",
        "9".repeat(1000),
      ])
        expect([text, await refused(text)]).toEqual([text, [400, wrong]]);
      expect(await refused("2020-01-01T00:00:00Z")).toEqual([400, expect.stringContaining("is in the past: it is 2")]);
      expect(await refused(90)).toEqual([400, "`grant.expires` in the body must be a text"]);
    }));

  test("cannot be the last admin key", () =>
    withCleanPrimary(async (api) => {
      const { token } = await grantKey(api, { role: "admin", expires: "1d" });
      const refused = await api.call("DELETE", "/api/keys/admin", { headers: withKey(token) });
      expect([refused.status, refused.json]).toMatchObject([
        409,
        { message: expect.stringContaining("never expires") },
      ]);
      expect((await api.call("POST", "/api/keys/admin/rotate", { body: { expires: "1d" } })).status).toBe(409);
    }));

  test("ends its event streams", () =>
    withLongTimers(async (api, system) => {
      const { token } = await grantKey(api, { role: "read", expires: "1h" });
      const source = await openSource(api.url, { key: token });
      system.advance(3_600_001);
      expect(await source.ended).toBe(true);
      expect(source.received.at(-1)).toMatchObject({ type: "end", data: expect.stringContaining("expired at") });
    }));
});

describe("a body that creates a key", () => {
  test("has either a role or a grant, and a restriction only with the role `write`", () =>
    withCleanPrimary(async (api) => {
      const refused = async (body: object) => {
        const { status, json } = await api.call("POST", "/api/keys", { body: { name: "key", ...body } });
        return [status, (json as { message: string }).message];
      };
      const either = [400, "the body must have either `role` or `grant`, which has the role"];
      expect(await refused({})).toEqual(either);
      expect(await refused({ role: "read", grant: { role: "read" } })).toEqual(either);
      expect(await refused({ grant: { role: "read", only_types: ["Org"] } })).toEqual([
        400,
        "`grant.role` in the body must be `write` for a key with `only_predicates` or `only_types`: they restrict writes",
      ]);
      const statusOf = async (more: object) => (await refused({ grant: { role: "write", ...more } }))[0];
      expect(await statusOf({ role: "admin", only_predicates: ["p"] })).toBe(400);
      expect(await statusOf({ only_types: [] })).toBe(400);
      expect(await statusOf({ only_predicates: [""] })).toBe(400);
      // An unknown member can be a limit that a later release has, or one that stands in a wrong place.
      for (const [body, message] of [
        [
          { grant: { role: "write", only_values: ["x"] } },
          "`grant` in the body must not have `only_values`: known are `role`, `expires`, `only_predicates` and `only_types`",
        ],
        [
          { role: "write", only_predicates: ["p"], expires: "1d" },
          "the body must not have `only_predicates` or `expires`: did you mean `grant.only_predicates` and `grant.expires`?",
        ],
        [
          { grant: { role: "write", only_predicate: ["p"] } },
          "`grant` in the body must not have `only_predicate`: did you mean `only_predicates`?",
        ],
        [{ role: "write", grants: {} }, "the body must not have `grants`: did you mean `grant`?"],
        [{ role: "write", ttl: "1d" }, "the body must not have `ttl`: known are `name`, `role` and `grant`"],
        [
          { grant: { role: "write", name: "x" } },
          "`grant` in the body must not have `name`: did you mean `name` outside of `grant`?",
        ],
      ] as const)
        expect(await refused(body)).toEqual([400, message]);
      const long = "p".repeat(513);
      expect(await statusOf({ only_predicates: Array.from({ length: 65 }, (_, index) => `p${index}`) })).toBe(413);
      expect(await statusOf({ only_types: Array.from({ length: 1500 }, () => long) })).toBe(413);
      expect(await statusOf({ only_predicates: [long] })).toBe(400);
      const escaped = Array.from({ length: 60 }, (_, index) => "\u0001".repeat(400) + index);
      expect(await refused({ grant: { role: "write", only_types: escaped } })).toEqual([
        400,
        "`grant` in the body must have names of at most 8192 characters together",
      ]);
    }));

  test("is refused beyond the limit, also if several arrive at once", () =>
    withPrimary(
      async (api) => {
        const bodies = Array.from({ length: 6 }, (_, index) => ({ name: `key ${index}`, role: "read" }));
        const answers = await Promise.all(bodies.map((body) => api.call("POST", "/api/keys", { body })));
        expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 200, 400, 400, 400, 400]);
        // A second secret is not another key.
        expect((await rotateKey(api, "admin")).id).toBe("admin");
        expect((await api.call("POST", "/api/keys", { body: bodies[0] })).status).toBe(400);
      },
      { "advanced.apiKeysMax": "3" },
    ));
});

describe("a key with restricted writes", () => {
  const inside = role("a", "member", Org("x"));
  const otherPredicate = fact("has_relation", Repo("r"), value("String", "parent"), Org("x"));
  const otherType = role("a", "member", Repo("r"));
  const anyType = { predicate: "has_role", args: [User("a"), { type: null, id: null }, { type: null, id: null }] };
  const anyOrg = { predicate: "has_role", args: [User("a"), { type: "String", id: null }, { type: "Org", id: null }] };
  const grant = { role: "write", only_predicates: ["has_role"], only_types: ["User", "Org"] };
  const outside = [otherPredicate, otherType];

  /** Requests that change the given facts or patterns, on all routes. */
  const inserts = (one: object): [string, string, unknown][] => [
    ["POST", "/api/batch", [{ inserts: [one] }]],
    ["POST", "/api/batch", [{ deletes: [inside] }, { inserts: [inside, one] }]],
    ["POST", "/api/bulk", { delete: [], tell: [one] }],
    ["POST", "/api/bulk_load", [one]],
    ["POST", "/api/facts", one],
  ];
  const deletes = (one: object): [string, string, unknown][] => [
    ["POST", "/api/batch", [{ deletes: [one] }]],
    ["POST", "/api/batch", [{ inserts: [inside] }, { deletes: [one] }]],
    ["POST", "/api/bulk", { delete: [one], tell: [] }],
    ["POST", "/api/bulk_delete", [one]],
    ["DELETE", "/api/facts", one],
  ];

  test("may change the facts inside on every route, nothing else on any, and no policy and no keys", () =>
    withCleanPrimary(async (api) => {
      await api.call("POST", "/api/policy", { body: { src: wildcardPolicy } });
      await api.call("POST", "/api/batch", { body: [{ inserts: outside }] });
      const { token } = await grantKey(api, grant);
      const send = (method: string, path: string, body?: unknown) =>
        api.call(method, path, { headers: withKey(token), body });
      const allowed = [...inserts(inside), ...deletes(inside), ...deletes(anyOrg)];
      for (const [method, path, body] of allowed)
        expect([path, body, (await send(method, path, body)).status]).toEqual([path, body, 200]);
      const refused = [
        ...[...outside].flatMap((one) => [...inserts(one), ...deletes(one)]),
        ...deletes(anyType),
        // A pattern that matches nothing could match something at another time.
        ...deletes({ predicate: "unknown", args: [{ type: "Org", id: null }] }),
      ];
      for (const [method, path, body] of refused) {
        const { status, json } = await send(method, path, body);
        expect([path, body, status, json]).toMatchObject([
          path,
          body,
          403,
          {
            code: "forbidden",
            message: expect.stringContaining("may only change facts with the predicate `has_role`"),
          },
        ]);
      }
      for (const [path, body] of [
        ["/api/policy", { src: `${wildcardPolicy}\n` }],
        ["/api/policy?force=true", { src: wildcardPolicy }],
        ["/api/policy_rollback", { id: 1 }],
        ["/api/clear_data", undefined],
        ["/api/keys", { name: "key", role: "read" }],
        ["/api/keys/admin/rotate", {}],
        ["/api/promote", {}],
      ] as const)
        expect([path, (await send("POST", path, body)).status]).toEqual([path, 403]);
      expect((await send("DELETE", "/api/keys/admin")).status).toBe(403);
      expect((await send("GET", "/api/keys")).status).toBe(403);
      expect((await send("GET", "/api/backup")).status).toBe(403);
      // Reads are not restricted.
      expect((await send("GET", "/api/facts?predicate=has_relation")).json).toEqual([otherPredicate]);
      const { json } = await api.call("GET", "/api/facts?page_size=100");
      expect((json as { results: unknown[] }).results).toHaveLength(2);
    }));

  test("is also restricted in bodies that are too large for the serving thread", () =>
    withCleanPrimary(async (api) => {
      await api.call("POST", "/api/policy", { body: { src: wildcardPolicy } });
      const { token } = await grantKey(api, { role: "write", only_types: ["User", "Org"] });
      const many = Array.from({ length: 900 }, (_, index) => role(`user-${index}`, "member", Org("x")));
      const send = (facts: object[]) =>
        api.call("POST", "/api/batch", { headers: withKey(token), body: [{ inserts: facts }] });
      expect(JSON.stringify(many).length).toBeGreaterThan(100_000);
      const refused = await send([...many, otherType]);
      expect([refused.status, refused.json]).toMatchObject([
        403,
        { message: expect.stringContaining("the fact `has_role(User, String, Repo)` is not one") },
      ]);
      expect((await api.call("GET", "/api/stats")).json).toMatchObject({ facts: { total: 0 } });
      expect((await send(many)).status).toBe(200);
    }));

  test("does not get the result of the same request of another key", () =>
    withCleanPrimary(async (api) => {
      await api.call("POST", "/api/policy", { body: { src: wildcardPolicy } });
      const { token } = await grantKey(api, grant);
      const headers = { "x-request-id": "the-same" };
      const body = [{ inserts: [otherType] }];
      expect((await api.call("POST", "/api/batch", { headers, body })).status).toBe(200);
      const answer = await api.call("POST", "/api/batch", { headers: { ...headers, ...withKey(token) }, body });
      expect(answer.status).toBe(403);
    }));
});

describe("a rotation", () => {
  test("leaves two valid secrets, and never three", () =>
    withClock(async (api, system) => {
      const first = (await (
        await api.call("POST", "/api/keys", { body: { name: "app", role: "write" } })
      ).json) as {
        id: string;
        token: string;
      };
      const { id } = first;
      const second = await rotateKey(api, id);
      expect(second.token).toMatch(new RegExp(`^e_test_${id}_[0-9a-f]{48}$`));
      const valid = (...keys: { readonly token: string }[]) =>
        Promise.all(keys.map(async ({ token }) => (await readWith(api, token)).status));
      expect(await valid(first, second)).toEqual([200, 200]);
      expect(await listedKey(api, id)).toMatchObject({
        id,
        name: "app",
        role: "write",
        replaced_expires: second.replaced_expires,
      });
      const third = await rotateKey(api, id, { grace: "1h" });
      expect(await valid(first, second, third)).toEqual([401, 200, 200]);
      system.aheadMs = 3_700_000;
      expect(await valid(first, second, third)).toEqual([401, 401, 200]);
      const { json } = await readWith(api, second.token);
      expect(json).toMatchObject({
        message: expect.stringContaining("this secret of the API key was replaced and expired"),
      });
      expect((await listedKey(api, id))?.replaced_expires).toBeUndefined();
      await api.call("DELETE", `/api/keys/${id}`);
      expect(await valid(first, second, third)).toEqual([401, 401, 401]);
      expect(api.node.engine().apiKeys()).toHaveLength(1);
    }));

  test("without grace replaces the secret at once; two at the same time leave two valid secrets", () =>
    withCleanPrimary(async (api) => {
      const { id, token } = await grantKey(api, { role: "write", only_types: ["Org"], expires: "9d" });
      const next = await rotateKey(api, id, { grace: "0" });
      expect([(await readWith(api, token)).status, (await readWith(api, next.token)).status]).toEqual([401, 200]);
      const made = await Promise.all([rotateKey(api, id), rotateKey(api, id), rotateKey(api, id)]);
      const tokens = [next.token, ...made.map((each) => each.token)];
      const statuses = await Promise.all(tokens.map(async (each) => (await readWith(api, each)).status));
      expect(statuses.toSorted()).toEqual([200, 200, 401, 401]);
    }));

  test("without grace ends the old secret for nodes whose clock is behind, too", () =>
    withClock(async (api, system) => {
      const { id, token } = await grantKey(api, { role: "write", only_types: ["Org"] });
      const next = await rotateKey(api, id, { grace: "0" });
      system.aheadMs = -day;
      expect([(await readWith(api, token)).status, (await readWith(api, next.token)).status]).toEqual([401, 200]);
      // A grace ends by the clock, and only when that was steady.
      system.aheadMs = 0;
      const last = await rotateKey(api, id, { grace: "1h" });
      system.aheadMs = 2 * day;
      expect([(await readWith(api, next.token)).status, (await readWith(api, last.token)).status]).toEqual([401, 200]);
      system.aheadMs = 0;
      expect((await readWith(api, next.token)).status).toBe(200);
    }));

  test(
    "ends the event streams with the old secret when that expires, long before a heartbeat",
    () =>
      withLongTimers(async (api, system) => {
        const created = await api.call("POST", "/api/keys", { body: { name: "app", role: "read" } });
        const { id, token } = created.json as { readonly id: string; readonly token: string };
        const source = await openSource(api.url, { key: token });
        await rotateKey(api, id, { grace: "1h" });
        await source.count(1);
        system.advance(3_600_001);
        expect(await source.ended).toBe(true);
        expect(source.received.map(({ type }) => type)).toEqual(["ostiary.keys.changed", "end"]);
        expect(source.received.at(-1)?.data).toContain("was replaced and expired");
        expect(source.comments).toEqual([]);
      }, lateHeartbeat),
    60_000,
  );

  test("keeps the grant; the old secret never outlives its own expiry", () =>
    withClock(async (api, system) => {
      const grant = { role: "write", only_predicates: ["has_role"], expires: "2h" };
      const { id, token, expires } = await grantKey(api, grant);
      const next = await rotateKey(api, id, { grace: "24h", expires: "30d" });
      expect(next).toMatchObject({ role: "write", only_predicates: ["has_role"], replaced_expires: expires });
      const outside = [{ inserts: [fact("other", Org("x"))] }];
      for (const each of [token, next.token]) {
        const { status } = await api.call("POST", "/api/batch", { headers: withKey(each), body: outside });
        expect(status).toBe(403);
      }
      system.aheadMs = 3 * 3_600_000;
      expect([(await readWith(api, token)).status, (await readWith(api, next.token)).status]).toEqual([401, 200]);
      // An expired key needs a new expiry.
      system.aheadMs = 31 * day;
      const refused = await api.call("POST", `/api/keys/${id}/rotate`, { body: {} });
      expect([refused.status, refused.json]).toMatchObject([409, { message: expect.stringContaining("has expired") }]);
      const renewed = await rotateKey(api, id, { expires: "1d" });
      expect([(await readWith(api, next.token)).status, (await readWith(api, renewed.token)).status]).toEqual([
        401, 200,
      ]);
    }));

  test("is refused with a wrong body, and for an unknown key", () =>
    withCleanPrimary(async (api) => {
      for (const grace of ["91d", "-1h", "", "forever"])
        expect((await api.call("POST", "/api/keys/admin/rotate", { body: { grace } })).status).toBe(400);
      expect((await api.call("POST", "/api/keys/admin/rotate", { body: { role: "admin" } })).status).toBe(400);
      for (const id of ["nobody", "admin{", "admin%7B%22role%22%3A%22admin%22%7D", "%7B", "a%00b"]) {
        expect([id, (await api.call("POST", `/api/keys/${id}/rotate`, { body: {} })).status]).toEqual([id, 404]);
        expect([id, (await api.call("DELETE", `/api/keys/${id}`)).status]).toEqual([id, 404]);
      }
    }));

  test("of the configured admin key stays after a restart with the old one", () =>
    withCluster(async (cluster) => {
      const first = await cluster.primary();
      const { token } = await rotateKey(apiOf(first), "admin", { grace: "0" });
      await first.stop();
      const second = await cluster.primary();
      expect((await readWith(apiOf(second), adminKey)).status).toBe(401);
      expect((await readWith(apiOf(second), token)).status).toBe(200);
      await second.stop();
      const third = await cluster.primary({ adminKey: token });
      expect((await readWith(apiOf(third), token)).status).toBe(200);
      expect(must(third.node.engine().secretsOf("admin")[0]).role).toBe("admin");
      // A configured key that nobody has replaced is accepted as ever.
      await third.stop();
      const other = "e_test_admin_fedcba9876543210fedcba9876543210";
      const fourth = await cluster.primary({ adminKey: other });
      expect((await readWith(apiOf(fourth), other)).status).toBe(200);
      expect((await readWith(apiOf(fourth), token)).status).toBe(401);
    }));
});

test("the secrets that many rotations replaced are not accepted again from the configuration", () =>
  withCluster(async (cluster) => {
    const first = await cluster.primary();
    const { call } = apiOf(first);
    const secrets = [adminKey];
    for (let rotation = 1; rotation <= 32; rotation++) {
      const headers = withKey(must(secrets.at(-1)));
      const rotated = await rotateKey(
        { call: (...[method, path, sent]) => call(method, path, { ...sent, headers }) },
        "admin",
      );
      secrets.push(rotated.token);
    }
    await first.stop();
    const present = must(secrets.pop());
    for (const configured of [adminKey, must(secrets.at(-2)), must(secrets.at(-1))]) {
      const again = await cluster.primary({ adminKey: configured });
      expect((await readWith(apiOf(again), present)).status).toBe(200);
      expect((await readWith(apiOf(again), adminKey)).status).toBe(401);
      await again.stop();
    }
  }));

test("change events show grants, and neither hashes nor how grants are stored", () =>
  withCleanPrimary(async (api) => {
    const { offset } = must(api.node.state());
    const made = await grantKey(api, { role: "write", only_types: ["Org", "User"], expires: "30d" });
    const next = await rotateKey(api, made.id, { grace: "1d" });
    await api.call("DELETE", `/api/keys/${made.id}`);
    const { text, json } = await api.call("GET", `/api/events?after=${offset}`);
    const { events } = json as { events: { data: object }[] };
    const key = {
      id: made.id,
      name: "granted",
      role: "write",
      created: expect.any(String),
      only_types: ["Org", "User"],
    };
    const present = { ...key, expires: made.expires };
    const replaced = { ...key, expires: next.replaced_expires, replaced: true };
    expect(events.map(({ data }) => data)).toEqual([
      { added: [present], removed: [] },
      { added: [present, replaced], removed: [] },
      { added: [], removed: [present] },
    ]);
    for (const { token } of [made, next]) expect(text).not.toContain(hashKey(token));
    expect(text).not.toContain('{\\"role');
  }));

describe("the record of an expiry in the log", () => {
  test("keeps the key refused when the clock is set back, and is written once", () =>
    withClock(
      async (api, system) => {
        const { id, token } = await grantKey(api, { role: "read", expires: "1d" });
        const { offset } = must(api.node.state());
        system.aheadMs = 2 * day;
        const hasRecord = () => api.node.engine().secretsOf(id)[0]?.hasExpired === true;
        await eventually(() => expect(hasRecord()).toBe(true));
        system.aheadMs = 0;
        expect((await readWith(api, token)).status).toBe(401);
        expect(await listedKey(api, id)).toMatchObject({ expired: true });
        // Another write shows that no further event was appended.
        await must(api.node.writes).keys({ add: [], remove: ["nobody"] }, untraced);
        expect(must(api.node.state()).offset).toBe(offset + 1);
        const renewed = await rotateKey(api, id, { expires: "1d" });
        expect((await readWith(api, renewed.token)).status).toBe(200);
        expect((await readWith(api, token)).status).toBe(401);
      },
      { "advanced.keyExpiryCheckIntervalMs": "20ms", "advanced.retentionClockSteadyMs": "50ms" },
    ));
});
