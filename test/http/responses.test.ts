/**
 * The responses of all routes to valid requests, and the headers of all responses. Results have exactly the documented
 * keys.
 */
import { describe, expect, test } from "bun:test";
import { must } from "../../src/util/assert.ts";
import { factElement, parseDigest } from "../../src/log/state/digest.ts";
import { firstTerm } from "../../src/store/log/terms.ts";
import { adminKey, eventually, untraced } from "../replication/cluster.ts";
import {
  admin,
  fact,
  Org,
  Repo,
  role,
  User,
  value,
  wildcardPolicy,
  withPrimary,
  type Api,
  type CallOptions,
  sharedPrimary,
} from "./api.ts";

const withCleanPrimary = sharedPrimary();

const about = { actor_type: "User", actor_id: "alice", context_facts: [] };
const token = /^[0-9a-f]{16}:\d+$/;

/** Sends a request, expects 200 and returns the body. */
async function ask(api: Api, request: string, options?: CallOptions): Promise<unknown> {
  const [method = "", path = ""] = request.split(" ");
  const answer = await api.call(method, path, options);
  expect({ status: answer.status, text: answer.text }).toMatchObject({ status: 200 });
  return answer.json;
}

describe("policy", () => {
  test("is absent, then loaded, then unchanged, then replaced by an older one", () =>
    withPrimary(async (api) => {
      expect(await ask(api, "GET /api/policy")).toEqual({ policy: null });
      expect((await api.call("GET", "/api/policy_metadata")).status).toBe(404);

      const first = await api.call("POST", "/api/policy", { body: { src: "actor User {}", filename: "a.polar" } });
      expect([first.status, first.json]).toEqual([200, { message: "policy loaded" }]);
      expect(first.headers.get("osooffset")).toMatch(token);
      const again = await api.call("POST", "/api/policy?", { body: { src: "actor User {}", filename: "a.polar" } });
      expect([again.status, again.json]).toEqual([202, { message: "policy unchanged" }]);
      expect(again.headers.get("osooffset")).toBe(first.headers.get("osooffset"));
      await ask(api, "POST /api/policy", { body: { src: wildcardPolicy } });

      expect(await ask(api, "GET /api/policy")).toEqual({ policy: { filename: null, src: wildcardPolicy } });
      expect(await ask(api, "GET /api/policy?id=1")).toEqual({ policy: { filename: "a.polar", src: "actor User {}" } });
      expect(await ask(api, "GET /api/policy?id=77")).toEqual({ policy: null });
    }));

  test("metadata has sorted names, actors, always `global`, and accepts `id` and `version`", () =>
    withPrimary(async (api) => {
      await ask(api, "POST /api/policy", { body: { src: "actor User {}" } });
      await ask(api, "POST /api/policy", { body: { src: wildcardPolicy } });
      const none = { roles: [], permissions: [], relations: {} };
      expect(await ask(api, "GET /api/policy_metadata")).toEqual({
        metadata: {
          resources: {
            User: none,
            Field: none,
            Org: { roles: ["admin", "member"], permissions: ["delete", "read"], relations: {} },
            Repo: { roles: ["admin", "member"], permissions: ["read", "write"], relations: { parent: "Org" } },
            global: { roles: ["user"], permissions: ["create_repository"], relations: {} },
          },
        },
      });
      const model = (await ask(api, "GET /api/policy_model")) as { readonly implications: readonly object[] };
      expect(model.implications).toContainEqual({
        from: { type: "Org", kind: "role", name: "admin" },
        to: { type: "Repo", kind: "role", name: "admin" },
        through: "parent",
        conditional: false,
        rule: expect.any(String),
        place: { file: "policy.polar", line: expect.any(Number), column: expect.any(Number) },
      });
      expect(await ask(api, "GET /api/policy_model?id=1")).toEqual({
        types: [
          {
            ...{ name: "User", kind: "actor", supertypes: [], relations: [], roles: [], permissions: [] },
            place: { file: "policy.polar", line: 1, column: 7 },
          },
        ],
        names: [],
        implications: [],
      });
      expect((await api.call("GET", "/api/policy_model?id=77")).status).toBe(404);
      const first = { metadata: { resources: { User: none, global: none } } };
      expect(await ask(api, "GET /api/policy_metadata?id=1")).toEqual(first);
      expect(await ask(api, "GET /api/policy_metadata?version=1")).toEqual(first);
    }));

  test("is refused if its tests fail, except with `force`", () =>
    withPrimary(async (api) => {
      const src = 'actor User {} test "wrong" { assert allow(User{"a"}, "b", User{"c"}); }';
      expect((await api.call("POST", "/api/policy", { body: { src } })).json).toMatchObject({
        error_type: "TestsFailed",
      });
      expect(await ask(api, "GET /api/policy")).toEqual({ policy: null });
      await ask(api, "POST /api/policy?force=true&show_suggestions=true&fail_fast=false", { body: { src } });
      expect(await ask(api, "GET /api/policy")).toEqual({ policy: { filename: null, src } });
    }));
});

