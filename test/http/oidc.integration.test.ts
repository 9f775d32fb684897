/** People with tokens of an OIDC issuer, beside API keys, on all roles of nodes. */
import { describe, expect, test } from "bun:test";
import { converged, eventually, withCluster, type Running } from "../replication/cluster.ts";
import type { Node } from "../../src/replication/node.ts";
import { defaultLimits } from "../../src/config/limits.ts";
import { loadConfig } from "../../src/config/load.ts";
import { createApp } from "../../src/features/app.ts";
import { People } from "../../src/http/oidc/people.ts";
import { systemClock } from "../../src/util/clock.ts";
import { must } from "../../src/util/assert.ts";
import { apiOf, Org, role, wildcardPolicy, type Answer, type Api } from "./api.ts";
import { openSource } from "./event-source.ts";
import { Issuer, oidcFlags, type TokenParts } from "./issuer.ts";

const member = role("a", "member", Org("x"));
const question = { actor_type: "User", actor_id: "a", action: "read", resource_type: "Org", resource_id: "x" };

class Person {
  readonly #issuer: Issuer;
  readonly #parts: TokenParts;

  constructor(issuer: Issuer, ...groups: readonly string[]) {
    this.#issuer = issuer;
    this.#parts = { claims: { groups, sub: groups.join("-") } };
  }

  async call(api: Api, method: string, path: string, body?: unknown): Promise<Answer> {
    const authorization = `Bearer ${await this.#issuer.token(this.#parts)}`;
    return api.call(method, path, { headers: { authorization }, body });
  }
}

async function withIssuer(body: (issuer: Issuer) => Promise<void>): Promise<void> {
  await using issuer = await Issuer.start();
  await body(issuer);
}

/** Asks until the node has the database. */
async function ready(running: Running<Node>, primary: Running<Node>): Promise<Api> {
  await eventually(() => converged(running.node, primary.node));
  return apiOf(running);
}

describe("on a primary, an edge and a fallback", () => {
  test(
    "people read, write and administer as their role says",
    () =>
      withIssuer((issuer) =>
        withCluster(async (cluster) => {
          const running = await cluster.primary();
          const primary = apiOf(running);
          const [admin, writer, reader] = ["owners", "writers", "readers"].map((group) => new Person(issuer, group));
          expect((await must(writer).call(primary, "POST", "/api/policy", { src: wildcardPolicy })).status).toBe(200);
          expect((await must(writer).call(primary, "POST", "/api/facts", member)).status).toBe(200);
          const edge = await ready(await cluster.edge("edge", running), running);
          const fallback = await ready(await cluster.fallback(running), running);
          for (const api of [primary, edge, fallback]) {
            for (const person of [admin, writer, reader]) {
              const answer = await must(person).call(api, "POST", "/api/authorize", question);
              expect([api.node.role, answer.json]).toEqual([api.node.role, { allowed: true }]);
              const { json } = await must(person).call(api, "GET", "/api/whoami");
              expect(json).toMatchObject({ kind: "person", name: "ann@example.com", environment: "test" });
            }
            expect((await must(admin).call(api, "GET", "/api/keys")).status).toBe(200);
            expect((await must(writer).call(api, "GET", "/api/keys")).json).toEqual({
              message: "this person may only `write`, `GET /api/keys` needs a person with the role `admin`",
              code: "forbidden",
            });
            const refused = await must(reader).call(api, "POST", "/api/facts", member);
            expect([api.node.role, refused.status]).toEqual([api.node.role, api === fallback ? 503 : 403]);
            expect((await new Person(issuer, "guests").call(api, "POST", "/api/authorize", question)).json).toEqual({
              message:
                "this person has no role here: no value of the claim `groups` in the token gives one (`oidc.admin`, `oidc.write`, `oidc.read`)",
              code: "forbidden",
            });
          }
          // Forwarded by the edge, verified by the edge and by the primary.
          const forwarded = await must(writer).call(edge, "POST", "/api/facts", role("b", "admin", Org("x")));
          expect([forwarded.status, forwarded.headers.get("osooffset")]).toEqual([200, expect.stringMatching(/:\d+$/)]);
          const made = await must(admin).call(edge, "POST", "/api/keys", { name: "new", role: "read" });
          expect([made.status, made.json]).toEqual([200, expect.objectContaining({ role: "read" })]);
          expect((await must(reader).call(edge, "POST", "/api/keys", { name: "new", role: "admin" })).status).toBe(403);
        }, oidcFlags(issuer)),
      ),
    60_000,
  );

  test(
    "a node without an issuer refuses tokens, also those that another node forwards",
    () =>
      withIssuer((issuer) =>
        withCluster(async (cluster) => {
          const running = await cluster.primary();
          const edge = await ready(await cluster.edge("edge", running, oidcFlags(issuer)), running);
          const writer = new Person(issuer, "writers");
          for (const api of [apiOf(running), edge]) {
            const { status, json } = await writer.call(api, "POST", "/api/facts", member);
            expect([status, json]).toEqual([401, expect.objectContaining({ code: "unauthorized" })]);
          }
          const { status, json } = await apiOf(running).call("GET", "/api/login");
          expect([status, json]).toEqual([404, expect.objectContaining({ code: "not_found" })]);
        }),
      ),
    60_000,
  );
});

