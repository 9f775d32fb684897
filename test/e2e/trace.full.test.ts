/** One trace from a write on the primary to the edges, and one of a read; both continue the trace of the client. */
import { describe, expect, test } from "bun:test";
import { Oso } from "oso-cloud";
import { Repository, User } from "../../scripts/example/facts.ts";
import { randomHex, type NodeProcess } from "../../scripts/node-process.ts";
import { startCollector, type Span } from "../../scripts/otlp-collector.ts";
import {
  brokers,
  eventually,
  expectConverged,
  scenarioTimeoutMs,
  withCluster,
  type BrokerKind,
  type Cluster,
} from "./cluster.ts";

const server = 2; // SPAN_KIND_SERVER

describe.each([...brokers])("with the %s broker", (broker) => {
  test(
    "a write is one trace: request, validate, append and publish on the primary, receive and apply on each edge",
    () =>
      traced(broker, async (cluster, spansOf) => {
        const { primary, edges } = cluster;
        const caller = { traceId: randomHex(16), spanId: randomHex(8) };
        await clientWithin(cluster, primary, caller).insert(["has_role", User("tess"), "reader", Repository("kernel")]);
        // Each node exports its spans when some time has passed.
        const hasReported = (name: string, span: string): boolean =>
          named(spansOf(caller.traceId), name, span).length === 1;
        await eventually(
          async () =>
            edges.every(({ name }) => hasReported(name, "apply")) &&
            ["append", "publish", "reply"].every((span) => hasReported("primary", span)) &&
            spansOf(caller.traceId).some(({ node, kind }) => node === "primary" && kind === server),
          "all nodes report",
        );
        const spans = spansOf(caller.traceId);

        const request = only(spans.filter(({ node, kind }) => node === "primary" && kind === server));
        expect(request.parentSpanId).toBe(caller.spanId);
        expect(request.name).toContain("/api/batch");
        for (const name of ["validate", "append", "publish"]) {
          expect(only(named(spans, "primary", name)).durationMs).toBeGreaterThanOrEqual(0);
        }
        expect(only(named(spans, "primary", "append")).attributes).toMatchObject({
          "ostiary.kind": "batch",
          "ostiary.facts.inserted": 1,
          "ostiary.facts.deleted": 0,
        });
        for (const { name: node } of edges) {
          expect(named(spans, node, "receive")).toHaveLength(1);
          const visible = only(named(spans, node, "commit to visible"));
          expect(visible.durationMs).toBeGreaterThanOrEqual(0);
          expect(visible.durationMs).toBeLessThan(5000);
          expect(visible.attributes).toMatchObject({ "ostiary.facts.inserted": 1, "ostiary.facts.deleted": 0 });
        }
        // All spans are descendants of the client's span.
        const parents = new Set([caller.spanId, ...spans.map(({ spanId }) => spanId)]);
        expect(spans.filter(({ parentSpanId }) => !parents.has(parentSpanId)).map(({ name }) => name)).toEqual([]);
      }),
    scenarioTimeoutMs,
  );

  test(
    "a write through an edge is one trace over all nodes",
    () =>
      traced(broker, async (cluster, spansOf) => {
        const [edge] = cluster.edges;
        if (edge === undefined) throw new Error("an edge is needed");
        const caller = { traceId: randomHex(16), spanId: randomHex(8) };
        await clientWithin(cluster, edge, caller).insert(["has_role", User("tilda"), "reader", Repository("kernel")]);
        const answeredAt = (name: string): readonly Span[] =>
          spansOf(caller.traceId).filter(({ node, kind }) => node === name && kind === server);
        await eventually(
          async () =>
            cluster.edges.every(({ name }) => named(spansOf(caller.traceId), name, "apply").length === 1) &&
            [edge.name, "primary"].every((name) => answeredAt(name).length === 1),
          "all nodes report",
        );
        const spans = spansOf(caller.traceId);
        const [atEdge, atPrimary] = [only(answeredAt(edge.name)), only(answeredAt("primary"))];
        expect(atEdge.parentSpanId).toBe(caller.spanId);
        expect(ancestors(atPrimary, spans)).toContain(atEdge.spanId);
      }),
    scenarioTimeoutMs,
  );
});