describe("facts", () => {
  test("batches are applied in order, atomically, as sets", () =>
    withCleanPrimary(async (api) => {
      await ask(api, "POST /api/policy", { body: { src: wildcardPolicy } });
      const inserts = ["a", "b", "c"].map((user) => role(user, "member", Org("acme")));
      const first = await api.call("POST", "/api/batch?", {
        body: [{ inserts: [...inserts, ...inserts] }, { deletes: [role("a", "member", Org("acme"))] }],
      });
      expect(first.json).toEqual({ message: "2 facts inserted, 0 facts deleted" });
      const nothing = await api.call("POST", "/api/batch", { body: [{ inserts }, { deletes: [inserts[0]] }] });
      expect(nothing.json).toEqual({ message: "0 facts inserted, 0 facts deleted" });
      expect(nothing.headers.get("osooffset")).toBe(first.headers.get("osooffset"));
      const empty = await api.call("POST", "/api/batch", { body: [] });
      expect(empty.headers.get("osooffset")).toMatch(token);

      const anybody = fact("has_role", { type: null, id: null } as never, value("String", "member"), {
        type: "Org",
        id: null,
      } as never);
      expect(await ask(api, "POST /api/batch", { body: [{ deletes: [anybody] }] })).toEqual({
        message: "0 facts inserted, 2 facts deleted",
      });
      expect(await ask(api, "GET /api/facts?predicate=has_role")).toEqual([]);
    }));

  test("are read by patterns: missing and empty parts match everything, arguments can be omitted", () =>
    withCleanPrimary(async (api) => {
      await ask(api, "POST /api/policy", { body: { src: wildcardPolicy } });
      const acme = role("alice", "member", Org("acme"));
      const anvil = role("bob", "admin", Repo("anvil"));
      await ask(api, "POST /api/batch", {
        body: [{ inserts: [acme, anvil, fact("has_role", User("eve"), value("String", "user"))] }],
      });
      const has = async (query: string) => ((await ask(api, `GET /api/facts?predicate=${query}`)) as unknown[]).length;
      expect(await has("has_role")).toBe(3);
      expect(await has("has_role&args.0.type=User")).toBe(3);
      expect(await has("has_role&args.0.type=&args.0.id=")).toBe(3);
      expect(await has("has_role&args.0.type=User&args.0.id=alice")).toBe(1);
      expect(await has("has_role&args.2.type=Repo")).toBe(1);
      expect(await has("has_role&args.2.type=Repo&args.2.id=other")).toBe(0);
      expect(await has("nothing")).toBe(0);
      expect(await ask(api, "GET /api/facts?predicate=has_role&args.1.type=String&args.1.id=admin")).toEqual([anvil]);
    }));

  test("are all deleted by `clear_data`, which keeps the policy", () =>
    withCleanPrimary(async (api) => {
      await ask(api, "POST /api/policy", { body: { src: wildcardPolicy } });
      await ask(api, "POST /api/batch", { body: [{ inserts: [role("alice", "member", Org("acme"))] }] });
      const cleared = await api.call("POST", "/api/clear_data");
      expect(cleared.json).toEqual({ message: "all facts deleted" });
      expect(cleared.headers.get("osooffset")).toMatch(token);
      expect(await ask(api, "GET /api/facts?predicate=has_role")).toEqual([]);
      expect(await ask(api, "GET /api/policy")).toMatchObject({ policy: { src: wildcardPolicy } });
      expect((await api.call("POST", "/api/clear_data", { body: {} })).headers.get("osooffset")).toMatch(token);
    }));
});

