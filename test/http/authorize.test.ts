/**
 * `POST /api/authorize` bypasses Elysia if its path is exactly that, and otherwise is one of Elysia's routes: both ways
 * must give the same response. And a decision that is cached under the text of its request must equal a new decision.
 */
import { expect, test } from "bun:test";
import { defaultLimits } from "../../src/config/limits.ts";
import { must } from "../../src/util/assert.ts";
import { decisionCacheHits } from "../engine/decision-cache-hits.ts";
import { threadsInTests } from "../replication/cluster.ts";
import { admin, Org, role, wildcardPolicy, type Api, type CallOptions, sharedPrimary } from "./api.ts";

const withCleanPrimary = sharedPrimary();

const question = { actor_type: "User", actor_id: "alice", action: "delete", resource_type: "Org", resource_id: "acme" };
const long = "x".repeat(defaultLimits.identifierBytesMax);
const two = "é".repeat(defaultLimits.identifierBytesMax / 2);

const requests: readonly (readonly [what: string, options: CallOptions, status: number])[] = [
  ["a question", { body: question }, 200],
  ["no context facts", { body: { ...question, context_facts: [] } }, 200],
  ["null for context facts", { body: { ...question, context_facts: null } }, 200],
  ["context facts", { body: { ...question, context_facts: [role("bob", "admin", Org("acme"))] } }, 200],
  ["an unknown key", { body: { ...question, "and more": 1 } }, 200],
  ["ids of the maximum length", { body: { ...question, actor_id: long, resource_id: two } }, 200],
  ["an id that is too long", { body: { ...question, actor_id: `${long}x` } }, 400],
  ["an id of too many bytes", { body: { ...question, actor_id: `${two}é` } }, 400],
  ["an empty id", { body: { ...question, resource_id: "" } }, 400],
  ["a number for an id", { body: { ...question, resource_id: 7 } }, 400],
  ["a missing type", { body: { ...question, actor_type: undefined } }, 400],
  ["context facts that are no list", { body: { ...question, context_facts: {} } }, 400],
  ["a list", { body: [question] }, 400],
  ["nothing", {}, 400],
  ["no JSON", { body: `${JSON.stringify(question)}}` }, 400],
  ["half of a character", { body: JSON.stringify({ ...question, actor_id: "?" }).replace("?", "\\ud800") }, 400],
  ["a body that is too large", { body: " ".repeat(defaultLimits.readBodyBytesMax + 1) }, 413],
  ["a token of another history", { body: question, headers: { OsoOffset: "0123456789abcdef:1" } }, 409],
  ["another consistency", { body: question, headers: { "Ostiary-Consistency": "some" } }, 400],
  ["the latest", { body: question, headers: { "Ostiary-Consistency": "latest" } }, 200],
  ["no key", { body: question, headers: { authorization: "" } }, 401],
  ["a wrong key", { body: question, headers: { authorization: `${admin.authorization}0` } }, 401],
  ["a trace", { body: question, headers: { traceparent: `00-${"4".repeat(32)}-${"5".repeat(16)}-01` } }, 200],
];

test("both ways of a request give the same response", () =>
  withCleanPrimary(async (api) => {
    await load(api);
    await insert(api, role("alice", "admin", Org("acme")));
    for (const [what, { headers, ...options }, status] of requests) {
      const ask = { ...options, headers: { "x-request-id": what, ...headers } };
      const [direct, routed] = await Promise.all(
        ["/api/authorize", "/api/authorize?so=what"].map((path) => api.call("POST", path, ask)),
      );
      expect([what, direct?.status, direct?.json]).toEqual([what, status, routed?.json]);
      expect([what, routed?.status]).toEqual([what, status]);
      // The two times of a response differ from one response to the next.
      const shown = ({ headers: found }: { headers: Headers }) =>
        [...found].map(([name, value]) => [name, ["date", "server-timing"].includes(name) ? typeof value : value]);
      expect(shown(must(direct))).toEqual(shown(must(routed)));
    }
  }));

test("a decision that is cached under its text is valid only until a fact changes", () =>
  withCleanPrimary(async (api) => {
    await load(api);
    const held = role("alice", "admin", Org("acme"));
    const texts = [question, { ...question, context_facts: [] }].map((body) => JSON.stringify(body));
    const ask = async (): Promise<unknown[]> => {
      const answers = [];
      for (const body of [...texts, ...texts]) answers.push((await api.call("POST", "/api/authorize", { body })).json);
      return answers;
    };
    const always = (allowed: boolean) => new Array(4).fill({ allowed });
    const before = await decisionCacheHits();
    expect(await ask()).toEqual(always(false));
    // Each thread has a cache of its own.
    for (let round = 1; round < threadsInTests; round++) for (let time = 0; time < 10; time++) await ask();
    expect(await decisionCacheHits()).toBeGreaterThanOrEqual(before + 2);
    await insert(api, held);
    expect(await ask()).toEqual(always(true));
    const { token: read, id } = await makeReadKey(api);
    const withKey = { body: texts[0], headers: { authorization: `Bearer ${read}` } };
    expect((await api.call("POST", "/api/authorize", withKey)).json).toEqual({ allowed: true });
    expect((await api.call("DELETE", `/api/keys/${id}`)).status).toBe(200);
    expect((await api.call("POST", "/api/authorize", withKey)).status).toBe(401);
    await api.call("POST", "/api/batch", { body: [{ deletes: [held] }] });
    expect(await ask()).toEqual(always(false));
    await insert(api, held);
    await api.call("POST", "/api/policy", { body: { src: "actor User {} resource Org {}" } });
    expect(await ask()).toEqual(always(false));
  }));

test("concurrent requests get their own responses", () =>
  withCleanPrimary(async (api) => {
    await load(api);
    await insert(api, ...Array.from({ length: 50 }, (_, index) => role(`user-${index}`, "admin", Org("acme"))));
    const ask = (user: number) =>
      api.call("POST", "/api/authorize", { body: { ...question, actor_id: `user-${user}` } });
    for (let round = 0; round < 10; round++) {
      const users = Array.from({ length: 64 }, (_, index) => (round * 64 + index) % 100);
      const answers = await Promise.all(users.map(ask));
      const expected = users.map((user) => [200, { allowed: user < 50 }]);
      expect(answers.map(({ status, json }) => [status, json])).toEqual(expected);
    }
  }));

test("an invalid request does not get a cached decision", () =>
  withCleanPrimary(async (api) => {
    await load(api);
    await insert(api, role("alice", "admin", Org("acme")));
    const resources = { ...question, resources: [Org("acme")] };
    await api.call("POST", "/api/authorize_resources", { body: resources });
    // The key under which that decision is cached.
    const { actor_type: type, actor_id: id, resource_type: resourceType, resource_id: resource, action } = question;
    const lengths = [type, id, resourceType, resource].map(({ length }) => length).join(" ");
    const answer = await api.call("POST", "/api/authorize", {
      body: `${lengths} ${type}${id}${resourceType}${resource}${action}`,
    });
    expect(answer.status).toBe(400);
  }));

async function load(api: Api): Promise<void> {
  expect((await api.call("POST", "/api/policy", { body: { src: wildcardPolicy } })).status).toBe(200);
}

async function insert(api: Api, ...inserts: ReturnType<typeof role>[]): Promise<void> {
  expect((await api.call("POST", "/api/batch", { body: [{ inserts }] })).status).toBe(200);
}

async function makeReadKey(api: Api): Promise<{ readonly token: string; readonly id: string }> {
  const { json } = await api.call("POST", "/api/keys", { body: { name: "reader", role: "read" } });
  return json as { token: string; id: string };
}
