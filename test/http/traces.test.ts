/** The list of traces: which ones it has. `test/e2e/recent-traces` has real ones. */
import { expect, test } from "bun:test";
import { defaultLimits } from "../../src/config/limits.ts";
import { createApp } from "../../src/features/app.ts";
import type { RecentSpan, RecentTrace } from "../../src/telemetry/recent-traces.ts";
import { adminKey } from "../replication/cluster.ts";
import { sharedPrimary } from "./api.ts";

const withCleanPrimary = sharedPrimary();

/** A trace with a span of the route, and one below it. */
function traceOf(route: string): RecentTrace {
  const common = { kind: "server", start_us: 1, duration_us: 1, failed: false } as const;
  const top: RecentSpan = {
    ...common,
    id: "1",
    parent: null,
    name: `GET ${route}`,
    attributes: { "http.route": route },
  };
  return { id: route, spans: [top, { ...common, id: "2", parent: "1", name: `below ${route}`, attributes: {} }] };
}

test("it has no requests of other nodes, except if they are asked for", () =>
  withCleanPrimary(async ({ node }) => {
    const ofNodes = "/replication/v1/*";
    const list = () => [traceOf(ofNodes), traceOf("/api/list"), traceOf(ofNodes)];
    const app = createApp(node, defaultLimits, { traces: { list, url: undefined } });
    const namesIn = async (query: string) => {
      const headers = { authorization: `Bearer ${adminKey}` };
      const response = await app.fetch(new Request(`http://localhost/api/traces?${query}`, { headers }));
      const { traces, segments } = (await response.json()) as Record<"traces" | "segments", { name: string }[]>;
      return { traces: traces.map(({ name }) => name), segments: segments.map(({ name }) => name).toSorted() };
    };
    const shown = { traces: ["GET /api/list"], segments: ["GET /api/list", "below /api/list"] };
    expect(await namesIn("")).toEqual(shown);
    expect(await namesIn("limit=1&between_nodes=false")).toEqual(shown);
    expect((await namesIn("between_nodes=true")).traces).toHaveLength(3);
    expect((await namesIn(`route=${encodeURIComponent(ofNodes)}`)).traces).toHaveLength(2);
    app.close();
  }));
