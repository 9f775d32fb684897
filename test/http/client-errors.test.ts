/**
 * Responses to invalid requests: the documented status, a message with the position of the error and the allowed
 * values, and no change.
 */
import { describe, expect, test } from "bun:test";
import { admin, fact, Org, role, User, primaryForAllTests, wildcardPolicy, type Api } from "./api.ts";
import { play, type Scenario } from "./scenario.ts";

const question = { actor_type: "User", actor_id: "alice", action: "read", resource_type: "Org", resource_id: "acme" };
const member = role("alice", "member", Org("acme"));
const many = (count: number) => Array.from({ length: count }, (_, index) => role(`u${index}`, "member", Org("acme")));

const bodies: readonly Scenario[] = [
  {
    name: "JSON that isn't",
    request: "POST /api/batch",
    body: '[{"inserts": [}]',
    status: 400,
    json: { message: "the body is not JSON: line 1, column 15: expected a value (texts need double quotes)" },
  },
  {
    name: "half of a surrogate pair, which a database can't keep",
    request: "POST /api/batch",
    body: String.raw`[{"inserts":[{"predicate":"has_role","args":[{"type":"User","id":"\\ud802 \ud83d\ude00 x\ud801"}]}]}]`,
    status: 400,
    json: { message: "the body has `\\ud801`, which is half of a character: send both halves" },
  },
  { name: "no body", request: "POST /api/authorize", status: 400, json: { message: "the body must be an object" } },
  {
    name: "a list for an object",
    request: "POST /api/authorize",
    body: [],
    status: 400,
    json: { message: "the body must be an object" },
  },
  {
    name: "a missing key",
    request: "POST /api/authorize",
    body: { ...question, action: undefined },
    status: 400,
    json: { message: "`action` in the body is missing, it must be a text" },
  },
  {
    name: "a number for a text",
    request: "POST /api/authorize",
    body: { ...question, actor_id: 7 },
    status: 400,
    json: { message: "`actor_id` in the body must be a text" },
  },
  {
    name: "an empty id of a resource",
    request: "POST /api/authorize",
    body: { ...question, resource_id: "" },
    status: 400,
    json: { message: "`resource_id` in the body must not be empty" },
  },
  {
    name: "an empty id in a fact to store",
    request: "POST /api/facts",
    body: { predicate: "has_role", args: [{ type: "User", id: "" }] },
    status: 400,
    json: { message: "`args.0.id` in the body must not be empty" },
  },
  {
    name: "an empty id in a pattern of facts to delete",
    request: "DELETE /api/facts",
    body: { predicate: "has_role", args: [{ type: "User", id: "" }] },
    status: 400,
    json: { message: "`args.0.id` in the body must not be empty" },
  },
  {
    name: "an empty id in a context fact that is not the actor's",
    request: "POST /api/authorize",
    body: { ...question, context_facts: [{ predicate: "has_role", args: [{ type: "User", id: "" }] }] },
    status: 400,
    json: { message: "fact `has_role`: argument 1 has an empty type or id" },
  },
  {
    name: "an endless id",
    request: "POST /api/authorize",
    body: { ...question, actor_id: "ä".repeat(513) },
    status: 400,
    json: { message: "`actor_id` in the body must not be longer than 512 bytes" },
  },
  {
    name: "a broken context fact",
    request: "POST /api/list",
    body: { ...question, context_facts: [member, fact("has_role", { type: "User" } as never)] },
    status: 400,
    json: { message: "`context_facts.1.args.0.id` in the body is missing, it must be a text" },
  },
  {
    name: "a wildcard in a context fact",
    request: "POST /api/authorize",
    body: { ...question, context_facts: [role("*", "member", Org("acme"))] },
    status: 400,
    content: ["`has_role`", "`*`"],
  },
  {
    name: "too many context facts",
    request: "POST /api/authorize",
    body: { ...question, context_facts: many(101) },
    status: 413,
    json: { message: "`context_facts` in the body must have at most 100 entries" },
  },
  {
    name: "a query without its calls",
    request: "POST /api/evaluate_query",
    body: { predicate: ["allow", ["a"]], constraints: {}, context_facts: [] },
    status: 400,
    json: { message: "`calls` in the body is missing, it must be a list" },
  },
  {
    name: "a query with a variable of no type",
    request: "POST /api/evaluate_query",
    body: {
      predicate: ["has_role", ["a", "b"]],
      calls: [],
      constraints: { a: { type: "User", ids: null } },
      context_facts: [],
    },
    status: 400,
    json: { message: "`constraints` in the body must say of which type `b` is" },
  },
  {
    name: "a query of too many calls",
    request: "POST /api/evaluate_query",
    body: {
      predicate: ["has_role", ["a"]],
      calls: Array.from({ length: 100 }, () => ["has_role", ["a"]]),
      constraints: { a: { type: "User", ids: null } },
      context_facts: [],
    },
    status: 413,
    json: { message: "`calls` in the body must have at most 99 entries" },
  },
  {
    name: "a query of too many variables",
    request: "POST /api/evaluate_query",
    body: {
      predicate: ["has_role", ["v0"]],
      calls: [],
      constraints: Object.fromEntries(
        Array.from({ length: 1001 }, (_, index) => [`v${index}`, { type: "User", ids: null }]),
      ),
      context_facts: [],
    },
    status: 400,
    json: { message: "`constraints` in the body must have at most 1000 entries" },
  },
  {
    name: "a made-up page token",
    request: "POST /api/list",
    body: { ...question, page_size: 10, page_token: "2" },
    status: 400,
    content: ["`page_token` is malformed"],
  },
  {
    name: "a page of nothing",
    request: "POST /api/list",
    body: { ...question, page_size: 0 },
    status: 400,
    content: ["`page_size`", "at least 1"],
  },
];

