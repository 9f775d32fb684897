/** The endpoints that only clients before version 2 use, on all roles. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { eventually, withCluster } from "../replication/cluster.ts";
import {
  apiOf,
  fact,
  Org,
  Repo,
  role,
  User,
  value,
  wildcardPolicy,
  type Answer,
  type Api,
  sharedPrimary,
  withPrimary,
} from "./api.ts";
import { withoutCode } from "./scenario.ts";

const withCleanPrimary = sharedPrimary();

setDefaultTimeout(60_000);

const token = /^[0-9a-f]{16}:\d+$/;
const any = { type: null, id: null };

/** The body of a response with the status 200. */
async function ask(api: Api, method: string, path: string, body?: unknown): Promise<unknown> {
  const answer = await api.call(method, path, { body });
  expect({ status: answer.status, text: answer.text }).toMatchObject({ status: 200 });
  return answer.json;
}

/** As `ask`, for a write: its response has a position. */
async function write(api: Api, method: string, path: string, body: unknown): Promise<unknown> {
  const answer = await api.call(method, path, { body });
  expect({ status: answer.status, text: answer.text }).toMatchObject({ status: 200 });
  expect(answer.headers.get("osooffset")).toMatch(token);
  return answer.json;
}

const rolesIn = (api: Api) => ask(api, "GET", "/api/facts?predicate=has_role");
const query = async (api: Api, pattern: object, contextFacts?: unknown) => {
  const body = { fact: pattern, ...(contextFacts === undefined ? {} : { context_facts: contextFacts }) };
  const answer = (await ask(api, "POST", "/api/query", body)) as { results: { args: unknown[] }[] };
  expect(Object.keys(answer)).toEqual(["results"]);
  return answer.results.map(({ args }) => args);
};
const pattern = (predicate: string, ...args: { type: string | null; id: string | null }[]) => ({ predicate, args });
const typed = (type: string) => ({ type, id: null });

async function withPolicy(src: string, body: (api: Api) => Promise<void>, run = withCleanPrimary): Promise<void> {
  await run(async (api) => {
    await write(api, "POST", "/api/policy", { src, filename: "" });
    await body(api);
  });
}

const alice = role("alice", "member", Org("acme"));
const bob = role("bob", "admin", Org("acme"));

