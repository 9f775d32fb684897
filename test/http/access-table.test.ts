/**
 * Each operation without a key, with a wrong key, with a key that may only read, with broken JSON, with a body that is too
 * large, and with values of wrong types. `access-table.txt` has the status and the body of each response of a primary,
 * and those of an edge and of a fallback that differ. No request changes anything, and no response has internals.
 */
import { expect, test } from "bun:test";
import { must } from "../../src/util/assert.ts";
import { expectGolden } from "../golden.ts";
import { adminKey, eventually, positionOf, withCluster } from "../replication/cluster.ts";
import { apiOf, fact, Org, role, User, value, wildcardPolicy, type Answer, type Api } from "./api.ts";
import { ignoresUnknownMembers, operations, type NamedOperation } from "./documented.ts";
import { internalsIn } from "./scenario.ts";

/** So that bodies that are too large are not very large. */
const bodyBytesMax = 2 ** 20;
const flags = { "advanced.readBodyBytesMax": String(bodyBytesMax) };

const question = { actor_type: "User", actor_id: "alice", action: "read", resource_type: "Org", resource_id: "acme" };
const { resource_id: _, ...listed } = question;

const parts = { subject: User("alice"), action: { name: "read" }, resource: Org("acme") };

const bound = { data_bindings: "facts:\n  is_public(Org:_):\n    query: SELECT id FROM orgs\n" };
const builtQuery = {
  predicate: ["allow", ["actor", "action", "org"]],
  calls: [],
  constraints: {
    actor: { type: "User", ids: ["alice"] },
    action: { type: "String", ids: null },
    org: { type: "Org", ids: null },
  },
  context_facts: [],
};

/** A valid body for each operation that has one. */
const bodies: Readonly<Record<string, unknown>> = {
  authorize: question,
  authorizeResources: { ...question, resources: [Org("acme"), Org("other")] },
  list: listed,
  actions: question,
  evaluateQuery: builtQuery,
  authorizeQuery: { query: question, ...bound },
  listQuery: { query: listed, column: "orgs.id", ...bound },
  actionsQuery: { query: question, ...bound },
  evaluateQueryLocal: {
    query: builtQuery,
    mode: { mode: "filter", query_var: "org", output_column_name: "orgs.id" },
    ...bound,
  },
  putBindings: bound,
  explain: question,
  query: { fact: fact("has_role", User("alice"), value("String", "user")) },
  bulkActions: [question],
  authzenEvaluation: parts,
  authzenEvaluations: { ...parts, evaluations: [{}] },
  authzenSearchSubject: { ...parts, subject: { type: "User" } },
  authzenSearchResource: { ...parts, resource: { type: "Org" } },
  authzenSearchAction: parts,
  expect: { request_id: "unknown", expected: true },
  postFact: role("bob", "admin", Org("acme")),
  deleteFacts: role("alice", "member", Org("acme")),
  bulkLoad: [role("bob", "admin", Org("acme"))],
  bulkDelete: [role("alice", "member", Org("acme"))],
  bulk: { delete: [role("alice", "member", Org("acme"))], tell: [] },
  batch: [{ inserts: [role("bob", "admin", Org("acme"))] }, { deletes: [fact("has_role", User("alice"))] }],
  postPolicy: { src: "actor User {}" },
  validatePolicy: { src: "actor User {" },
  policyEffect: { src: "actor User {}", decisions: 0 },
  policyQuestion: { src: "actor User {}", question },
  formatPolicy: { src: "actor   User {}" },
  explainRules: { src: "actor User {}" },
  testPolicy: { src: 'actor User {} test "none" { assert allow(User{"a"}, "b", User{"c"}); }' },
  postPolicyRollback: { id: 1 },
  postKey: { name: "new", role: "admin" },
  postKeyRotation: { grace: "1h" },
  postEnvironment: { id: "other", copy_of: "test" },
  patchEnvironment: { name: "other" },
  promote: { force: true },
  postLoginToken: { code: "c", code_verifier: "v".repeat(43), redirect_uri: "https://a.example/console/", nonce: "n" },
  replayDecisions: { src: "actor User {}" },
};

/** A valid query string for each operation that requires one. */
const queries: Readonly<Record<string, string>> = { getFacts: "predicate=has_role&args.0.type=User" };

interface Attempt {
  readonly name: string;
  readonly key: string;
  readonly query: string;
  readonly id: string;
  readonly body: unknown;
}