const writes: readonly Scenario[] = [
  {
    name: "a predicate that the policy doesn't use",
    request: "POST /api/batch",
    body: [{ inserts: [member, fact("owns", User("alice"), Org("acme"))] }],
    status: 400,
    content: ["owns(User, Org) is not used in policy", "declare owns(User, Org)"],
  },
  {
    name: "too few arguments",
    request: "POST /api/batch",
    body: [{ inserts: [fact("has_role", User("alice"))] }],
    status: 400,
    content: ["is not used in policy", "has_role(User, String, Org)"],
  },
  {
    name: "six arguments",
    request: "POST /api/batch",
    body: [{ inserts: [fact("has_role", ...Array.from({ length: 6 }, () => User("a")))] }],
    status: 400,
    json: { message: "`0.inserts.0.args` in the body must have 1 to 5 entries" },
  },
  {
    name: "no arguments",
    request: "POST /api/batch",
    body: [{ deletes: [fact("has_role")] }],
    status: 400,
    json: { message: "`0.deletes.0.args` in the body must have 1 to 5 entries" },
  },
  {
    name: "a wildcard to store",
    request: "POST /api/batch",
    body: [{ inserts: [role("*", "member", Org("acme"))] }],
    status: 400,
    content: ["`*`"],
  },
  {
    name: "a pattern to store",
    request: "POST /api/batch",
    body: [{ inserts: [fact("has_role", { type: "User", id: null } as never)] }],
    status: 400,
    json: { message: "`0.inserts.0.args.0.id` in the body must be a text" },
  },
  {
    name: "an id of no type to delete",
    request: "POST /api/batch",
    body: [{ deletes: [fact("has_role", { type: null, id: "alice" } as never)] }],
    status: 400,
    json: { message: "`0.deletes.0.args.0.type` in the body must say of which type this id is" },
  },
  {
    name: "inserts and deletes in one change",
    request: "POST /api/batch",
    body: [{ inserts: [member], deletes: [member] }],
    status: 400,
    content: ["`0` in the body must be either"],
  },
  {
    name: "too many entries",
    request: "POST /api/batch",
    body: [{ inserts: many(600) }, { deletes: many(401) }],
    status: 413,
    content: ["1001 entries", "at most 1000"],
  },
  {
    name: "a body past the limit of writes",
    request: "POST /api/batch",
    body: `["${"x".repeat(960 * 1024)}"]`,
    status: 413,
    content: ["983040 bytes"],
  },
  {
    name: "a policy past the limit of writes",
    request: "POST /api/policy",
    body: { src: "#".repeat(960 * 1024) },
    status: 413,
    content: ["983040 bytes"],
  },
  {
    name: "a policy that doesn't parse",
    request: "POST /api/policy",
    body: { src: 'actor User {}\nresource Org { roles = ["a" }', filename: "broken.polar" },
    status: 400,
    content: ['"error_type":"Validation"', "broken.polar:2:29", '"error_type":"ValidationFailed"'],
  },
  {
    name: "a policy whose tests fail",
    request: "POST /api/policy",
    body: { src: `${wildcardPolicy} test "nobody deletes" { assert allow(User{"alice"}, "delete", Org{"acme"}); }` },
    status: 400,
    content: [
      '"error_type":"TestsFailed"',
      '"test_results":{"success":false',
      '"name":"nobody deletes","passed":0,"total":1',
      "AssertionFailed",
    ],
  },
  {
    name: "a flag that is none",
    request: "POST /api/policy?force=yes",
    body: { src: "" },
    status: 400,
    json: { message: "`force` in the query must be `true` or `false`" },
  },
  {
    name: "a role that is none",
    request: "POST /api/keys",
    body: { name: "ci", role: "root" },
    status: 400,
    content: ["`role` in the body must be `admin`"],
  },
  {
    name: "a key that isn't there",
    request: "DELETE /api/keys/nobody",
    status: 404,
    json: { message: "there is no API key `nobody`" },
  },
  {
    name: "the last admin",
    request: "DELETE /api/keys/admin",
    status: 409,
    content: ["last key with the role `admin`"],
  },
];