describe("writes", () => {
  test("one fact is inserted and comes back, then it is deleted", () =>
    withPolicy(wildcardPolicy, async (api) => {
      expect(await write(api, "POST", "/api/facts", { ...alice, more: 1 })).toEqual(alice);
      expect(await write(api, "POST", "/api/facts?", alice)).toEqual(alice);
      expect(await rolesIn(api)).toEqual([alice]);
      expect(await write(api, "DELETE", "/api/facts", bob)).toEqual({ message: "0 facts inserted, 0 facts deleted" });
      expect(await write(api, "DELETE", "/api/facts", alice)).toEqual({ message: "0 facts inserted, 1 fact deleted" });
      expect(await rolesIn(api)).toEqual([]);
    }));

  test("a pattern deletes all facts that match", () =>
    withPolicy(wildcardPolicy, async (api) => {
      await write(api, "POST", "/api/bulk_load", [alice, bob, role("bob", "admin", Repo("anvil"))]);
      const inOrgs = pattern("has_role", any, any, typed("Org"));
      expect(await write(api, "DELETE", "/api/facts", inOrgs)).toEqual({
        message: "0 facts inserted, 2 facts deleted",
      });
      expect(await rolesIn(api)).toHaveLength(1);
    }));

  test("many facts are inserted and deleted", () =>
    withPolicy(wildcardPolicy, async (api) => {
      expect(await write(api, "POST", "/api/bulk_load", [alice, bob, bob])).toEqual({
        message: "2 facts inserted, 0 facts deleted",
      });
      expect(await write(api, "POST", "/api/bulk_delete", [alice, pattern("has_role", User("bob"), any, any)])).toEqual(
        { message: "0 facts inserted, 2 facts deleted" },
      );
      for (const path of ["bulk_load", "bulk_delete"])
        expect(await write(api, "POST", `/api/${path}`, [])).toEqual({ message: "0 facts inserted, 0 facts deleted" });
    }));

  test("a bulk change deletes first, then inserts, all or nothing", () =>
    withPolicy(wildcardPolicy, async (api) => {
      await write(api, "POST", "/api/bulk", { delete: null, tell: [alice] });
      const { epoch, offset } = api.node.health();
      const everyone = pattern("has_role", any, any, any);
      expect(await write(api, "POST", "/api/bulk", { delete: [everyone], tell: [alice, bob] })).toEqual({
        message: "1 fact inserted, 0 facts deleted",
      });
      expect(await rolesIn(api)).toEqual([alice, bob]);
      expect(api.node.health()).toMatchObject({ epoch, offset: (offset ?? 0) + 1 });
      const unused = await api.call("POST", "/api/bulk", {
        body: { delete: [everyone], tell: [fact("p", User("a"))] },
      });
      expect([unused.status, unused.text]).toEqual([400, expect.stringContaining("not used in policy")]);
      expect(await rolesIn(api)).toEqual([alice, bob]);
      await write(api, "POST", "/api/bulk", { delete: [everyone], tell: null });
      expect(await rolesIn(api)).toEqual([]);
    }));

  test("a body that is parsed on the other thread gives the same", () =>
    withPolicy(wildcardPolicy, async (api) => {
      const padding = "x".repeat(70_000);
      expect(await write(api, "POST", "/api/facts", { padding, ...alice })).toEqual(alice);
      const users = Array.from({ length: 900 }, (_, index) => role(`user-${index}`, "member", Org("acme")));
      await write(api, "POST", "/api/bulk_load", users);
      expect(await rolesIn(api)).toHaveLength(901);
      expect(await write(api, "POST", "/api/bulk", { padding, delete: users, tell: [bob] })).toEqual({
        message: "1 fact inserted, 900 facts deleted",
      });
      expect(await write(api, "POST", "/api/bulk_delete", [{ padding, ...alice }])).toEqual({
        message: "0 facts inserted, 1 fact deleted",
      });
      expect(await write(api, "DELETE", "/api/facts", { padding, ...bob })).toEqual({
        message: "0 facts inserted, 1 fact deleted",
      });
    }));

  test("under one request id a write is done once", () =>
    withPolicy(wildcardPolicy, async (api) => {
      const headers = { "X-Request-ID": "one" };
      const first = await api.call("POST", "/api/facts", { body: alice, headers });
      await write(api, "DELETE", "/api/facts", alice);
      const again = await api.call("POST", "/api/facts", { body: alice, headers });
      expect([again.json, again.headers.get("osooffset")]).toEqual([alice, first.headers.get("osooffset")]);
      expect(await rolesIn(api)).toEqual([]);
    }));
});

describe("actions on many resources", () => {
  const about = (id: string, contextFacts: unknown[] = []) => ({
    ...{ actor_type: "User", actor_id: "bob", resource_type: "Repo", resource_id: id },
    context_facts: contextFacts,
  });

  test("are answered in order; context facts of the first question hold for all, those of another only for it", () =>
    withPolicy(wildcardPolicy, async (api) => {
      await write(api, "POST", "/api/facts", role("bob", "admin", Repo("anvil")));
      const bulk = (...questions: object[]) => ask(api, "POST", "/api/bulk_actions", questions);
      expect(await bulk()).toEqual([]);
      expect(await bulk(about("none"), about("anvil"), about("none"))).toEqual([
        { results: [] },
        { results: ["read", "write"] },
        { results: [] },
      ]);
      const toBolt = role("bob", "member", Repo("bolt"));
      const toNut = role("bob", "member", Repo("nut"));
      expect(await bulk(about("anvil", [toBolt]), about("bolt"), about("nut", [toNut]), about("nut"))).toEqual([
        { results: ["read", "write"] },
        { results: ["read"] },
        { results: ["read"] },
        { results: [] },
      ]);
    }));

  test(
    "may be as many as a page of a list",
    () =>
      withPolicy(wildcardPolicy, async (api) => {
        await write(api, "POST", "/api/facts", role("bob", "member", Repo("7777")));
        const questions = Array.from({ length: 10_000 }, (_, index) => about(String(index)));
        const answer = (await ask(api, "POST", "/api/bulk_actions", questions)) as { results: string[] }[];
        expect(answer).toHaveLength(10_000);
        expect(answer.flatMap(({ results }, index) => (results.length > 0 ? [[index, results]] : []))).toEqual([
          [7777, ["read"]],
        ]);
        const tooMany = await api.call("POST", "/api/bulk_actions", { body: [...questions, about("one more")] });
        expect([tooMany.status, tooMany.text]).toEqual([413, expect.stringContaining("10000")]);
      }),
    60_000,
  );
});

