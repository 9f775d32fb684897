/**
 * The traces that nodes keep in memory, read without a collector: a write across all nodes, a decision, a node that does
 * not answer, and environments, which never see spans of each other.
 */
import { expect, test } from "bun:test";
import { randomHex, type NodeProcess } from "../../scripts/node-process.ts";
import { eventually, scenarioTimeoutMs, withCluster } from "./cluster.ts";

interface Span {
  readonly node: string;
  readonly id: string;
  readonly parent: string | null;
  readonly name: string;
}

interface Trace {
  readonly nodes: readonly { readonly node: string; readonly answered: boolean }[];
  readonly spans: readonly Span[];
  readonly external_url?: string;
}

interface Traces {
  readonly traces: readonly { readonly id: string; readonly name: string; readonly duration_ms: number }[];
  readonly segments: readonly { readonly name: string; readonly count: number; readonly p50_ms: number }[];
}

const fact = {
  predicate: "has_role",
  args: [value("User", "tess"), value("String", "reader"), value("Repository", "kernel")],
};
const environment = { OSTIARY_TRACE_RECENT_PER_SECOND: "1000", OSTIARY_TRACE_URL: "https://traces.example/{traceId}" };

function value(type: string, id: string) {
  return { type, id };
}

async function call(node: NodeProcess, key: string, method: string, path: string, body?: unknown, traceId?: string) {
  const response = await fetch(node.url + path, {
    method,
    headers: {
      Authorization: `Bearer ${key}`,
      "Content-Type": "application/json",
      ...(traceId !== undefined && { traceparent: `00-${traceId}-${randomHex(8)}-01` }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return { status: response.status, json: (await response.json()) as unknown };
}

async function traceAt(node: NodeProcess, key: string, id: string): Promise<Trace | undefined> {
  const { status, json } = await call(node, key, "GET", `/api/traces/${id}`);
  return status === 200 ? (json as Trace) : undefined;
}

const namesOf = (trace: Trace | undefined, node: string): string[] =>
  (trace?.spans ?? []).filter((span) => span.node === node).map(({ name }) => name);

test(
  "every node shows the whole trace of a write, and of a decision its own phases",
  () =>
    withCluster(
      { broker: "mosquitto", fallback: true, environment },
      async ({ primary, edges, fallback, adminKey }) => {
        const [edge, other] = edges as [NodeProcess, NodeProcess];
        const id = randomHex(16);
        expect((await call(edge, adminKey, "POST", "/api/batch", [{ inserts: [fact] }], id)).status).toBe(200);
        for (const node of [primary, edge, other, fallback])
          await eventually(async () => {
            const trace = await traceAt(node, adminKey, id);
            return (
              ["forward", "apply", "commit to visible"].every((name) => namesOf(trace, edge.name).includes(name)) &&
              ["validate", "append", "publish"].every((name) => namesOf(trace, "primary").includes(name)) &&
              namesOf(trace, other.name).includes("apply")
            );
          }, `${node.name} has the whole trace`);
        const trace = await traceAt(primary, adminKey, id);
        expect(trace?.external_url).toBe(`https://traces.example/${id}`);
        const ids = new Set(trace?.spans.map((span) => span.id));
        expect(ids.size).toBe(trace?.spans.length ?? 0);
        // Only the span of the caller is not here.
        const roots = trace?.spans.filter(({ parent }) => parent === null || !ids.has(parent)) ?? [];
        expect(roots.map(({ node, name }) => [node, name])).toEqual([[edge.name, "POST /api/batch"]]);

        const asked = randomHex(16);
        const question = {
          actor_type: "User",
          actor_id: "tess",
          action: "read",
          resource_type: "Repository",
          resource_id: "kernel",
        };
        expect((await call(edge, adminKey, "POST", "/api/authorize", question, asked)).status).toBe(200);
        const decision = await traceAt(edge, adminKey, asked);
        expect(namesOf(decision, edge.name)).toEqual(["POST /api/authorize", "decode", "plan", "query", "reply"]);
        const { json } = await call(edge, adminKey, "GET", "/api/traces?route=/api/authorize&min_ms=0");
        const { traces, segments } = json as Traces;
        expect(traces.find((each) => each.id === asked)).toMatchObject({ name: "POST /api/authorize" });
        expect(segments.find(({ name }) => name === "decode")?.count).toBeGreaterThan(0);
        const nothing = await call(edge, adminKey, "GET", "/api/traces?min_ms=100000");
        expect(nothing.json).toMatchObject({ traces: [], segments: [] });

        // A node that hangs costs a second, and its spans are missing.
        other.signal("SIGSTOP");
        let without: Trace | undefined;
        await eventually(async () => {
          // Answers are shared for a second.
          without = await traceAt(primary, adminKey, id);
          return without?.nodes.find(({ node }) => node === other.name)?.answered === false;
        }, "the node does not answer");
        other.signal("SIGCONT");
        expect(namesOf(without, other.name)).toEqual([]);
        expect(namesOf(without, "primary")).toContain("append");
      },
    ),
  scenarioTimeoutMs,
);

test(
  "environments never see spans of each other, not even of the same trace",
  () =>
    withCluster({ broker: "embedded", edges: 1, environment }, async ({ primary, edges, adminKey }) => {
      const [edge] = edges as [NodeProcess];
      const made = await call(primary, adminKey, "POST", "/api/environments", { id: "shop", name: "Shop" });
      expect(made.status).toBe(200);
      const shopKey = (made.json as { readonly token: string }).token;
      const policy = {
        src: 'actor User {}\nresource Repository { roles = ["reader"]; permissions = ["read"]; "read" if "reader"; }',
      };
      await eventually(
        async () => (await call(primary, shopKey, "POST", "/api/policy", policy)).status === 200,
        "the environment takes a policy",
      );
      await eventually(
        async () => (await call(edge, shopKey, "GET", "/api/policy")).status === 200,
        "the edge has the environment",
      );
      const id = randomHex(16);
      expect((await call(primary, shopKey, "POST", "/api/batch", [{ inserts: [fact] }], id)).status).toBe(200);
      const question = {
        actor_type: "User",
        actor_id: "a",
        action: "read",
        resource_type: "Repository",
        resource_id: "b",
      };
      expect((await call(primary, adminKey, "POST", "/api/authorize", question, id)).status).toBe(200);
      for (const node of [primary, edge]) {
        await eventually(async () => {
          const trace = await traceAt(node, shopKey, id);
          const names = trace?.spans.map(({ name }) => name) ?? [];
          return ["append", "apply", "commit to visible"].every((name) => names.includes(name));
        }, "the environment has its own write, also of the other node");
        const shop = await traceAt(node, shopKey, id);
        expect(shop?.spans.map(({ name }) => name)).not.toContain("POST /api/authorize");
        const own = await traceAt(node, adminKey, id);
        expect(own?.spans.map(({ name }) => name).toSorted()).toEqual(
          ["POST /api/authorize", "decode", "plan", "query", "reply"].toSorted(),
        );
      }
      // Each environment has nodes of its own.
      for (const [key, expected] of [
        [shopKey, ["primary@shop", "edge-a@shop"]],
        [adminKey, ["primary", "edge-a"]],
      ] as const)
        await eventually(
          async () => {
            const { json } = await call(edge, key, "GET", "/api/nodes");
            const { nodes } = json as { readonly nodes: readonly { readonly node: string }[] };
            return JSON.stringify(nodes.map(({ node }) => node)) === JSON.stringify(expected);
          },
          `the nodes are ${expected.join(", ")}`,
        );
      // Another environment knows nothing of a trace that only this one has.
      const only = randomHex(16);
      await call(primary, adminKey, "POST", "/api/authorize", question, only);
      expect(await traceAt(primary, adminKey, only)).toBeDefined();
      for (const node of [primary, edge]) expect(await traceAt(node, shopKey, only)).toBeUndefined();
      const { json } = await call(primary, shopKey, "GET", "/api/traces");
      expect((json as Traces).traces.map((each) => each.id)).not.toContain(only);
    }),
  scenarioTimeoutMs,
);