const queries: readonly Scenario[] = [
  {
    name: "facts of no predicate",
    request: "GET /api/facts?",
    status: 400,
    content: ["`predicate` in the query is missing, it names the facts to read"],
  },
  {
    name: "facts of an empty predicate",
    request: "GET /api/facts?predicate=",
    status: 400,
    content: ["`predicate` in the query is missing, it names the facts to read"],
  },
  {
    name: "an id of no type",
    request: "GET /api/facts?predicate=has_role&args.0.id=alice",
    status: 400,
    content: ["`args.0.type` in the query must say"],
  },
  {
    name: "a sixth argument",
    request: "GET /api/facts?predicate=has_role&args.5.type=User",
    status: 400,
    content: ["`args.5.type`", "n from 0 to 4"],
  },
  {
    name: "a misspelt argument",
    request: "GET /api/facts?predicate=has_role&args.0.typ=User",
    status: 400,
    content: ["`args.0.typ`"],
  },
  {
    name: "a policy of no number",
    request: "GET /api/policy?id=one",
    status: 400,
    json: { message: "`id` in the query must be the number of a policy" },
  },
  {
    name: "metadata of a policy that never was",
    request: "GET /api/policy_metadata?version=99",
    status: 404,
    json: { message: "there is no policy `99`, `GET /api/policy_history` lists the versions" },
  },
];

const routes: readonly Scenario[] = [
  {
    name: "an unknown route",
    request: "GET /api/nothing",
    status: 404,
    json: { message: "there is no route `GET /api/nothing`" },
  },
  {
    name: "an unknown route without a key",
    request: "POST /nothing",
    headers: { authorization: "" },
    status: 404,
    content: ["there is no route"],
  },
  {
    name: "another method",
    request: "GET /api/authorize",
    status: 405,
    json: { message: "`/api/authorize` takes POST, OPTIONS, not GET" },
    answerHeaders: { allow: "POST, OPTIONS" },
  },
  {
    name: "another method of a route with a parameter",
    request: "PUT /api/keys/admin",
    status: 405,
    content: ["takes DELETE, OPTIONS, not PUT"],
  },
  {
    name: "what may be asked",
    request: "OPTIONS /api/facts",
    status: 200,
    answerHeaders: { allow: "GET, DELETE, POST, HEAD, OPTIONS" },
  },
  {
    name: "a bulk change without its deletions",
    request: "POST /api/bulk",
    body: { tell: [member] },
    status: 400,
    json: { message: "`delete` in the body is missing, it must be a list" },
  },
  {
    name: "a bulk change of more entries than allowed, though each list is short enough",
    request: "POST /api/bulk",
    body: { delete: new Array(501).fill(member), tell: new Array(500).fill(member) },
    status: 413,
    content: ["1001 entries, at most 1000 are allowed"],
  },
  {
    name: "more facts than allowed",
    request: "POST /api/bulk_load",
    body: new Array(1001).fill(member),
    status: 413,
    content: ["1000"],
  },
  {
    name: "a fact with an open argument",
    request: "POST /api/facts",
    body: { predicate: "has_role", args: [{ type: "User", id: null }] },
    status: 400,
    content: ["`args.0.id` in the body"],
  },
  {
    name: "a pattern with an id of no type",
    request: "POST /api/query",
    body: { fact: { predicate: "has_role", args: [{ type: null, id: "a" }] } },
    status: 400,
    json: { message: "`fact.args.0.type` in the body must say of which type this id is" },
  },
  {
    name: "many questions, one of them without a resource",
    request: "POST /api/bulk_actions",
    body: [{ actor_type: "User", actor_id: "a", resource_type: "Org" }],
    status: 400,
    content: ["`0.resource_id` in the body is missing"],
  },
  {
    name: "local authorization",
    request: "POST /api/authorize_query",
    body: {},
    status: 400,
    content: ["`query` in the body is missing"],
  },
];

