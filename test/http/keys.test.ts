/**
 * API keys: each role has its permissions and no others; a new key works immediately, and a removed key is refused
 * immediately.
 */
import { describe, expect, test } from "bun:test";
import { defaultLimits } from "../../src/config/limits.ts";
import { createApp } from "../../src/features/app.ts";
import { must } from "../../src/util/assert.ts";
import { untraced } from "../replication/cluster.ts";
import { Org, role, wildcardPolicy, withPrimary, type Api, sharedPrimary } from "./api.ts";

const withCleanPrimary = sharedPrimary();

interface MadeKey {
  readonly id: string;
  readonly name: string;
  readonly role: string;
  readonly token: string;
  readonly message: string;
}

async function makeKey(api: Api, keyRole: string): Promise<MadeKey> {
  const answer = await api.call("POST", "/api/keys", { body: { name: `for ${keyRole}`, role: keyRole } });
  expect(answer.status).toBe(200);
  expect(answer.headers.get("osooffset")).toMatch(/:\d+$/);
  return answer.json as MadeKey;
}

const parts = { subject: { type: "User", id: "a" }, action: { name: "read" }, resource: { type: "Org", id: "x" } };
const question = { actor_type: "User", actor_id: "a", resource_type: "Org", resource_id: "x" };

const member = role("a", "member", Org("x"));

const bound = { data_bindings: "facts:\n  is_public(Org:_):\n    query: SELECT id FROM orgs\n" };

