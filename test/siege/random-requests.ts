/**
 * Random requests without a key, with a read key and with a write key: valid ones, nearly valid ones, and bytes that are
 * hardly HTTP. Requests with a write key must not change data of honest clients: inserted facts are about resources of
 * the attack, deletes name such facts exactly and are never mutated, and no request with a write key goes to the route
 * that deletes all facts.
 */
import { pick, type Random } from "../../scripts/benchmark/random.ts";
import { requestHead } from "../hostile/raw-http.ts";
import { nodeNames, type AttackContext, type Keys, type NodeName } from "./attack.ts";
import { sendAndCount } from "./connection-attacks.ts";

const workersPerNode = 5;
const shareOfTime = 0.6;

export async function randomRequests(context: AttackContext): Promise<void> {
  const { requests, seconds } = context.plan;
  const startMs = performance.now();
  // In less than the available time, so that delayed requests can still be sent.
  const perMs = requests / (seconds * 1000 * shareOfTime);
  let sent = 0;
  const work = async (node: NodeName): Promise<void> => {
    while (!context.isOver && sent < requests) {
      const dueMs = startMs + sent++ / perMs;
      if (dueMs > performance.now()) await context.pause(dueMs - performance.now());
      await sendRandom(context, node);
      context.count("requests");
    }
  };
  await Promise.all(nodeNames.flatMap((name) => Array.from({ length: workersPerNode }, () => work(name))));
}

async function sendRandom(context: AttackContext, node: NodeName): Promise<void> {
  const request = randomRequest(context.random, context.plan.keys);
  if (request.kind === "bytes") return sendAndCount(context, request.bytes);
  const { kind: _, ...asked } = request;
  await context.ask(node, asked);
}

export type RandomRequest =
  | {
      readonly kind: "request";
      readonly method: string;
      readonly path: string;
      readonly key: string | undefined;
      readonly body?: string;
    }
  | { readonly kind: "bytes"; readonly bytes: Uint8Array };

export function randomRequest(next: Random, keys: Pick<Keys, "read" | "write">): RandomRequest {
  const anonymous = "";
  const key = pick(next, [anonymous, "x", keys.read, keys.read, keys.write, keys.write]) || undefined;
  const safeKey = (path: string): string | undefined => (key === keys.write && clears(path) ? keys.read : key);
  const luck = next();
  if (luck >= 0.85) return { kind: "bytes", bytes: fuzzed(next, safeKey) };
  const request = validRequest(next, key === keys.write);
  const isMutated = luck > 0.55 && request.mayChange;
  const path = isMutated && next() < 0.3 ? mutatePath(next, request.path) : request.path;
  const body = request.body === undefined ? {} : { body: isMutated ? mutate(next, request.body) : request.body };
  return { kind: "request", method: request.method, path, key: safeKey(path), ...body };
}

/** Whether a path can be the route that deletes all facts, which gets no write key. */
export function clears(path: string): boolean {
  try {
    return /clear/i.test(decodeURIComponent(path));
  } catch {
    return /clear/i.test(path);
  }
}

interface Candidate {
  readonly method: string;
  readonly path: string;
  readonly body?: string;
  /** Whether a mutation of it cannot harm honest clients. */
  readonly mayChange: boolean;
}

function validRequest(next: Random, mayWrite: boolean): Candidate {
  const actor = { actor_type: "User", actor_id: `user-${Math.floor(next() * 2000)}` };
  const resource = { resource_type: "Repository", resource_id: `repository-${Math.floor(next() * 4000)}` };
  const post = (path: string, body: unknown): Candidate => ({
    method: "POST",
    path,
    body: JSON.stringify(body),
    mayChange: true,
  });
  const get = (path: string): Candidate => ({ method: "GET", path, mayChange: true });
  const action = pick(next, ["read", "write", "delete"]);
  const choices: readonly (() => Candidate)[] = [
    () => post("/api/authorize", { ...actor, action, ...resource, context_facts: [] }),
    () => post("/api/authorize", { ...actor, action, ...resource, context_facts: [noise(next)] }),
    () => post("/api/actions", { ...actor, ...resource, context_facts: [] }),
    () => post("/api/list", { ...actor, action, resource_type: "Repository", context_facts: [], page_size: 50 }),
    () => post("/api/authorize_resources", { ...actor, action, resources: [value(next)], context_facts: [] }),
    () =>
      post("/api/bulk_actions", [
        { ...actor, ...resource, context_facts: [noise(next)] },
        { ...actor, ...resource },
      ]),
    () => post("/api/evaluate_query", oneCall(actor.actor_id)),
    () => post("/api/query", { fact: openPattern(actor.actor_id), context_facts: [noise(next)] }),
    () => get(`/api/facts?predicate=has_role&args.0.type=User&args.0.id=${actor.actor_id}`),
    () => get(`/api/events?limit=${1 + Math.floor(next() * 20)}`),
    () => get(pick(next, ["/healthcheck", "/readyz", "/metrics", "/api/policy_metadata", "/api/keys", "/nothing"])),
    () => get(pick(next, ["/api/stats", "/api/autocomplete_info"])),
    () =>
      next() < 0.1 ? post("/api/explain", { ...actor, action, ...resource, context_facts: [] }) : get("/api/policy"),
    () => (mayWrite ? batch(next) : post("/api/batch", [{ inserts: [noise(next)] }])),
  ];
  return pick(next, choices)();
}

const value = (next: Random) => ({ type: "Repository", id: `noise-${Math.floor(next() * 500)}` });