describe("query", () => {
  const friends = `
actor User {}
resource Computer {}
hello(friend) if is_friendly(friend);
both(friend, other, _anybody) if is_friendly(friend) and is_friendly(other);
human(user: User, _anything) if is_friendly(user);
`;
  const Computer = (id: string) => value("Computer", id);
  const everyone = [[Computer("steve")], [User("gabe")], [User("sam")]];
  const told = everyone.map((args) => fact("is_friendly", ...args));
  const sorted = (rows: unknown[][]) =>
    rows.toSorted((one, other) => (JSON.stringify(one) < JSON.stringify(other) ? -1 : 1));

  test("a free argument gets every type, a typed one only its own; context facts may name a rule", () =>
    withPolicy(friends, async (api) => {
      expect(await query(api, pattern("hello", any))).toEqual([]);
      await write(api, "POST", "/api/bulk_load", told);
      expect(sorted(await query(api, pattern("hello", any)))).toEqual(everyone);
      expect(sorted(await query(api, pattern("is_friendly", any), null))).toEqual(everyone);
      expect(await query(api, pattern("hello", typed("User")))).toEqual([[User("gabe")], [User("sam")]]);
      expect(await query(api, pattern("hello", User("sam")))).toEqual([[User("sam")]]);
      expect(await query(api, pattern("hello", User("nobody")))).toEqual([]);
      expect(await query(api, pattern("unknown", any))).toEqual([]);
      expect(await query(api, pattern("hello", any, any))).toEqual([]);
      const context = [fact("hello", User("brian")), fact("is_friendly", value("Robot", "rex"))];
      expect(sorted(await query(api, pattern("hello", any), context))).toEqual([
        [Computer("steve")],
        [value("Robot", "rex")],
        [User("brian")],
        [User("gabe")],
        [User("sam")],
      ]);
    }));

  test("an argument that every value satisfies stays null, once", () =>
    withPolicy(friends, async (api) => {
      await write(api, "POST", "/api/bulk_load", told);
      expect(sorted(await query(api, pattern("both", typed("User"), Computer("steve"), any)))).toEqual([
        [User("gabe"), Computer("steve"), any],
        [User("sam"), Computer("steve"), any],
      ]);
      expect(await query(api, pattern("both", User("sam"), User("sam"), typed("Computer")))).toEqual([
        [User("sam"), User("sam"), typed("Computer")],
      ]);
      expect(await query(api, pattern("both", User("sam"), User("sam"), value("Lamp", "x")))).toEqual([
        [User("sam"), User("sam"), value("Lamp", "x")],
      ]);
      expect(sorted(await query(api, pattern("human", any, any)))).toEqual([
        [User("gabe"), any],
        [User("sam"), any],
      ]);
    }));

  test("an argument that every value of some types satisfies is null for each of these types", () =>
    withPolicy(
      `
actor User {}
actor Robot {}
resource Door {}
opens(_: User, _: Door);
opens(x, d) if has_key(x, d);
anything(_x, _y);
`,
      async (api) => {
        await write(api, "POST", "/api/facts", fact("has_key", value("Robot", "r2"), value("Door", "front")));
        expect(sorted(await query(api, pattern("opens", any, any)))).toEqual([
          [value("Robot", "r2"), value("Door", "front")],
          [typed("User"), typed("Door")],
        ]);
        expect(await query(api, pattern("anything", any, any))).toEqual([[any, any]]);
        expect(await query(api, pattern("anything", any, User("a")))).toEqual([[any, User("a")]]);
      },
    ));

  test("arguments of one unknown type have the same type", () =>
    withPolicy("actor User {} same(x, x) if known(x); likes(x, y) if same(x, y);", async (api) => {
      await write(api, "POST", "/api/bulk_load", [fact("known", User("a")), fact("known", value("Cat", "a"))]);
      expect(sorted(await query(api, pattern("likes", any, any)))).toEqual([
        [value("Cat", "a"), value("Cat", "a")],
        [User("a"), User("a")],
      ]);
      expect(await query(api, pattern("likes", any, User("a")))).toEqual([[User("a"), User("a")]]);
    }));

  test("of more types than the serving thread should ask for is answered by a worker process", () =>
    withPolicy("actor User {} hello(x) if is_friendly(x);", async (api) => {
      const told = Array.from({ length: 40 }, (_, index) => fact("is_friendly", value(`Type${index}`, String(index))));
      await write(api, "POST", "/api/bulk_load", told);
      expect(await query(api, pattern("hello", any))).toHaveLength(40);
      const tooMany = pattern("hello_all", any, any);
      await write(api, "POST", "/api/policy", {
        src: "actor User {} hello_all(x, y) if is_friendly(x) and is_friendly(y);",
      });
      const refused = await api.call("POST", "/api/query", { body: { fact: tooMany } });
      expect([refused.status, refused.json]).toEqual([
        400,
        { message: expect.stringContaining("give the types of more arguments"), code: "query_too_expensive" },
      ]);
      expect(await query(api, pattern("hello_all", typed("Type1"), any))).toHaveLength(40);
    }));
});

