/** The spans of a trace as rows of a waterfall: each below its parent, with its place in the time of the trace. Pure. */
import type { TraceSpan } from "../api/cluster.ts";

export interface WaterfallRow {
  readonly span: TraceSpan;
  readonly depth: number;
  /** Since the trace began. */
  readonly startMs: number;
  readonly durationMs: number;
  /** As shares of the duration of the trace. */
  readonly from: number;
  readonly width: number;
  /** Nodes are numbered in the order in which they appear. */
  readonly nodeNumber: number;
}

/** Very short spans stay visible. */
const widthMin = 0.004;

export function waterfallRows(spans: readonly TraceSpan[]): WaterfallRow[] {
  const startUs = Math.min(...spans.map(({ start_us }) => start_us));
  const totalUs = Math.max(1, ...spans.map(({ start_us, duration_us }) => start_us + duration_us - startUs));
  const nodes: string[] = [];
  return inTree(spans).map(({ span, depth }) => {
    if (!nodes.includes(span.node)) nodes.push(span.node);
    const width = Math.max(widthMin, span.duration_us / totalUs);
    return {
      span,
      depth,
      startMs: (span.start_us - startUs) / 1000,
      durationMs: span.duration_us / 1000,
      from: Math.min((span.start_us - startUs) / totalUs, 1 - widthMin),
      width,
      nodeNumber: nodes.indexOf(span.node),
    };
  });
}

/** A span whose parent is not there is at the top. */
function inTree(spans: readonly TraceSpan[]): { readonly span: TraceSpan; readonly depth: number }[] {
  const ids = new Set(spans.map(({ id }) => id));
  const children = Map.groupBy(spans, ({ parent }) => (parent !== null && ids.has(parent) ? parent : ""));
  const placed = new Set<TraceSpan>();
  const below = (parent: string, depth: number): { readonly span: TraceSpan; readonly depth: number }[] =>
    (children.get(parent) ?? [])
      .toSorted((a, b) => a.start_us - b.start_us)
      .flatMap((span) => {
        if (placed.has(span)) return [];
        placed.add(span);
        return [{ span, depth }, ...below(span.id, depth + 1)];
      });
  const tree = below("", 0);
  // Spans that are each other's parents cannot come from this program, but must not disappear.
  return [...tree, ...spans.filter((span) => !placed.has(span)).map((span) => ({ span, depth: 0 }))];
}