test(
  "a read is its own trace: request, plan (new, then cached), query (or cached decision), reply; and the response has its duration",
  () =>
    traced("embedded", async (cluster, spansOf) => {
      const [edge] = cluster.edges;
      if (edge === undefined) throw new Error("an edge is needed");
      const plans: (string | number | boolean | undefined)[] = [];
      const asked: [resource: string, allowed: boolean, steps: string[]][] = [
        ["compiler", true, ["plan", "query", "reply"]],
        ["nowhere", false, ["plan", "query", "reply"]],
        ["compiler", true, ["query", "reply"]],
      ];
      const cacheResults: unknown[] = [];
      const decisions: unknown[] = [];
      for (const [resource, allowed, steps] of asked) {
        const caller = { traceId: randomHex(16), spanId: randomHex(8) };
        expect(await clientWithin(cluster, edge, caller).authorize(User("alice"), "delete", Repository(resource))).toBe(
          allowed,
        );
        await eventually(async () => spansOf(caller.traceId).some(({ kind }) => kind === server), "the edge reports");
        const spans = spansOf(caller.traceId);
        const request = only(spans.filter(({ kind }) => kind === server));
        const decision = request.attributes["ostiary.decision"];
        expect(only(named(spans, edge.name, "query")).attributes["ostiary.decision"]).toBe(String(decision));
        decisions.push(decision);
        expect(request.node).toBe(edge.name);
        expect(request.parentSpanId).toBe(caller.spanId);
        for (const name of steps) {
          expect({ name, parents: ancestors(only(named(spans, edge.name, name)), spans) }).toEqual({
            name,
            parents: expect.arrayContaining([request.spanId]),
          });
        }
        plans.push(...named(spans, edge.name, "plan").map(({ attributes }) => attributes["ostiary.plan_cache"]));
        cacheResults.push(only(named(spans, edge.name, "query")).attributes["ostiary.decision_cache"]);
      }
      expect(plans).toEqual(["miss", "hit"]);
      expect(cacheResults).toEqual(["miss", "miss", "hit"]);
      expect(decisions).toEqual(["allow", "deny", "allow"]);

      const lister = { traceId: randomHex(16), spanId: randomHex(8) };
      const listed = await clientWithin(cluster, edge, lister).list(User("alice"), "delete", "Repository");
      expect(listed.length).toBeGreaterThan(0);
      await eventually(async () => spansOf(lister.traceId).some(({ kind }) => kind === server), "the edge reports");
      const query = only(named(spansOf(lister.traceId), edge.name, "query"));
      expect(query.attributes).toEqual({ "db.response.returned_rows": listed.length });

      const response = await fetch(`${edge.url}/api/policy`, {
        headers: { Authorization: `Bearer ${cluster.adminKey}` },
      });
      expect(response.headers.get("Server-Timing")).toMatch(/^oso;dur=\d/);
    }),
  scenarioTimeoutMs,
);

test(
  "the phases of writes are in temporal order on all nodes for all transports, and match the metric",
  () =>
    traced("embedded", async (cluster, spansOf) => {
      const { primary, edges } = cluster;
      const [edge, missing] = edges;
      if (edge === undefined || missing === undefined) throw new Error("two edges are needed");
      const before = await commitToVisible(cluster, edge);
      const callers: Caller[] = [];
      const write = async (users: number): Promise<void> => {
        const caller = { traceId: randomHex(16), spanId: randomHex(8) };
        callers.push(caller);
        const name = `user-${callers.length}`;
        await clientWithin(cluster, primary, caller).batch((batch) => {
          for (let user = 0; user < users; user++)
            batch.insert(["has_role", User(`${name}-${user}`), "reader", Repository("kernel")]);
          return Promise.resolve();
        });
      };
      // One by one; concurrently, so that one commit has several; and one that is too large for a message.
      for (let count = 0; count < 5; count++) await write(1);
      await Promise.all(Array.from({ length: 8 }, () => write(1)));
      await write(1000);
      await missing.stop();
      await write(1);
      missing.launch();
      await missing.ready();
      await expectConverged(primary, edges);
      const visibleOn = (name: string): readonly Span[] =>
        callers.flatMap(({ traceId }) => named(spansOf(traceId), name, "commit to visible"));
      await eventually(
        async () =>
          edges.every(({ name }) => visibleOn(name).length === callers.length) &&
          callers.every(({ traceId }) =>
            ["append", "reply"].every((span) => named(spansOf(traceId), "primary", span).length === 1),
          ) &&
          callers.every(({ traceId }) =>
            spansOf(traceId).some(({ node, kind }) => node === "primary" && kind === server),
          ),
        "all nodes report all",
      );
      const after = await commitToVisible(cluster, edge);
      expect(after.count - before.count).toBe(callers.length);
      const spansMs = visibleOn(edge.name).reduce((sum, { durationMs }) => sum + durationMs, 0);
      expect((after.sum - before.sum) * 1000).toBeCloseTo(spansMs, 1);

      const seen = new Set<string>();
      for (const { traceId } of callers) {
        const spans = spansOf(traceId);
        for (const { name } of edges) for (const step of requireOrder(spans, name)) seen.add(step);
      }
      expect(seen).toEqual(new Set(["fetch", "feed", "catch_up"]));
    }),
  scenarioTimeoutMs,
);