/** All routes that need a key, with the weakest accepted role. A new route has to be added here. */
const routes: readonly (readonly [route: string, least: "read" | "write" | "admin", body?: unknown])[] = [
  ["GET /metrics", "read"],
  ["POST /api/authorize", "read", { ...question, action: "read" }],
  ["POST /api/authorize_resources", "read", { ...question, action: "read", resources: [] }],
  ["POST /api/list", "read", { ...question, action: "read" }],
  ["POST /api/actions", "read", question],
  ["POST /api/evaluate_query", "read", { predicate: ["p", []], calls: [], constraints: {}, context_facts: [] }],
  ["POST /api/bulk_actions", "read", [question]],
  ["POST /api/query", "read", { fact: member }],
  ["GET /api/facts?predicate=p", "read"],
  ["GET /api/stats", "read"],
  ["GET /api/autocomplete_info", "read"],
  ["GET /api/events", "read"],
  ["GET /api/whoami", "read"],
  ["GET /api/metrics_history", "read"],
  ["GET /api/nodes", "read"],
  ["GET /api/events/1/applied", "read"],
  ["GET /api/objects/User/ann/facts", "read"],
  ["GET /api/objects?type=User", "read"],
  ["GET /api/policy", "read"],
  ["GET /api/policy_metadata", "read"],
  ["GET /api/policy_model", "read"],
  ["GET /api/policy_history", "read"],
  ["POST /api/explain", "read", { ...question, action: "read" }],
  ["POST /api/validate", "read", { src: wildcardPolicy }],
  ["POST /api/test", "read", { src: wildcardPolicy }],
  ["POST /api/policy_effect", "read", { src: wildcardPolicy }],
  [
    "POST /api/policy_question",
    "read",
    {
      src: wildcardPolicy,
      question: { actor_type: "User", actor_id: "ann", action: "read", resource_type: "Repo", resource_id: "x" },
    },
  ],
  ["POST /api/format", "read", { src: wildcardPolicy }],
  ["POST /api/explain_rules", "read", { src: wildcardPolicy }],
  ["POST /api/expect", "read", { request_id: "1", expected: true }],
  ["GET /api/parity", "read"],
  ["POST /access/v1/evaluation", "read", parts],
  ["POST /access/v1/evaluations", "read", parts],
  ["POST /access/v1/search/subject", "read", parts],
  ["POST /access/v1/search/resource", "read", parts],
  ["POST /access/v1/search/action", "read", parts],
  ["POST /api/authorize_query", "read", { query: { ...question, action: "read" }, ...bound }],
  ["POST /api/list_query", "read", { query: { ...question, action: "read" }, column: "id", ...bound }],
  ["POST /api/actions_query", "read", { query: question, ...bound }],
  [
    "POST /api/evaluate_query_local",
    "read",
    {
      query: { predicate: ["p", []], calls: [], constraints: {}, context_facts: [] },
      mode: { mode: "select", query_vars_to_output_column_names: {} },
      ...bound,
    },
  ],
  ["GET /api/bindings", "read"],
  ["GET /api/bindings/nobody", "read"],
  ["PUT /api/bindings/shop", "admin", bound],
  ["DELETE /api/bindings/nobody", "admin"],
  ["POST /api/batch", "write", []],
  ["POST /api/facts", "write", member],
  ["DELETE /api/facts", "write", member],
  ["POST /api/bulk_load", "write", [member]],
  ["POST /api/bulk_delete", "write", [member]],
  ["POST /api/bulk", "write", { delete: [], tell: [] }],
  ["POST /api/policy", "write", { src: wildcardPolicy }],
  ["POST /api/policy_rollback", "write", { id: 1 }],
  ["POST /api/clear_data", "write"],
  ["GET /api/keys", "admin"],
  ["POST /api/keys", "admin", { name: "another", role: "read" }],
  ["POST /api/keys/nobody/rotate", "admin", {}],
  ["DELETE /api/keys/nobody", "admin"],
  ["GET /api/decisions", "admin"],
  ["GET /api/decisions/nobody/explain", "admin"],
  ["POST /api/decisions/replay", "admin", { src: wildcardPolicy }],
  ["GET /api/promote", "admin"],
  ["POST /api/promote", "admin", {}],
  ["GET /api/backup", "admin"],
  ["GET /api/backups", "admin"],
  ["GET /api/audit", "admin"],
  ["GET /api/traces", "admin"],
  ["GET /api/traces/nobody", "admin"],
  ["GET /api/environments", "admin"],
  ["POST /api/environments", "admin", { id: "other" }],
  ["POST /api/environments/complete", "admin"],
  ["PATCH /api/environments/nobody", "admin", { name: "other" }],
  ["DELETE /api/environments/nobody", "admin"],
  ["POST /api/environments/nobody/restore", "admin"],
  ["POST /api/environments/nobody/abandon", "admin"],
  ["POST /api/environments/nobody/keys", "admin"],
];
/** The policy is active already, "nobody" is no key, no decision and no environment, and a primary is not promoted. */
const answered = new Map([
  ["POST /api/policy", 202],
  ["POST /api/policy_rollback", 202],
  ["GET /api/bindings/nobody", 404],
  ["DELETE /api/bindings/nobody", 404],
  ["POST /api/keys/nobody/rotate", 404],
  ["DELETE /api/keys/nobody", 404],
  ["POST /api/promote", 409],
  ["GET /api/decisions/nobody/explain", 400],
  ["GET /api/traces/nobody", 400],
  ["GET /api/backups", 404],
  ["GET /api/environments", 404],
  ["POST /api/environments", 404],
  ["POST /api/environments/complete", 404],
  ["PATCH /api/environments/nobody", 404],
  ["DELETE /api/environments/nobody", 404],
  ["POST /api/environments/nobody/restore", 404],
  ["POST /api/environments/nobody/abandon", 404],
  ["POST /api/environments/nobody/keys", 404],
]);
const ranks = ["read", "write", "admin"];

describe("roles", () => {
  test(
    "each route requires its role, and names it",
    () =>
      withPrimary(async (api) => {
        await api.call("POST", "/api/policy", { body: { src: wildcardPolicy } });
        for (const name of ranks) {
          const { token } = await makeKey(api, name);
          for (const [route, least, body] of routes) {
            const [method = "", path = ""] = route.split(" ");
            const headers = { authorization: `Bearer ${token}`, "Content-Type": "application/json" };
            const answer = await api.call(method, path, { headers, body });
            if (ranks.indexOf(name) < ranks.indexOf(least)) {
              expect([route, name, answer.status]).toEqual([route, name, 403]);
              const message = expect.stringContaining(`this API key may only \`${name}\``);
              expect(answer.json).toEqual({ message, code: "forbidden" });
            } else {
              expect([route, name, answer.status]).toEqual([route, name, answered.get(route) ?? 200]);
            }
          }
        }
      }),
    60_000,
  );

  test("no route except health, discovery and the OpenAPI document answers without a key", () =>
    withCleanPrimary(async (api) => {
      const discovery = "GET /.well-known/authzen-configuration";
      const health = ["GET /healthcheck", "GET /api/healthcheck", "GET /livez", "GET /readyz"];
      const login = ["GET /api/login", "POST /api/login/token"];
      const open = new Set([...health, ...login, discovery, `${discovery}/*`, "GET /openapi.json"]);
      const known = new Set(
        routes.map(([route]) =>
          route
            .replace(/\?.*/, "")
            .replace(/bindings\/\w+/, "bindings/:name")
            .replace("events/1", "events/:offset")
            .replace("User/ann", ":type/:id")
            .replace("/nobody", "/:id"),
        ),
      );
      const app = createApp(api.node, defaultLimits);
      const closed = app.routes.filter(({ method, path }) => !open.has(`${method} ${path}`));
      const named = closed.map(({ method, path }) => `${method} ${path}`);
      expect(named.toSorted()).toEqual([...known, "ALL /replication/v1/*"].toSorted());
      for (const { method, path } of closed) {
        const route = `${method} ${path}`;
        const response = await app.fetch(
          new Request(`http://localhost${path}`, { method: method === "ALL" ? "GET" : method }),
        );
        expect([route, response.status]).toEqual([route, 401]);
      }
    }));
});

