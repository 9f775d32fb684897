/**
 * The last traces that this node recorded, for administrators. The spans of one trace come from all nodes, each of which
 * gives only those of this environment. They work on a node whose database is behind.
 */
import type { Handlers } from "../../http/router.ts";
import type { Node } from "../../replication/node.ts";
import type { RecentSpan, RecentTrace } from "../../telemetry/recent-traces.ts";
import { AppError } from "../../util/app-error.ts";
import { consoleRequestPrefix } from "../../util/console-requests.ts";
import type { traceEndpoints } from "./endpoints.ts";

/** The traces of one environment in this process. */
export interface TraceSource {
  list(): RecentTrace[];
  /** The address of a trace in another system, with `{traceId}`; undefined if there is none. */
  readonly url: string | undefined;
}

const defaultLimit = 100;
const limitMax = 1000;

/** Without a source there are no traces. */
export function handleTraces(node: Node, source: TraceSource | undefined): Handlers<typeof traceEndpoints> {
  return {
    getTraces: ({ query: { min_ms, route, since, between_nodes, console: ofConsole, limit } }) => {
      const sinceUs = since === undefined ? 0 : Date.parse(since) * 1000;
      const found = (source?.list() ?? []).filter((trace) => {
        const { top, startUs, endUs } = extentOf(trace.spans);
        const isHidden =
          route === undefined &&
          ((between_nodes !== "true" && isOfNodes(top)) || (ofConsole === "false" && isOfConsole(top)));
        return (
          !isHidden &&
          endUs - startUs >= Number(min_ms ?? 0) * 1000 &&
          startUs >= sinceUs &&
          (route === undefined || top?.attributes["http.route"] === route || top?.name === route)
        );
      });
      const shown = found.slice(0, Math.min(Number(limit ?? defaultLimit), limitMax));
      return {
        node: node.id,
        traces: shown.map(summaryOf),
        segments: segmentsOf(found),
        ...(source?.url !== undefined && { external_url: source.url }),
      };
    },
    getTrace: async ({ params: { id } }) => {
      if (!/^[0-9a-f]{32}$/.test(id))
        throw new AppError("invalid_request", "the id of a trace in the path must be 32 hexadecimal digits");
      const nodes = source === undefined ? [] : await node.survey({ trace: id });
      const spans = nodes.flatMap(({ node: from, spans: own = [] }) => own.map((span) => ({ node: from, ...span })));
      if (spans.length === 0)
        throw new AppError(
          "not_found",
          `no node that answers has spans of the trace \`${id}\`: a node keeps only some traces, and only the last ones`,
        );
      return {
        id,
        nodes: nodes.map(({ node: name, role, answered }) => ({ node: name, role, answered })),
        spans: spans.toSorted((a, b) => a.start_us - b.start_us).map(describedSpan),
        ...(source?.url !== undefined && { external_url: source.url.replaceAll("{traceId}", id) }),
      };
    },
  };
}

/** The first span whose parent is not here, and the time that all spans take. */
function extentOf(spans: readonly RecentSpan[]) {
  const ids = new Set(spans.map(({ id }) => id));
  const tops = spans.filter(({ parent }) => parent === null || !ids.has(parent));
  const first = (tops.length === 0 ? spans : tops).toSorted((a, b) => a.start_us - b.start_us);
  const startUs = Math.min(...spans.map(({ start_us }) => start_us));
  const endUs = Math.max(...spans.map(({ start_us, duration_us }) => start_us + duration_us));
  return { top: first[0], startUs, endUs };
}

/** Whether the trace is a request of another node. With a collector there are several in each second. */
function isOfNodes(top: RecentSpan | undefined): boolean {
  return String(top?.attributes["http.route"]).startsWith("/replication/");
}

/** An open console sends several in each second. */
function isOfConsole(top: RecentSpan | undefined): boolean {
  return String(top?.attributes["ostiary.request_id"]).startsWith(consoleRequestPrefix);
}

function summaryOf({ id, spans }: RecentTrace) {
  const { top, startUs, endUs } = extentOf(spans);
  const status = top?.attributes["http.response.status_code"];
  return {
    id,
    name: top?.name ?? "",
    start: timeOf(startUs),
    duration_ms: (endUs - startUs) / 1000,
    failed: spans.some(({ failed }) => failed),
    ...(typeof status === "number" && { status }),
    spans: spans.length,
  };
}

/** The percentiles of the spans of each name, the slowest first. */
function segmentsOf(traces: readonly RecentTrace[]) {
  const durations = new Map<string, number[]>();
  for (const { spans } of traces)
    for (const { name, duration_us } of spans) {
      const known = durations.get(name);
      if (known === undefined) durations.set(name, [duration_us]);
      else known.push(duration_us);
    }
  return [...durations]
    .map(([name, all]) => {
      const sorted = all.toSorted((a, b) => a - b);
      const at = (share: number): number => (sorted[Math.ceil(share * sorted.length) - 1] ?? 0) / 1000;
      return { name, count: sorted.length, p50_ms: at(0.5), p90_ms: at(0.9), p99_ms: at(0.99), max_ms: at(1) };
    })
    .toSorted((a, b) => b.p50_ms - a.p50_ms);
}

function describedSpan({ start_us, duration_us, ...span }: RecentSpan & { readonly node: string }) {
  return { ...span, start: timeOf(start_us), start_us, duration_us };
}

function timeOf(us: number): string {
  return new Date(us / 1000).toISOString();
}