test(
  "a response, the log of decisions and the collector have the same share of the traces",
  async () => {
    const collector = startCollector();
    const environment = {
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_BSP_SCHEDULE_DELAY: "50",
      OSTIARY_TRACE_SAMPLE_RATIO: "0.5",
      OSTIARY_DECISIONS_LOG: "all",
    };
    try {
      await withCluster({ broker: "embedded", edges: 0, environment }, async ({ primary, adminKey }) => {
        const Authorization = `Bearer ${adminKey}`;
        const body = JSON.stringify({
          ...{ actor_type: "User", actor_id: "alice", action: "delete" },
          ...{ resource_type: "Repository", resource_id: "compiler" },
        });
        const ask = async (id: string, caller: string): Promise<[id: string, traceId: string | null]> => {
          const headers = { Authorization, "Content-Type": "application/json", "X-Request-ID": id };
          const traceparent: Record<string, string> = caller === "" ? {} : { traceparent: caller };
          const url = `${primary.url}/api/authorize`;
          const response = await fetch(url, { method: "POST", headers: { ...headers, ...traceparent }, body });
          expect(await response.json()).toEqual({ allowed: true });
          return [id, response.headers.get("X-Trace-Id")];
        };
        const count = 100;
        const callers = ["", "00", "01"].flatMap((flags) =>
          Array.from({ length: count }, () => (flags === "" ? "" : `00-${randomHex(16)}-${randomHex(8)}-${flags}`)),
        );
        const asked = new Map(await Promise.all(callers.map((caller, index) => ask(`request-${index}`, caller))));
        const traceIds = [...asked.values()];
        expect(traceIds.slice(count, 2 * count).filter((id) => id !== null)).toEqual([]);
        expect(traceIds.slice(2 * count)).toEqual(callers.slice(2 * count).map((caller) => caller.slice(3, 35)));
        const recorded = new Set(traceIds.filter((id) => id !== null));
        // Fewer or more are less likely than one in 10^8.
        expect(recorded.size - count).toBeGreaterThan(20);
        expect(recorded.size - count).toBeLessThan(80);

        const url = `${primary.url}/api/decisions?kind=authorize&limit=1000`;
        const page = await fetch(url, {
          headers: { Authorization, traceparent: `00-${"1".repeat(32)}-${"1".repeat(16)}-00` },
        });
        const { decisions } = (await page.json()) as { decisions: { request_id: string; trace_id: string | null }[] };
        expect(new Map(decisions.map(({ request_id: id, trace_id: traceId }) => [id, traceId]))).toEqual(asked);

        const questions = () => collector.spans.filter(({ name }) => name === "POST /api/authorize");
        await eventually(async () => questions().length >= recorded.size, "all traces arrive");
        expect(new Set(questions().map(({ traceId }) => traceId))).toEqual(recorded);
        // No span of the other requests begins a trace of its own.
        const steps = new Set(["plan", "query", "decode", "reply"]);
        const begun = collector.spans.filter(({ parentSpanId, name }) => parentSpanId === "" && steps.has(name));
        expect(begun.map(({ name }) => name)).toEqual([]);
      });
    } finally {
      await collector.stop();
    }
  },
  scenarioTimeoutMs,
);