describe("questions", () => {
  test("each response has exactly its keys", () =>
    withCleanPrimary(async (api) => {
      await ask(api, "POST /api/policy", { body: { src: wildcardPolicy } });
      await ask(api, "POST /api/batch", {
        body: [{ inserts: [role("alice", "member", Repo("anvil")), role("alice", "admin", Repo("bolt"))] }],
      });
      const write = { ...about, action: "write", resource_type: "Repo" };
      expect(await ask(api, "POST /api/authorize", { body: { ...write, resource_id: "bolt" } })).toEqual({
        allowed: true,
      });
      expect(await ask(api, "POST /api/authorize", { body: { ...write, resource_id: "anvil" } })).toEqual({
        allowed: false,
      });
      expect(await ask(api, "POST /api/list", { body: write })).toEqual({ results: ["bolt"] });
      expect(await ask(api, "POST /api/list", { body: { ...write, page_size: null, page_token: null } })).toEqual({
        results: ["bolt"],
      });
      expect(await ask(api, "POST /api/list", { body: { ...about, action: "read", resource_type: "Org" } })).toEqual({
        results: ["*"],
      });
      expect(
        await ask(api, "POST /api/actions", { body: { ...about, resource_type: "Repo", resource_id: "bolt" } }),
      ).toEqual({
        results: ["read", "write"],
      });
      const resources = [Repo("bolt"), Repo("none"), Repo("anvil"), Repo("bolt"), Org("x")];
      expect(
        await ask(api, "POST /api/authorize_resources", { body: { ...about, action: "read", resources } }),
      ).toEqual({
        results: [Repo("bolt"), Repo("anvil"), Repo("bolt"), Org("x")],
      });
    }));

  test("unknown names are denied, with and without a policy", () =>
    withCleanPrimary(async (api) => {
      const body = { ...about, action: "frob", resource_type: "Thing", resource_id: "x" };
      for (const src of [undefined, wildcardPolicy]) {
        if (src !== undefined) await ask(api, "POST /api/policy", { body: { src } });
        expect(await ask(api, "POST /api/authorize", { body })).toEqual({ allowed: false });
        expect(await ask(api, "POST /api/list", { body })).toEqual({ results: [] });
        expect(await ask(api, "POST /api/actions", { body })).toEqual({ results: [] });
      }
    }));

  test("a list in pages is the whole list, and a token belongs to its own question", () =>
    withCleanPrimary(async (api) => {
      await ask(api, "POST /api/policy", { body: { src: wildcardPolicy } });
      const ids = ["!", "a", "b", "c", "ä", "😀", "~"];
      await ask(api, "POST /api/batch", {
        body: ["admin", "member"].map((name) => ({ inserts: ids.map((id) => role("alice", name, Org(id))) })),
      });
      for (const action of ["delete", "read"]) {
        const list = { ...about, action, resource_type: "Org" };
        const { results: whole } = (await ask(api, "POST /api/list", { body: list })) as { results: string[] };
        expect(whole.toSorted()).toEqual((action === "read" ? [...ids, "*"] : ids).toSorted());
        for (const size of [1, 3, 7, 100]) {
          const found: string[] = [];
          let next: string | null = null;
          do {
            const page = (await ask(api, "POST /api/list", {
              body: { ...list, ...(next === null ? { page_size: size } : { page_size: 5, page_token: next }) },
            })) as { results: string[]; next_page_token: string | null };
            expect(Object.keys(page)).toEqual(["results", "next_page_token"]);
            expect(page.results.length).toBeLessThanOrEqual(size);
            found.push(...page.results);
            next = page.next_page_token;
            if (next !== null) {
              const other = await api.call("POST", "/api/list", {
                body: { ...list, actor_id: "bob", page_token: next },
              });
              expect([other.status, other.json]).toMatchObject([
                400,
                { message: expect.stringContaining("another question") },
              ]);
            }
          } while (next !== null);
          expect(found).toEqual(whole);
        }
      }
    }));

  test("queries: rows with every variable, sorted and distinct", () =>
    withCleanPrimary(async (api) => {
      await ask(api, "POST /api/policy", { body: { src: wildcardPolicy } });
      await ask(api, "POST /api/batch", {
        body: [
          {
            inserts: [
              role("bob", "admin", Repo("anvil")),
              fact("has_relation", Repo("anvil"), value("String", "parent"), Org("acme")),
            ],
          },
        ],
      });
      const query = {
        predicate: ["allow", ["u", "a", "r"]],
        calls: [["has_relation", ["r", "p", "o"]]],
        constraints: {
          u: { type: "User", ids: ["bob"] },
          a: { type: "String", ids: null },
          r: { type: "Repo", ids: null },
          p: { type: "String", ids: ["parent"] },
          o: { type: "Org", ids: null },
        },
        context_facts: [],
      };
      const row = { u: "bob", r: "anvil", p: "parent", o: "acme" };
      expect(await ask(api, "POST /api/evaluate_query", { body: query })).toEqual({
        results: [
          { ...row, a: "read" },
          { ...row, a: "write" },
        ],
      });
      const nowhere = { ...query, constraints: { ...query.constraints, r: { type: "Repo", ids: [] } } };
      expect(await ask(api, "POST /api/evaluate_query", { body: nowhere })).toEqual({ results: [] });
    }));
});