test("the author of a policy is the person", () =>
  withIssuer((issuer) =>
    withCluster(async (cluster) => {
      const api = apiOf(await cluster.primary());
      await new Person(issuer, "writers").call(api, "POST", "/api/policy", { src: "actor User {}", message: "begin" });
      await api.call("POST", "/api/policy", { body: { src: "actor Robot {}" } });
      const { json } = await api.call("GET", "/api/policy_history");
      expect(json).toMatchObject({
        versions: [
          { id: 2, author: { id: "admin", name: "admin" } },
          { id: 1, author: { id: "person:writers", name: "ann@example.com" }, message: "begin" },
        ],
      });
    }, oidcFlags(issuer)),
  ));

test("a repeated write of a person is done once, and the same request id of another person is another write", () =>
  withIssuer((issuer) =>
    withCluster(async (cluster) => {
      const api = apiOf(await cluster.primary());
      await api.call("POST", "/api/policy", { body: { src: wildcardPolicy } });
      const write = async (sub: string, id: string): Promise<number> => {
        const authorization = `Bearer ${await issuer.token({ claims: { sub, groups: ["writers"] } })}`;
        await api.call("POST", "/api/facts", { headers: { authorization, "x-request-id": id }, body: member });
        const { json } = await api.call("GET", "/api/facts?predicate=has_role");
        await api.call("DELETE", "/api/facts", { body: member });
        return (json as unknown[]).length;
      };
      expect([await write("ann", "one"), await write("ann", "one"), await write("bob", "one")]).toEqual([1, 0, 1]);
      // No part of the id of a person counts as one of the request id.
      expect([await write("ann", "b/two"), await write("ann/b", "two"), await write("ann%2Fb", "two")]).toEqual([
        1, 1, 1,
      ]);
    }, oidcFlags(issuer)),
  ));

test("API keys work as before, and say who they are", () =>
  withIssuer((issuer) =>
    withCluster(async (cluster) => {
      issuer.answer = (response) => void response.destroy();
      const api = apiOf(await cluster.primary());
      const { json } = await api.call("GET", "/api/whoami");
      expect(json).toEqual({ kind: "key", id: "admin", name: "admin", role: "admin", environment: "test" });
      for (const authorization of [
        "",
        "Bearer",
        "Basic a.b.c",
        "Bearer e_test.x",
        "Bearer e_a.b_c.d_0123456789abcdef",
        "a.b.c",
      ]) {
        const refused = await api.call("GET", "/api/whoami", { headers: { authorization } });
        expect([authorization, refused.status]).toEqual([authorization, 401]);
      }
      // The issuer is down: tokens wait for it, keys do not need it.
      const authorization = `Bearer ${await issuer.token()}`;
      const { status, headers } = await api.call("GET", "/api/whoami", { headers: { authorization } });
      expect([status, headers.get("retry-after")]).toEqual([503, "1"]);
    }, oidcFlags(issuer)),
  ));

test("a person acts only in the environment that the request names, with the role there", () =>
  withIssuer((issuer) =>
    withCluster(async (cluster) => {
      const { node, url } = await cluster.primary({ "oidc.write": "test::writers" });
      const { config } = loadConfig({
        environment: {},
        flags: { role: "primary", ...oidcFlags(issuer), "oidc.write": "test::writers", "oidc.admin": "other::owners" },
      });
      const people = new People(issuer.url, must(config), (path, init) => fetch(path, init), systemClock);
      const hosted = createApp(node, defaultLimits, { people, isHosted: true });
      const roleOf = async (isHosted: boolean, group: string, environment?: string): Promise<unknown> => {
        const authorization = `Bearer ${await issuer.token({ claims: { groups: [group] } })}`;
        const headers = { authorization, ...(environment !== undefined && { "Ostiary-Environment": environment }) };
        const request = new Request(`${url}/api/whoami`, { headers });
        const response = await (isHosted ? hosted.fetch(request) : fetch(request));
        const { role } = (await response.json()) as { role?: string };
        return role ?? response.status;
      };
      try {
        const table = [
          // The group, the environment that the request names, and the role in the default and in a hosted environment.
          ["writers", undefined, "write", "write"],
          ["writers", "test", "write", "write"],
          // Only a person with a role there learns that a node does not have the environment.
          ["writers", "other", 403, 403],
          ["writers", "", 403, 403],
          ["readers", undefined, "read", 403],
          ["readers", "test", "read", 403],
          ["owners", undefined, "admin", 403],
          ["owners", "other", 403, 401],
        ] as const;
        for (const [group, environment, ...roles] of table) {
          const found = [await roleOf(false, group, environment), await roleOf(true, group, environment)];
          expect([group, environment, found]).toEqual([group, environment, [...roles]]);
        }
        const valid = await issuer.token({ claims: { groups: ["nobody"] } });
        for (const token of ["a.b.c", `${valid.slice(0, -8)}AAAAAAAA`, valid]) {
          const refusals = [];
          for (const [fetched, environment] of [
            [hosted.fetch, "test"],
            [fetch, "other"],
          ] as const) {
            const headers = { authorization: `Bearer ${token}`, "Ostiary-Environment": environment };
            const response = await fetched(new Request(`${url}/api/whoami`, { headers }));
            refusals.push([
              response.status,
              (await response.text()).replaceAll(new RegExp(`\`${environment}(?=\`|::)`, "g"), "`"),
            ]);
          }
          expect(refusals[1]).toEqual(refusals[0]);
        }
      } finally {
        hosted.close();
      }
    }, oidcFlags(issuer)),
  ));