describe("the life of a key", () => {
  test("its text is shown once; lists of keys have no secrets", () =>
    withCleanPrimary(async (api) => {
      const made = await makeKey(api, "write");
      expect(made).toEqual({
        id: expect.stringMatching(/^[0-9a-f]{12}$/),
        name: "for write",
        role: "write",
        token: expect.stringMatching(new RegExp(`^e_test_${made.id}_[0-9a-f]{48}$`)),
        message: "keep the token, it is not shown again",
      });
      const listed = await api.call("GET", "/api/keys");
      const created = expect.stringMatching(/^\d{4}-\d\d-\d\dT/);
      expect(listed.json).toEqual({
        keys: [
          { id: "admin", name: "admin", role: "admin", created, last_used: expect.stringMatching(/:00\.000Z$/) },
          { id: made.id, name: "for write", role: "write", created, last_used: null },
        ],
      });
      expect(listed.text).not.toContain(made.token.slice(-48));
      expect(listed.text).not.toContain("hash");
    }));

  test("a removed key is refused on all routes", () =>
    withCleanPrimary(async (api) => {
      await api.call("POST", "/api/policy", { body: { src: wildcardPolicy } });
      const { id, token } = await makeKey(api, "write");
      const headers = { authorization: `Bearer ${token}` };
      const body = [{ inserts: [role("a", "member", Org("x"))] }];
      expect((await api.call("POST", "/api/batch", { headers, body })).status).toBe(200);
      const removed = await api.call("DELETE", `/api/keys/${id}`);
      expect([removed.status, removed.json]).toEqual([200, { message: "API key removed" }]);
      expect((await api.call("POST", "/api/batch", { headers, body: [] })).status).toBe(401);
      expect((await api.call("GET", "/api/policy", { headers })).status).toBe(401);
    }));

  test("an admin key can be removed if another one is left", () =>
    withPrimary(async (api) => {
      const { token } = await makeKey(api, "admin");
      const headers = { authorization: `Bearer ${token}` };
      expect((await api.call("DELETE", "/api/keys/admin", { headers })).status).toBe(200);
      expect((await api.call("GET", "/api/keys")).status).toBe(401);
      expect((await api.call("GET", "/api/keys", { headers })).status).toBe(200);
    }));

  test("two admin keys that remove each other concurrently leave one", () =>
    withPrimary(async (api) => {
      const { id } = await makeKey(api, "admin");
      const writes = must(api.node.writes);
      const remove = (key: string) => writes.keys({ add: [], remove: [key] }, untraced);
      const [first, second] = await Promise.allSettled([remove("admin"), remove(id)]);
      expect(first.status).toBe("fulfilled");
      expect(second).toMatchObject({ status: "rejected", reason: { code: "conflict" } });
      expect(api.node.engine().apiKeys()).toHaveLength(1);
    }));

  test("their number is limited", () =>
    withPrimary(
      async (api) => {
        await makeKey(api, "read");
        const refused = await api.call("POST", "/api/keys", { body: { name: "third", role: "read" } });
        expect([refused.status, refused.json]).toEqual([
          400,
          { message: expect.stringContaining("2 API keys already"), code: "invalid_request" },
        ]);
      },
      { "advanced.apiKeysMax": "2" },
    ));
});