const keys: readonly Scenario[] = [
  {
    name: "no key",
    request: "POST /api/authorize",
    headers: { authorization: "" },
    body: question,
    status: 401,
    content: ["Authorization: Bearer <key>"],
  },
  {
    name: "another scheme",
    request: "POST /api/authorize",
    headers: { authorization: "Basic YTpi" },
    body: question,
    status: 401,
    content: ["Bearer <key>"],
  },
  {
    name: "a key of no form",
    request: "GET /api/policy",
    headers: { authorization: "Bearer x" },
    status: 401,
    content: ["not valid here"],
  },
  {
    name: "a key with a wrong end",
    request: "GET /api/policy",
    headers: { authorization: `${admin.authorization.slice(0, -1)}0` },
    status: 401,
    answerHeaders: { "www-authenticate": "Bearer" },
    notContent: [admin.authorization.slice(-20, -1)],
  },
  {
    name: "a very long key",
    request: "GET /api/policy",
    headers: { authorization: `Bearer e_${"a_".repeat(3000)}` },
    status: 401,
  },
  { name: "metrics without a key", request: "GET /metrics", headers: { authorization: "" }, status: 401 },
  {
    name: "a body without a key is not looked at",
    request: "POST /api/batch",
    headers: { authorization: "" },
    body: "{",
    status: 401,
  },
  { name: "replication with a client's key", request: "GET /replication/v1/head", status: 401, content: ["node key"] },
];

let api: Api;
primaryForAllTests(async (primary) => {
  api = primary;
  await api.call("POST", "/api/policy", { body: { src: wildcardPolicy } });
});

const tables = { bodies, writes, queries, routes, keys };
describe.each(Object.entries(tables))("%s", (_, table) => {
  test.each(table.map((scenario) => [scenario.name, scenario] as const))("%s", async (_name, scenario) => {
    const before = api.node.health();
    await play(api, scenario);
    expect(api.node.health()).toEqual(before);
  });
});

describe("a body of another shape", () => {
  const nested = "[".repeat(100_000) + "]".repeat(100_000);
  const paths = [
    ...["authorize", "authorize_resources", "list", "actions", "bulk_actions", "evaluate_query", "query"],
    ...["batch", "facts", "bulk", "bulk_load", "bulk_delete", "policy", "keys"],
  ];
  test.each(paths)("is refused by /api/%s at any depth", async (path) => {
    for (const body of ["7", "null", '"text"', nested]) {
      const answer = await api.call("POST", `/api/${path}`, { body });
      expect([body.slice(0, 10), answer.status]).toEqual([body.slice(0, 10), 400]);
      expect(answer.text).toMatch(/in the body|the body must be/);
    }
  });
});

describe("a body of unknown length", () => {
  test("is refused as soon as it is too long, before its end", async () => {
    let sent = 0;
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        sent += 1;
        controller.enqueue(new TextEncoder().encode("[".repeat(64 * 1024)));
      },
    });
    const response = await fetch(`${api.url}/api/batch`, { method: "POST", headers: admin, body: endless });
    expect(response.status).toBe(413);
    expect(await response.json()).toMatchObject({ message: expect.stringContaining("983040 bytes") });
    expect(sent).toBeLessThan(200);
  });

  test("is read if it is short", async () => {
    const body = new Blob([JSON.stringify(question)]).stream();
    const response = await fetch(`${api.url}/api/authorize`, { method: "POST", headers: admin, body });
    expect(await response.json()).toEqual({ allowed: true });
  });
});