/** How much the clocks of threads and processes can differ, in milliseconds; see `preciseNow`. */
const toleranceMs = 2;

/** Returns the transports of the event to this node. */
function requireOrder(spans: readonly Span[], node: string): string[] {
  const request = only(spans.filter((span) => span.node === "primary" && span.kind === server));
  const [validate, append] = [only(named(spans, "primary", "validate")), only(named(spans, "primary", "append"))];
  expect(validate.startMs).toBeGreaterThanOrEqual(request.startMs - toleranceMs);
  expect(append.startMs).toBeGreaterThanOrEqual(endOf(validate) - 0.01);
  const committedMs = endOf(append);
  for (const publish of named(spans, "primary", "publish"))
    expect(publish.startMs).toBeGreaterThanOrEqual(committedMs - toleranceMs);
  const visible = only(named(spans, node, "commit to visible"));
  expect(Math.abs(visible.startMs - committedMs)).toBeLessThan(toleranceMs);
  const apply = only(named(spans, node, "apply"));
  expect(endOf(apply)).toBeLessThanOrEqual(endOf(visible) + 0.01);
  const [fetch] = named(spans, node, "fetch");
  if (fetch !== undefined) expect(fetch.startMs).toBeGreaterThanOrEqual(committedMs - toleranceMs);
  // A batch of several traces has its own trace.
  const [receive] = named(spans, node, "receive");
  if (receive !== undefined) {
    expect(receive.startMs).toBeGreaterThanOrEqual(committedMs - toleranceMs);
    expect(receive.startMs).toBeLessThanOrEqual(apply.startMs + toleranceMs);
    expect(Math.abs(endOf(receive) - endOf(visible))).toBeLessThan(0.01);
    if (fetch !== undefined) expect(endOf(fetch)).toBeLessThanOrEqual(receive.startMs + toleranceMs);
  }
  const source = String(apply.attributes["ostiary.source"]);
  return fetch === undefined ? [source] : [fetch.name, source];
}

const endOf = ({ startMs, durationMs }: Span): number => startMs + durationMs;

async function commitToVisible({ adminKey }: Cluster, { url }: NodeProcess): Promise<{ sum: number; count: number }> {
  const response = await fetch(`${url}/metrics`, { headers: { Authorization: `Bearer ${adminKey}` } });
  const text = await response.text();
  const [sum = Number.NaN, count = Number.NaN] = ["sum", "count"].map((part) =>
    Number(new RegExp(`^ostiary_commit_to_visible_seconds_${part} (.+)$`, "m").exec(text)?.[1]),
  );
  return { sum, count };
}

interface Caller {
  readonly traceId: string;
  readonly spanId: string;
}

async function traced(
  broker: BrokerKind,
  scenario: (cluster: Cluster, spansOf: (traceId: string) => readonly Span[]) => Promise<void>,
): Promise<void> {
  const collector = startCollector();
  try {
    const environment = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_BSP_SCHEDULE_DELAY: "50" };
    await withCluster({ broker, environment }, (cluster) => scenario(cluster, (traceId) => collector.trace(traceId)));
  } finally {
    await collector.stop();
  }
}

type Fetch = (input: unknown, init?: { headers?: Record<string, string> }) => Promise<unknown>;

/** The official client in a traced application. */
function clientWithin({ adminKey }: Cluster, node: NodeProcess, { traceId, spanId }: Caller): Oso {
  const traceparent = `00-${traceId}-${spanId}-01`;
  const fetchBuilder =
    (fetch: Fetch): Fetch =>
    (input, init) =>
      fetch(input, { ...init, headers: { ...init?.headers, traceparent } });
  return new Oso(node.url, adminKey, { fetchBuilder });
}

const named = (spans: readonly Span[], node: string, name: string): readonly Span[] =>
  spans.filter((span) => span.node === node && span.name === name);

function only(spans: readonly Span[]): Span {
  expect(spans.map(({ node, name }) => `${node}: ${name}`)).toHaveLength(1);
  const [span] = spans;
  if (span === undefined) throw new Error("no such span");
  return span;
}

function ancestors(span: Span, spans: readonly Span[]): string[] {
  const parent = spans.find(({ spanId }) => spanId === span.parentSpanId);
  return parent === undefined ? [] : [parent.spanId, ...ancestors(parent, spans)];
}