const noise = (next: Random) => ({
  predicate: "has_role",
  args: [{ type: "User", id: `noise-${Math.floor(next() * 500)}` }, { type: "String", id: "reader" }, value(next)],
});

function batch(next: Random): Candidate {
  const isDelete = next() < 0.4;
  const changes = Array.from({ length: 1 + Math.floor(next() * 5) }, () => noise(next));
  const body = JSON.stringify([isDelete ? { deletes: changes } : { inserts: changes }]);
  return { method: "POST", path: "/api/batch", body, mayChange: !isDelete };
}

function openPattern(user: string) {
  return {
    predicate: "has_role",
    args: [
      { type: "User", id: user },
      { type: null, id: null },
      { type: null, id: null },
    ],
  };
}

function oneCall(user: string) {
  return {
    predicate: ["has_role", ["user", "role", "where"]],
    calls: [],
    constraints: {
      user: { type: "User", ids: [user] },
      role: { type: "String", ids: null },
      where: { type: "Repository", ids: null },
    },
    context_facts: [],
  };
}

const strangeJson = ["null", "0", "-1", "1e999", "true", '""', "[]", "{}", '"\\ud800"', '"\\u0000"', '{"__proto__":1}'];
const strangeTexts = ["", "\u0000", "*", "%", "'", "../", "🙂", "\u202e", "x".repeat(600)];

/** Replaces, repeats or removes a piece of JSON text. Never makes a delete of an insert. */
function mutate(next: Random, body: string): string {
  const at = Math.floor(next() * body.length);
  const end = Math.min(body.length, at + Math.floor(next() * 20));
  switch (Math.floor(next() * 6)) {
    case 0:
      return body.slice(0, at);
    case 1:
      return body.slice(0, at) + body.slice(end);
    case 2:
      return body.slice(0, end) + body.slice(at);
    case 3:
      return body.replace(/"[^"]*"/, () => pick(next, strangeJson));
    case 4:
      return body.replace(/:("[^"]*"|\[[^\]]*\])/, () => `:${pick(next, strangeJson)}`);
    default:
      return body.replace(/"id":"[^"]*"/, () => `"id":${JSON.stringify(pick(next, strangeTexts))}`);
  }
}

function mutatePath(next: Random, path: string): string {
  const at = 1 + Math.floor(next() * path.length);
  const piece = pick(next, ["%00", "%2f", "//", "?", "#", "%ff", "..", "a", "&x=", ";"]);
  return path.slice(0, at) + piece + path.slice(at);
}

const methods = [
  "GET",
  "POST",
  "PUT",
  "DELETE",
  "HEAD",
  "OPTIONS",
  "PATCH",
  "TRACE",
  "CONNECT",
  "PROPFIND",
  "get",
  "X",
];
const paths = [
  "/api/authorize",
  "/api/batch",
  "/api/facts",
  "/api/events",
  "/api/keys/x",
  "/api/policy",
  "/api/backup",
  "/api/promote",
  "/replication/v1/head",
  "/replication/v1/log",
  "/replication/v1/snapshot",
  "/replication/v1/pledge",
  "/mqtt",
  "/healthcheck",
  "*",
  "http://a@b/api/facts",
];

/** Bytes that resemble a request. */
function fuzzed(next: Random, keyFor: (path: string) => string | undefined): Uint8Array {
  const path = next() < 0.3 ? mutatePath(next, pick(next, paths)) : pick(next, paths);
  const key = keyFor(path);
  const headers: Record<string, string> = key === undefined ? {} : { Authorization: `Bearer ${key}` };
  const extra: readonly (() => [string, string])[] = [
    () => ["Host", pick(next, ["", "[", "a@b", "a b", "x:99999", "é"])],
    () => ["Content-Length", pick(next, ["0", "5", "-1", "99999999999", "5, 5", "0x5"])],
    () => ["Transfer-Encoding", pick(next, ["chunked", "chunked, chunked", "gzip", "\u000bchunked"])],
    () => ["Accept", pick(next, ["text/event-stream", "*/*;q=9", "x".repeat(2000)])],
    () => ["Authorization", pick(next, ["Bearer", "Basic eA==", "Bearer  x", `Bearer ${"e_".repeat(500)}`])],
    () => ["OsoOffset", pick(next, ["x", "0:0", "ffffffffffffffff:1", "9".repeat(40)])],
    () => ["traceparent", pick(next, ["00-0-0-0", "x", `00-${"a".repeat(32)}-${"b".repeat(16)}-ff`])],
    () => ["Last-Event-ID", pick(next, ["-1", "x", "0000000000000000:0"])],
    () => ["X-Request-ID", pick(next, ["\u0001", "x".repeat(4000), "a\tb"])],
    () => ["Upgrade", pick(next, ["websocket", "h2c", ""])],
  ];
  for (let count = Math.floor(next() * 4); count > 0; count--) {
    const [name, text] = pick(next, extra)();
    // Without another `Authorization`, which would replace the safe one.
    if (name !== "Authorization" || key === undefined) headers[name] = text;
  }
  const head = requestHead({ method: pick(next, methods), path, headers });
  const bytes = Buffer.from(head + pick(next, ["", "", "{}", "[]", "5\r\n{}\r\n0\r\n\r\n", "\u0000\u0001"]), "latin1");
  if (next() < 0.2) bytes[Math.floor(next() * bytes.length)] = Math.floor(next() * 256);
  return next() < 0.05 ? bytes.subarray(0, Math.floor(next() * bytes.length)) : bytes;
}