describe("every response", () => {
  test("has the request id of the client, or a new one", () =>
    withCleanPrimary(async (api) => {
      for (const path of ["/healthcheck", "/api/policy", "/nowhere"]) {
        const given = await api.call("GET", path, { headers: { "X-Request-ID": "from-the-caller-1" } });
        expect(given.headers.get("x-request-id")).toBe("from-the-caller-1");
        const made = await api.call("GET", path);
        expect(made.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
      }
    }));

  test("has the trace id if the client samples the trace", () =>
    withCleanPrimary(async (api) => {
      const traceId = "0af7651916cd43dd8448eb211c80319c";
      const sampled = await api.call("GET", "/api/policy", {
        headers: { traceparent: `00-${traceId}-b7ad6b7169203331-01` },
      });
      expect(sampled.headers.get("x-trace-id")).toBe(traceId);
      for (const traceparent of [`00-${traceId}-b7ad6b7169203331-00`, "00-zz-11-01", ""]) {
        expect(
          (await api.call("GET", "/api/policy", { headers: { traceparent } })).headers.get("x-trace-id"),
        ).toBeNull();
      }
    }));

  test("is the same for doubled slashes and for HEAD", () =>
    withPrimary(async (api) => {
      expect(await ask(api, "GET //api//policy?")).toEqual({ policy: null });
      const head = await fetch(`${api.url}/api/policy`, { method: "HEAD", headers: admin });
      expect([head.status, head.headers.get("content-length"), await head.text()]).toEqual([200, "15", ""]);
      expect((await fetch(`${api.url}/api/policy`, { method: "HEAD" })).status).toBe(401);
    }));
});

describe("more concurrent requests than allowed", () => {
  test("are refused with Retry-After", () =>
    withPrimary(
      async (api) => {
        const { epoch, offset } = api.node.health();
        const headers = { OsoOffset: `${epoch}:${(offset ?? 0) + 1}` };
        const waiting = api.call("GET", "/api/policy", { headers });
        await eventually(async () => {
          const refused = await api.call("GET", "/api/policy");
          expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "1"]);
        });
        // The write ends the wait of the first request.
        await must(api.node.writes).policy({ source: wildcardPolicy, filename: null, force: false }, untraced);
        expect((await waiting).status).toBe(200);
        expect((await api.call("GET", "/api/policy")).status).toBe(200);
      },
      { "advanced.requestsInFlightMax": "1", "advanced.consistencyWait": "1m" },
    ));
});

describe("without a key", () => {
  test("health is available under both names, without any data", () =>
    withPrimary(async (api) => {
      for (const path of ["/healthcheck", "/api/healthcheck"]) {
        const response = await fetch(api.url + path);
        expect(response.status).toBe(200);
        expect(await response.json()).toEqual({
          status: "ok",
          role: "primary",
          node: "primary",
          state: "PRIMARY",
          epoch: expect.stringMatching(/^[0-9a-f]{16}$/),
          term: firstTerm,
          offset: 1,
          digest: expect.stringMatching(/^[0-9a-f]{16}$/),
          age_ms: 0,
          feed_connected: true,
          brokers: [{ broker: "embedded", connected: true }],
        });
      }
    }));
});

test("health does not confirm guesses about facts", () =>
  withCleanPrimary(async (api) => {
    await api.call("POST", "/api/policy", { body: { src: wildcardPolicy } });
    const shown = async (): Promise<bigint> => {
      const { digest } = (await (await fetch(`${api.url}/healthcheck`)).json()) as { digest: string };
      return parseDigest(digest);
    };
    const guess = role("ann", "admin", Org("acme"));
    const [before, kept] = [await shown(), api.node.engine().state().digest];
    await api.call("POST", "/api/batch", { body: [{ inserts: [guess] }] });
    const difference = (left: bigint, right: bigint): bigint => BigInt.asUintN(64, left - right);
    expect(difference(parseDigest(api.node.engine().state().digest), parseDigest(kept))).toBe(factElement(guess));
    expect(difference(await shown(), before)).not.toBe(factElement(guess));
  }));

describe("metrics", () => {
  test("count requests by route and status, never by path", () =>
    withCleanPrimary(async (api) => {
      await api.call("DELETE", "/api/keys/secret-name");
      await api.call("GET", "/some/secret/path");
      const answer = await api.call("GET", "/metrics");
      expect(answer.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
      expect(answer.headers.get("server-timing")).toMatch(/^oso;/);
      expect(answer.text).toMatch(
        /ostiary_http_request_duration_seconds_count\{[^}]*route="\/api\/keys\/:id"[^}]*status="404"/,
      );
      expect(answer.text).toMatch(/ostiary_http_request_duration_seconds_count\{[^}]*route="unmatched"/);
      for (const secret of ["secret", adminKey]) expect(answer.text).not.toContain(secret);
    }));
});