describe("numbers and suggestions", () => {
  test("statistics count facts by predicate and list the versions of the policy", () =>
    withPrimary(async (api) => {
      expect(await ask(api, "GET", "/api/stats")).toEqual({
        policy: { versions: [] },
        facts: { total: 0, predicates: {} },
      });
      await write(api, "POST", "/api/policy", { src: "actor User {}" });
      await write(api, "POST", "/api/policy", { src: wildcardPolicy });
      const related = fact("has_relation", Repo("a"), value("String", "parent"), Org("b"));
      const user = fact("has_role", User("eve"), value("String", "user"));
      await write(api, "POST", "/api/bulk_load", [alice, bob, related, user]);
      const expected = {
        policy: { versions: ["1", "2"] },
        facts: { total: 4, predicates: { has_relation: 1, has_role: 3 } },
      };
      expect(await ask(api, "GET", "/api/stats")).toEqual(expected);
      await write(api, "DELETE", "/api/facts", related);
      expect(await ask(api, "GET", "/api/stats")).toMatchObject({ facts: { total: 3, predicates: { has_role: 3 } } });
    }));

  test("suggestions name the facts of the policy, with types and names of arguments", () =>
    withCleanPrimary(async (api) => {
      expect(await ask(api, "GET", "/api/autocomplete_info")).toEqual({ suggestions: {}, actors: [] });
      await write(api, "POST", "/api/policy", {
        src: `actor User {} actor Robot {}
          resource Org { roles = ["member", "admin"]; permissions = ["read"];
            "read" if "member"; "read" if "admin"; "read" if is_public(resource); }
          allow(a: Actor, "read", o: Org) if flagged(a, _) and has_permission(a, "read", o);`,
      });
      const symbol = (name: string) => ({ kind: "symbol", value: name });
      const string = (id: string) => ({ kind: "string", value: id });
      const { suggestions, actors } = (await ask(api, "GET", "/api/autocomplete_info")) as {
        suggestions: Record<string, unknown[]>;
        actors: unknown;
      };
      expect(actors).toEqual([symbol("User"), symbol("Robot")]);
      expect(Object.keys(suggestions).toSorted()).toEqual(["flagged", "has_permission", "has_role", "is_public"]);
      expect(suggestions["is_public"]).toEqual([[symbol("Org")]]);
      expect(suggestions["has_role"]).toEqual(
        ["Robot", "User"].flatMap((actor) =>
          ["admin", "member"].map((name) => [symbol(actor), string(name), symbol("Org")]),
        ),
      );
      const options = (position: number) =>
        new Set((suggestions["flagged"] as { value: string }[][]).map((args) => args[position]?.value));
      expect([options(0), options(1)]).toEqual([new Set(["Robot", "User"]), new Set(["User", "Robot", "Org"])]);
    }));
});

