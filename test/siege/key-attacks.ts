/** Attacks by clients with a key: expensive bodies, unread responses, expensive queries, many event streams. */
import { holdConnections, requestHead } from "../hostile/raw-http.ts";
import { nodeNames, repeatedly, type AttackContext } from "./attack.ts";

/** Bodies of 10 MB with only wrong elements, three at a time. */
export async function bodiesFullOfErrors(context: AttackContext): Promise<void> {
  const bodies = [errorsInArguments(), errorsInFacts(), errorsInConstraints()];
  let sent = 0;
  await repeatedly(context, 3, async () => {
    const index = sent++;
    const [path, body] = bodies[index % bodies.length] ?? ["", ""];
    await context.ask(nodeNames[index % nodeNames.length] ?? "primary", {
      path,
      body,
      key: context.plan.keys.read,
      timeoutMs: 30_000,
    });
    await context.pause(100);
  });
}

const megabyte = 1_000_000;

function errorsInArguments(): [string, string] {
  const args = `[${"0,".repeat(4.9 * megabyte)}0]`;
  const question = `{"actor_type":"User","actor_id":"a","action":"read","resource_type":"Repository","resource_id":"b"`;
  return ["/api/authorize", `${question},"context_facts":[{"predicate":"has_role","args":${args}}]}`];
}

function errorsInFacts(): [string, string] {
  const facts = `[${"0,".repeat(4.9 * megabyte)}0]`;
  return [
    "/api/evaluate_query",
    `{"predicate":["has_role",["a"]],"calls":[],"constraints":{},"context_facts":${facts}}`,
  ];
}

function errorsInConstraints(): [string, string] {
  const entries = Array.from({ length: 400_000 }, (_, index) => `"v${index}":{"type":0}`).join(",");
  return [
    "/api/evaluate_query",
    `{"predicate":["has_role",["a"]],"calls":[],"constraints":{${entries}},"context_facts":[]}`,
  ];
}

/** Large responses that are not read: facts, lists, pages of events. */
export async function unreadAnswers(context: AttackContext): Promise<void> {
  const { read } = context.plan.keys;
  const authorization = { Authorization: `Bearer ${read}` };
  const list = JSON.stringify({
    actor_type: "User",
    actor_id: "siege-reader",
    action: "read",
    resource_type: "Repository",
    context_facts: [],
  });
  const requests = [
    requestHead({ path: "/api/facts?predicate=has_role", headers: authorization }),
    requestHead({ path: "/api/facts?predicate=has_relation", headers: authorization }),
    requestHead({ path: "/api/events?limit=1000", headers: authorization }),
    requestHead({
      method: "POST",
      path: "/api/list",
      headers: { ...authorization, "Content-Length": String(list.length) },
    }) + list,
  ];
  while (!context.isOver) {
    const held = await Promise.all(
      nodeNames.map((name) =>
        holdConnections(context.url(name), {
          count: context.scaled(40),
          first: (index) => requests[index % requests.length] ?? "",
          signal: context.signal,
          timeoutMs: 2000,
        }),
      ),
    );
    for (const { connections } of held) {
      connections.forEach((connection) => connection.stopReading());
      context.count("answers asked for and not read", connections.length);
    }
    await context.pause(Math.min(10_000, context.plan.seconds * 800));
    held.forEach((connections) => connections.close());
  }
}

/** Queries with up to 100 joined calls: some need long planning, others many intermediate rows. */
export async function callChains(context: AttackContext): Promise<void> {
  const makers = [relationTree, relationChain, accessOfEverybody];
  let sent = 0;
  await repeatedly(context, context.scaled(6), async () => {
    const index = sent++;
    // Consecutive queries have different shapes, because a cached plan costs nothing.
    const body = (makers[index % makers.length] ?? relationTree)(context, 80 + context.below(20));
    const node = nodeNames[Math.floor(index / makers.length) % nodeNames.length] ?? "primary";
    await context.ask(node, { path: "/api/evaluate_query", key: context.plan.keys.read, body, timeoutMs: 30_000 });
    await context.pause(50);
  });
}

const folders = (count: number) => ({
  parent: { type: "String", ids: ["parent"] },
  ...Object.fromEntries(Array.from({ length: count + 1 }, (_, index) => [`v${index}`, { type: "Folder", ids: null }])),
});

function relationChain(_: AttackContext, count: number): string {
  const calls = Array.from({ length: count }, (_, index) => ["has_relation", [`v${index}`, "parent", `v${index + 1}`]]);
  return query(calls, folders(count));
}

/** The parent of each folder is a random earlier one. */
function relationTree(context: AttackContext, count: number): string {
  const calls = Array.from({ length: count }, (_, index) => [
    "has_relation",
    [`v${index + 1}`, "parent", `v${context.below(index + 1)}`],
  ]);
  return query(calls, folders(count));
}

function accessOfEverybody(context: AttackContext, count: number): string {
  const resources = context.below(2) === 0 ? 3 : count;
  const calls = Array.from({ length: resources }, (_, index) => ["allow", ["user", "action", `v${index}`]]);
  const types = {
    user: { type: "User", ids: null },
    action: { type: "String", ids: null },
    ...Object.fromEntries(calls.map((_, index) => [`v${index}`, { type: "Repository", ids: null }])),
  };
  return query(calls, types);
}

function query(calls: readonly unknown[], constraints: unknown): string {
  const [predicate, ...others] = calls;
  return JSON.stringify({ predicate, calls: others, constraints, context_facts: [] });
}

/** With one key more event streams than allowed on all nodes, and many pages of events. */
export async function eventStreams(context: AttackContext): Promise<void> {
  const headers = { Authorization: `Bearer ${context.plan.keys.read}` };
  const stream = requestHead({ path: "/api/events?after=0", headers: { ...headers, Accept: "text/event-stream" } });
  const options = { count: context.scaled(250), signal: context.signal, timeoutMs: 2000 };
  const held = await Promise.all(
    nodeNames.map((name) => holdConnections(context.url(name), { ...options, first: stream })),
  );
  held.forEach(({ connections }) => context.count("streams asked for", connections.length));
  // Every second one reads nothing.
  for (const { connections } of held)
    connections.forEach((connection, index) => index % 2 === 0 && connection.stopReading());
  let sent = 0;
  await repeatedly(context, context.scaled(12), async () => {
    const node = nodeNames[sent++ % nodeNames.length] ?? "primary";
    await context.ask(node, { method: "GET", path: "/api/events?limit=1000", key: context.plan.keys.read });
    await context.pause(20);
  });
  held.forEach((connections) => connections.close());
}
