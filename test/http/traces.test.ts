/** The list of traces: which ones it has. `test/e2e/recent-traces` has real ones. */
import { expect, test } from "bun:test";
import { defaultLimits } from "../../src/config/limits.ts";
import { createApp } from "../../src/features/app.ts";
import type { RecentSpan, RecentTrace } from "../../src/telemetry/recent-traces.ts";
import { adminKey } from "../replication/cluster.ts";
import { sharedPrimary } from "./api.ts";

const withCleanPrimary = sharedPrimary();

/** A trace with a span of the route, and one below it. */
function traceOf(route: string, requestId = "r"): RecentTrace {
  const common = { kind: "server", start_us: 1, duration_us: 1, failed: false } as const;
  const top: RecentSpan = {
    ...common,
    id: "1",
    parent: null,
    name: `GET ${route}`,
    attributes: { "http.route": route, "ostiary.request_id": requestId },
  };
  return { id: route, spans: [top, { ...common, id: "2", parent: "1", name: `below ${route}`, attributes: {} }] };
}

interface Names {
  readonly traces: readonly string[];
  readonly segments: readonly string[];
}

async function withTraces(
  traces: readonly RecentTrace[],
  body: (namesIn: (query: string) => Promise<Names>) => Promise<void>,
): Promise<void> {
  await withCleanPrimary(async ({ node }) => {
    const app = createApp(node, defaultLimits, { traces: { list: () => [...traces], url: undefined } });
    await body(async (query) => {
      const headers = { authorization: `Bearer ${adminKey}` };
      const response = await app.fetch(new Request(`http://localhost/api/traces?${query}`, { headers }));
      const found = (await response.json()) as Record<"traces" | "segments", { name: string }[]>;
      return {
        traces: found.traces.map(({ name }) => name),
        segments: found.segments.map(({ name }) => name).toSorted(),
      };
    });
    app.close();
  });
}

test("it has no requests of other nodes, except if they are asked for", () => {
  const ofNodes = "/replication/v1/*";
  return withTraces([traceOf(ofNodes), traceOf("/api/list"), traceOf(ofNodes)], async (namesIn) => {
    const shown = { traces: ["GET /api/list"], segments: ["GET /api/list", "below /api/list"] };
    expect(await namesIn("")).toEqual(shown);
    expect(await namesIn("limit=1&between_nodes=false")).toEqual(shown);
    expect((await namesIn("between_nodes=true")).traces).toHaveLength(3);
    expect((await namesIn(`route=${encodeURIComponent(ofNodes)}`)).traces).toHaveLength(2);
  });
});

test("it can leave out requests of the console, also from the percentiles", () =>
  withTraces([traceOf("/api/facts", "console-1"), traceOf("/api/list", "my console-1")], async (namesIn) => {
    const shown = { traces: ["GET /api/list"], segments: ["GET /api/list", "below /api/list"] };
    expect(await namesIn("console=false")).toEqual(shown);
    expect((await namesIn("console=true")).traces).toHaveLength(2);
    expect((await namesIn("")).traces).toHaveLength(2);
    // Who asks for a route wants all its requests.
    expect((await namesIn("console=false&route=/api/facts")).traces).toHaveLength(1);
  }));
