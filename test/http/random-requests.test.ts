/**
 * Random requests that are made from the OpenAPI document, valid and nearly valid, against a primary, an edge and a
 * fallback. Each response is as the document says, a body that its schema refuses is refused, and no request fails
 * inside the node. `RANDOM_REQUESTS` sets their number for the primary, and `FUZZ_SEED` the only seed.
 */
import { expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { below, pick, random, type Random } from "../../scripts/benchmark/random.ts";
import { configSchema } from "../../src/config/config.ts";
import { defaultLimits } from "../../src/config/limits.ts";
import { DecisionLog } from "../../src/decisions/decision-log.ts";
import { createApp } from "../../src/features/app.ts";
import type { Node } from "../../src/replication/node.ts";
import { seedsOf } from "../seeds.ts";
import { adminKey, eventually, withCluster } from "../replication/cluster.ts";
import { apiOf, fact, Org, Repo, role, User, wildcardPolicy } from "./api.ts";
import { matchesRequest, operations, refusedParameters, undocumentedIn, type NamedOperation } from "./documented.ts";
import { generateRequest, type Vocabulary } from "./generate-request.ts";
import { internalsIn } from "./scenario.ts";

const seeds = seedsOf(20_261);
const count = Math.ceil(Number(process.env["RANDOM_REQUESTS"] ?? 1000) / seeds.length);
const lanes = 16;
/** How often the first request of an operation is repeated while the node is too busy for it. */
const repeatsMax = 50;
/** Requests with tokens that a node does not reach should not wait for long. */
const flags = { "advanced.consistencyWait": "20ms" };

const tried = operations.filter((operation) => !operation["x-development"]);

/** Operations that cannot succeed on these nodes. */
const unsuccessful = [
  ...["authzenConfiguration", "authzenConfigurationWithPath", "getLogin", "postLoginToken"],
  // They have one environment.
  ...["getEnvironments", "postEnvironment", "patchEnvironment", "deleteEnvironment", "restoreEnvironment"],
  ...["abandonEnvironment", "postEnvironmentKey"],
  // They have no directory with backups.
  "getBackups",
  "promote",
  // Their paths name an event and a trace.
  ...["getEventApplied", "getTrace"],
];

/**
 * How often an operation is asked; 100 if it is not named. These take long, or delete what the others ask for. Half of
 * the valid policies have errors: with a weight of 6, of 10,000 requests about a dozen are valid ones that check them.
 */
const weights: Readonly<Record<string, number>> = {
  getBackup: 0,
  getBackups: 10,
  getEnvironments: 10,
  postEnvironment: 10,
  patchEnvironment: 10,
  deleteEnvironment: 10,
  restoreEnvironment: 10,
  getMetrics: 2,
  getNodes: 10,
  getEventApplied: 10,
  getTrace: 10,
  getOpenApi: 2,
  clearData: 2,
  batch: 50,
  bulk: 10,
  bulkLoad: 10,
  bulkDelete: 10,
  postFact: 20,
  deleteFacts: 10,
  postPolicyRollback: 10,
  authzenConfiguration: 10,
  authzenConfigurationWithPath: 10,
  postKey: 30,
  deleteKey: 20,
  previewPromotion: 20,
  putBindings: 10,
  deleteBindings: 5,
  promote: 20,
  healthcheck: 30,
  apiHealthcheck: 30,
  ready: 30,
  live: 30,
  postPolicy: 8,
  validatePolicy: 6,
  testPolicy: 6,
  explain: 6,
  getDecisions: 30,
  explainDecision: 20,
  replayDecisions: 6,
};

const testedPolicy = `${wildcardPolicy} test "owners" { setup { has_role(User{"a"}, "admin", Org{"acme"}); } assert allow(User{"a"}, "delete", Org{"acme"}); }`;

const facts = [
  role("alice", "member", Org("acme")),
  role("bob", "admin", Repo("anvil")),
  fact("has_role", User("eve"), { type: "String", id: "user" }),
  fact("has_relation", Repo("anvil"), { type: "String", id: "parent" }, Org("acme")),
];

const bindings = "facts:\n  has_relation(Repo:_, parent, Org:_):\n    query: SELECT id, org FROM repos\n";

const samples: Vocabulary["samples"] = { FactInput: facts, ContextFact: facts, FactPattern: facts };

/** The words of valid requests. `keyIds` are those of keys that may be removed. */
function wordsOf(
  next: Random,
  { operationId }: NamedOperation,
  { tokens, keyIds, decisionIds }: Seen,
): Vocabulary["words"] {
  const ids = ["alice", "bob", "eve", "acme", "anvil", "member", "admin", "parent", "*", "1"];
  const types = ["User", "User", "Org", "Repo", "String", "Field", "Nothing", "Actor"];
  const predicates = ["has_role", "has_role", "has_relation", "has_permission", "allow", "allow_field", "nothing"];
  const argument = (part: readonly string[]) =>
    Object.fromEntries([0, 1, 2, 3, 4].flatMap((index) => [[`args.${index}.type`, part] as const]));
  return {
    ...argument(types),
    ...Object.fromEntries([0, 1, 2, 3, 4].map((index) => [`args.${index}.id`, ids])),
    actor_type: ["User"],
    actor_id: ["alice", "bob", "eve"],
    action: ["read", "write", "delete", "frob"],
    resource_type: ["Org", "Repo", "Field", "Nothing"],
    resource_id: ["acme", "anvil", "*"],
    type: types,
    id: ids,
    "{id}": operationId === "explainDecision" ? ["00000000-1", ...decisionIds] : ["nobody", ...keyIds],
    ids,
    predicate: predicates,
    "{name}": ["shop", "blog"],
    data_bindings: [bindings, bindings, "facts: 1"],
    data_bindings_name: ["shop", "blog"],
    column: ["repos.id", "id", "id; --"],
    output_column_name: ["repos.id"],
    query_var: ["a", "b", "c"],
    a: ["a1"],
    b: ["b1"],
    c: ["c1"],
    variable: ["a", "b", "c"],
    src: [
      wildcardPolicy,
      testedPolicy,
      "actor User {",
      `${wildcardPolicy} test "no" { assert allow(User{"a"}, "x", Org{"b"}); }`,
    ],
    filename: ["policy.polar", ""],
    name: ["read", "write", "delete"],
    message: ["why", ""],
    request_id: ["1", "2", "3"],
    page_size: ["1", "50"],
    token: tokens,
    "contains.type": types,
    "contains.id": ids,
    page_token: tokens,
    after: { getParity: ["mismatch.0", "pending.7"], getDecisions: decisionIds }[operationId] ?? ["0", "1", "5"],
    limit: ["1", "50"],
    since: ["2020-01-01T00:00:00Z"],
    until: ["2999-01-01T00:00:00+01:00"],
    key: ["admin"],
    trace_id: ["0".repeat(32)],
    policy: ["1"],
    version: ["1", "2"],
    OsoOffset: [pick(next, tokens), "0123456789abcdef:1", "1"],
  };
}

/** What earlier responses contain, and later requests send. */
interface Seen {
  readonly tokens: string[];
  readonly keyIds: string[];
  readonly decisionIds: string[];
}

interface Outcome {
  readonly operation: NamedOperation;
  readonly isValid: boolean;
  readonly status: number;
}

/** Sends `requests` for each seed to a node of this process, which logs its decisions in `data`. Returns the outcomes by seed. */
async function attack(
  node: Node,
  requests: number,
  keys: readonly string[],
  data: string,
): Promise<ReadonlyMap<number, readonly Outcome[]>> {
  mkdirSync(data);
  const logging = configSchema.shape.decisions.parse({ log: "all" });
  const decisions = new DecisionLog({ decisions: logging, limits: defaultLimits, data });
  const app = createApp(node, defaultLimits, { decisions });
  const outcomes = new Map<number, readonly Outcome[]>();
  for (const seed of seeds) outcomes.set(seed, await attackApp(app, requests, keys, random(seed)));
  app.close();
  await decisions.close();
  return outcomes;
}

async function attackApp(
  app: Pick<ReturnType<typeof createApp>, "fetch">,
  requests: number,
  keys: readonly string[],
  next: Random,
): Promise<readonly Outcome[]> {
  const seen: Seen = { tokens: [""], keyIds: [], decisionIds: ["00000000-1"] };
  const outcomes: Outcome[] = [];
  const weighted = tried.flatMap((operation) => {
    return Array.from({ length: weights[operation.operationId] ?? 100 }, () => operation);
  });
  const first = tried.values();
  const lane = async (): Promise<void> => {
    while (outcomes.length + lanes <= requests) {
      // Each operation is asked validly once.
      const unasked = first.next().value;
      const operation = unasked ?? pick(next, weighted);
      let outcome = await sendOne(app, operation, unasked !== undefined || next() < 0.5, keys, next, seen);
      for (let again = 0; unasked !== undefined && isBusy(outcome) && again < repeatsMax; again++)
        outcome = await sendOne(app, operation, true, keys, next, seen);
      outcomes.push(outcome);
      // As between requests on sockets, timers run.
      await setImmediate();
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return outcomes;
}

async function sendOne(
  app: Pick<ReturnType<typeof createApp>, "fetch">,
  operation: NamedOperation,
  isValid: boolean,
  keys: readonly string[],
  next: Random,
  seen: Seen,
): Promise<Outcome> {
  const vocabulary = { words: wordsOf(next, operation, seen), samples };
  const { path, headers, body } = generateRequest(next, operation, vocabulary, isValid);
  const key = isValid ? adminKey : pick(next, [...Array.from({ length: 8 }, () => adminKey), ...keys, ""]);
  const accept =
    ["getEvents", "getDecisions"].includes(operation.operationId) && next() < 0.1
      ? "text/event-stream"
      : "application/json";
  const sent = {
    ...headers,
    Accept: accept,
    "Content-Type": "application/json",
    ...(key !== "" && { Authorization: `Bearer ${key}` }),
  };
  const length = body === undefined ? undefined : String(Buffer.byteLength(body));
  const request = new Request(`http://node.test${path}`, {
    method: operation.method.toUpperCase(),
    headers: { ...sent, ...(length !== undefined && { "Content-Length": length }) },
    ...(body !== undefined && { body }),
  });
  const response = await app.fetch(request);
  const { status } = response;
  const type = response.headers.get("content-type") ?? "";
  const text =
    type === "text/event-stream" || type === "application/zstd" ? await skipped(response) : await response.text();
  const shown = `${operation.method} ${path.slice(0, 300)} ${body?.slice(0, 600)} (key ${key.slice(0, 20)})`;
  const problems = [
    undocumentedIn(operation, { status, type, text }),
    status >= 500 && status !== 503 ? `answered ${status}: ${text}` : undefined,
    internalsIn(text),
    status < 300 && body !== undefined && !matchesRequest(operation, JSON.parse(body.replace("\uFEFF", "")))
      ? `accepted a body that the document refuses, with ${status} ${text.slice(0, 200)}`
      : undefined,
    status < 300 && refusedParameters(operation, request).length > 0
      ? `accepted parameters that the document refuses: ${refusedParameters(operation, request).join(", ")}`
      : undefined,
  ].filter((problem) => problem !== undefined);
  expect({ shown, problems }).toEqual({ shown, problems: [] });
  remember(seen, operation, text);
  return { operation, isValid, status };
}

function isBusy({ status }: Outcome): boolean {
  return status === 429 || status === 503;
}

async function skipped(response: Response): Promise<string> {
  await response.body?.cancel();
  return "";
}

function remember({ tokens, keyIds, decisionIds }: Seen, { operationId }: NamedOperation, text: string): void {
  if (operationId === "getDecisions" && text.startsWith('{"decisions"')) {
    const { decisions } = JSON.parse(text) as { decisions: readonly { id: string }[] };
    decisionIds.push(...decisions.slice(0, 3).map(({ id }) => id));
    decisionIds.splice(0, decisionIds.length - 20);
  }
  if (operationId !== "list" && operationId !== "postKey") return;
  const { next_page_token: token, id } = JSON.parse(text) as { next_page_token?: string | null; id?: string };
  if (typeof token === "string") tokens[below(() => tokens.length / 20, 10)] = token;
  if (id !== undefined) keyIds.push(id);
  if (tokens.length > 10) tokens.shift();
}

test(
  `${count} requests with each of the seeds ${seeds.join(" and ")}`,
  () =>
    withCluster(async (cluster) => {
      const running = await cluster.primary();
      const api = apiOf(running);
      await api.call("POST", "/api/policy", { body: { src: wildcardPolicy } });
      await api.call("POST", "/api/batch", { body: [{ inserts: facts }] });
      const made = await api.call("POST", "/api/keys", { body: { name: "reader", role: "read" } });
      const keys = ["e_test_admin_0000", (made.json as { token: string }).token];
      const edge = await cluster.edge("edge", running);
      const fallback = await cluster.fallback(running, { refresh: "1h" });
      await eventually(() => expect([edge.node.health().ok, fallback.node.health().ok]).toEqual([true, true]));

      const all: ReadonlyMap<number, readonly Outcome[]>[] = [];
      for (const [each, requests] of [
        [running, count],
        [edge, count / 20],
        [fallback, count / 20],
      ] as const)
        all.push(await attack(each.node, requests, keys, join(each.data, "attacked")));

      for (const seed of seeds) {
        const outcomes = all.flatMap((bySeed) => bySeed.get(seed) ?? []);
        // How many are refused because the node is busy depends on the machine.
        const valid = outcomes.filter(
          (outcome) => outcome.isValid && outcome.operation.security !== undefined && !isBusy(outcome),
        );
        const share = (some: readonly Outcome[]): number =>
          some.filter(({ status }) => status < 300).length / some.length;
        const byStatus = Object.entries(Object.groupBy(outcomes, ({ status }) => status)).map(
          ([status, all]) => `${status}: ${all?.length}`,
        );
        console.log(`seed ${seed}, ${outcomes.length} requests, ${byStatus.join(", ")}`);
        // Requests that test nothing must be rare. A busy node may have refused all that would have succeeded.
        const named = (some: readonly Outcome[]): readonly string[] =>
          tried
            .map(({ operationId }) => operationId)
            .filter((id) => some.some((each) => each.operation.operationId === id));
        const successful = named(outcomes.filter(({ status }) => status < 300));
        const asked = ({ operationId }: NamedOperation): boolean => weights[operationId] !== 0;
        const useful = new Set([...successful, ...named(outcomes.filter(isBusy)), ...unsuccessful]);
        if (count >= 10_000) {
          // One that each node is asked only once can fail on all of them.
          const names = tried.filter(asked).map(({ operationId }) => operationId);
          expect(names.filter((id) => !useful.has(id))).toEqual([]);
          expect(successful.filter((id) => unsuccessful.includes(id))).toEqual([]);
        }
        const slack = 2 / Math.sqrt(count);
        expect(share(valid)).toBeGreaterThan(0.6 - slack);
        expect(share(outcomes.filter(({ isValid }) => !isValid))).toBeLessThan(0.5 + slack);
      }
      for (const { node } of [running, edge, fallback]) expect(node.health().ok).toBe(true);
    }, flags),
  600_000,
);
