/** Draws the spans of one trace as a tree, with the node, the start time and the duration of each span. */
import type { Span } from "./otlp-collector.ts";

export function drawTrace(spans: readonly Span[]): string {
  if (spans.length === 0) return "(no spans arrived)";
  const known = new Set(spans.map((span) => span.spanId));
  const roots = byStart(spans.filter((span) => !known.has(span.parentSpanId)));
  const origin = Math.min(...spans.map((span) => span.startMs));
  const rows = roots.flatMap((root) => [{ label: root.name, span: root }, ...branches(root, spans, "")]);
  const labelWidth = Math.max(...rows.map((row) => row.label.length));
  const nodeWidth = Math.max(...rows.map((row) => row.span.node.length));
  return rows
    .map(({ label, span }) => {
      const start = `+${(span.startMs - origin).toFixed(2)} ms`.padStart(11);
      const duration = `${span.durationMs.toFixed(2)} ms`.padStart(10);
      return `${label.padEnd(labelWidth)}  ${span.node.padEnd(nodeWidth)} ${start} ${duration}${span.failed ? "  failed" : ""}`;
    })
    .join("\n");
}

interface Row {
  readonly label: string;
  readonly span: Span;
}

function branches(parent: Span, spans: readonly Span[], indent: string): Row[] {
  const children = byStart(spans.filter((span) => span.parentSpanId === parent.spanId));
  return children.flatMap((span, index) => {
    const last = index === children.length - 1;
    return [
      { label: `${indent}${last ? "└─ " : "├─ "}${span.name}`, span },
      ...branches(span, spans, indent + (last ? "   " : "│  ")),
    ];
  });
}

const byStart = (spans: readonly Span[]): readonly Span[] =>
  spans.toSorted((one, other) => one.startMs - other.startMs);