test("everybody learns where to log in", () =>
  withIssuer((issuer) =>
    withCluster(async (cluster) => {
      const api = apiOf(await cluster.primary());
      const { json } = await api.call("GET", "/api/login", { headers: { authorization: "" } });
      const scopes = "openid email offline_access";
      expect(json).toEqual({
        issuer: issuer.url,
        client_id: "ostiary-cli",
        scopes,
        audience: ["ostiary"],
        authorization_endpoint: null,
      });
    }, oidcFlags(issuer)),
  ));

test("a huge token is refused without work, and the node goes on", () =>
  withIssuer((issuer) =>
    withCluster(async (cluster) => {
      const api = apiOf(await cluster.primary());
      for (const size of [12_300, 15_000]) {
        const authorization = `Bearer eyJ${"a".repeat(size)}.b.c`;
        const { status, json } = await api.call("GET", "/api/whoami", { headers: { authorization } });
        expect([status, json]).toEqual([401, expect.objectContaining({ message: expect.stringContaining("longer") })]);
      }
      // The runtime limits the headers of a request.
      const response = await fetch(`${api.url}/api/whoami`, {
        headers: { authorization: `Bearer a.${"b".repeat(100_000)}.c` },
      });
      expect(response.status).toBeGreaterThanOrEqual(400);
      expect((await new Person(issuer, "readers").call(api, "GET", "/api/whoami")).status).toBe(200);
    }, oidcFlags(issuer)),
  ));

test("an event stream ends when the key of its token was replaced", () =>
  withIssuer((issuer) =>
    withCluster(
      async (cluster) => {
        const api = apiOf(await cluster.primary());
        const source = await openSource(api.url, { key: await issuer.token() });
        await api.call("POST", "/api/policy", { body: { src: wildcardPolicy } });
        expect((await source.count(1))[0]).toMatchObject({ type: "ostiary.policy.loaded" });
        await issuer.rotate();
        // The unknown key makes the node fetch the keys.
        expect((await new Person(issuer, "readers").call(api, "GET", "/api/whoami")).status).toBe(200);
        await api.call("POST", "/api/facts", { body: member });
        expect(await source.ended).toBe(true);
        const message = "the token of this stream has expired, or its key was replaced";
        expect(source.received.slice(1)).toEqual([
          { type: "end", data: JSON.stringify({ message }), id: expect.any(String) },
        ]);
      },
      { ...oidcFlags(issuer), "advanced.oidcKeysFetchIntervalMsMin": "1ms" },
    ),
  ));

test("a person follows the decisions until the key of the token was replaced", () =>
  withIssuer((issuer) =>
    withCluster(
      async (cluster) => {
        const api = apiOf(await cluster.primary());
        await api.call("POST", "/api/policy", { body: { src: wildcardPolicy } });
        const owner = new Person(issuer, "owners");
        const key = await issuer.token({ claims: { groups: ["owners"] } });
        const source = await openSource(api.url, { key, path: "/api/decisions" });
        await owner.call(api, "POST", "/api/authorize", question);
        await owner.call(api, "POST", "/api/authorize", question);
        expect((await source.count(2)).map(({ type }) => type)).toEqual(["ostiary.decision", "ostiary.decision"]);
        await issuer.rotate();
        expect((await owner.call(api, "POST", "/api/authorize", question)).status).toBe(200);
        expect(await source.ended).toBe(true);
        expect(source.received.slice(2)).toMatchObject([
          { type: "end", data: expect.stringContaining("the token of this stream has expired") },
        ]);
      },
      { ...oidcFlags(issuer), "advanced.oidcKeysFetchIntervalMsMin": "1ms", "decisions.log": "all" },
    ),
  ));