test("a policy is read by `id` and by `version`", () =>
  withPolicy(
    "actor User {}",
    async (api) => {
      await write(api, "POST", "/api/policy", { src: wildcardPolicy });
      for (const name of ["id", "version"])
        expect(await ask(api, "GET", `/api/policy?${name}=1`)).toEqual({
          policy: { filename: "", src: "actor User {}" },
        });
    },
    withPrimary,
  ));

test("an edge forwards these writes, a fallback refuses them; both answer the reads", () =>
  withCluster(async (cluster) => {
    const running = await cluster.primary();
    const primary = apiOf(running);
    await write(primary, "POST", "/api/policy", { src: wildcardPolicy });
    const edge = apiOf(await cluster.edge("edge", running));
    await eventually(() =>
      expect(edge.node.health()).toMatchObject({ ok: true, offset: primary.node.health().offset }),
    );
    // A busy edge may refuse a write because it has not heard of the primary yet, or answer before it has applied it.
    const forward = async (method: string, path: string, body: unknown): Promise<unknown> => {
      const answers: Answer[] = [];
      await eventually(async () => {
        answers.push(await edge.call(method, path, { body }));
        expect(answers.at(-1)?.status).not.toBe(503);
      });
      const answer = answers.at(-1);
      expect({ status: answer?.status, text: answer?.text }).toMatchObject({ status: 200 });
      expect(answer?.headers.get("osooffset")).toMatch(token);
      return answer?.json;
    };
    expect(await forward("POST", "/api/facts", alice)).toEqual(alice);
    await forward("POST", "/api/bulk_load", [bob]);
    await forward("DELETE", "/api/facts", alice);
    await eventually(async () => expect(await rolesIn(edge)).toEqual([bob]));
    await forward("POST", "/api/bulk_delete", [bob]);
    await forward("POST", "/api/bulk", { delete: [], tell: [bob] });
    const isCurrent = (api: Api) =>
      eventually(() => expect(api.node.health().offset).toBe(primary.node.health().offset));
    await isCurrent(edge);
    const fallback = apiOf(await cluster.fallback(running));
    // Its first snapshot may be the one that the edge started from.
    await isCurrent(fallback);
    for (const [method, path] of [
      ["POST", "facts"],
      ["DELETE", "facts"],
      ["POST", "bulk"],
      ["POST", "bulk_load"],
      ["POST", "bulk_delete"],
    ] as const) {
      const refused = await fallback.call(method, `/api/${path}`, { body: {} });
      expect([path, refused.status, withoutCode(refused)]).toEqual([
        path,
        503,
        { message: "this is a fallback, which only answers queries, send writes to the primary or an edge" },
      ]);
    }
    for (const api of [primary, edge, fallback]) {
      expect(await query(api, pattern("has_role", any, any, typed("Org")))).toContainEqual(bob.args);
      expect(await ask(api, "GET", "/api/stats")).toMatchObject({ facts: { total: 1 } });
      expect(await ask(api, "GET", "/api/autocomplete_info")).toMatchObject({ actors: [{ value: "User" }] });
      expect(
        await ask(api, "POST", "/api/bulk_actions", [
          { actor_type: "User", actor_id: "bob", resource_type: "Org", resource_id: "acme" },
        ]),
      ).toEqual([{ results: ["delete", "read"] }]);
    }
  }));