function attemptsOf(operation: NamedOperation, readKey: string): Attempt[] {
  const { operationId, method, path, parameters = [], requestBody, security } = operation;
  const body = requestBody && must(bodies[operationId], `\`bodies\` has no body for ${operationId}`);
  const valid = { key: adminKey, query: queries[operationId] ?? "", id: "admin", body };
  const names = parameters.filter((parameter) => parameter.in === "query").map(({ name }) => name);
  if (security === undefined) return [{ ...valid, name: "no key", key: "" }];
  const hasBody = method !== "get";
  const attempts: (Attempt | false)[] = [
    { ...valid, name: "no key", key: "" },
    { ...valid, name: "wrong key", key: `${adminKey.slice(0, -1)}0` },
    { ...valid, name: "read-only key", key: readKey },
    hasBody && { ...valid, name: "malformed JSON", body: `${JSON.stringify(body ?? {}).slice(0, -1)},` },
    hasBody && { ...valid, name: "oversize", body: `"${"x".repeat(bodyBytesMax)}"` },
    requestBody !== undefined && { ...valid, name: "wrong types", body: wrongTypes(body) },
    hasBody &&
      !ignoresUnknownMembers(operation) && { ...valid, name: "unknown member", body: { ...Object(body), surplus: 1 } },
    requestBody !== undefined && { ...valid, name: "other type", body: Array.isArray(body) ? {} : [] },
    names.length > 0 && { ...valid, name: "wrong parameters", query: names.map((name) => `${name}=-1x`).join("&") },
    path.includes("{") && { ...valid, name: "wrong parameters", id: "%ff" },
  ];
  return attempts.filter((attempt) => attempt !== false);
}

/** The same members, each of another type. */
function wrongTypes(given: unknown): unknown {
  if (typeof given === "string") return 7;
  if (typeof given !== "object" || given === null) return "7";
  if (Array.isArray(given)) return given.map(wrongTypes);
  return Object.fromEntries(Object.entries(given).map(([name, member]) => [name, wrongTypes(member)]));
}

/** The rows of a node: the request, the attempt, and the response. */
async function rowsOf(api: Api, readKey: string): Promise<Map<string, string>> {
  const rows = new Map<string, string>();
  for (const operation of operations.filter((each) => !each["x-development"]))
    for (const { name, key, query, id, body } of attemptsOf(operation, readKey)) {
      const method = operation.method.toUpperCase();
      const path = operation.path.replace(/\{\w+\}/, id) + (query === "" ? "" : `?${query}`);
      const before = positionOf(api.node);
      const answer = await api.call(method, path, {
        headers: { authorization: key && `Bearer ${key}`, "content-type": "application/json" },
        body,
      });
      const row = `${method} ${operation.path}: ${name}`;
      expect([row, positionOf(api.node), internalsIn(answer.text)]).toEqual([row, before, undefined]);
      rows.set(row, `${answer.status} ${shown(operation, answer)}`);
    }
  return rows;
}

const shownMax = 200;

/** The beginning of the body. Only the type of those that differ in each run, and have tests of their own. */
function shown({ security, operationId }: NamedOperation, { status, headers, text }: Answer): string {
  const type = headers.get("content-type") ?? "";
  const differs =
    security === undefined || ["getEvents", "actionsQuery", "getMetricsHistory", "getNodes"].includes(operationId);
  if (type !== "application/json" || (status < 300 && differs)) return `<${type}>`;
  const stable = text.replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "TIME").replaceAll(/"[0-9a-f]{12}"/g, '"KEY"');
  return stable.length > shownMax ? `${stable.slice(0, shownMax)}…` : stable;
}

test(
  "each operation refuses what it has to refuse, changes nothing, and says so in the same words",
  () =>
    withCluster(async (cluster) => {
      const running = await cluster.primary();
      const primary = apiOf(running);
      await primary.call("POST", "/api/policy", { body: { src: wildcardPolicy } });
      const inserts = [role("alice", "member", Org("acme")), fact("has_role", User("alice"), value("String", "user"))];
      await primary.call("POST", "/api/batch", { body: [{ inserts }] });
      const made = await primary.call("POST", "/api/keys", { body: { name: "reader", role: "read" } });
      const { token } = made.json as { readonly token: string };
      const edge = apiOf(await cluster.edge("edge", running));
      const fallback = apiOf(await cluster.fallback(running, { refresh: "1h" }));
      for (const { node } of [edge, fallback])
        await eventually(() => expect(positionOf(node)).toEqual(positionOf(primary.node)));

      const rows = await rowsOf(primary, token);
      const lines = [...rows].map(([row, response]) => `${row}\n  ${response}`);
      for (const [name, api] of Object.entries({ edge, fallback })) {
        const different = [...(await rowsOf(api, token))].filter(([row, response]) => rows.get(row) !== response);
        for (const [response, same] of Map.groupBy(different, ([, each]) => each))
          lines.push(`# ${name}: ${response}`, ...same.map(([row]) => row));
      }
      expectGolden(new URL("access-table.txt", import.meta.url).pathname, `${lines.join("\n")}\n`);
    }, flags),
  120_000,
);
