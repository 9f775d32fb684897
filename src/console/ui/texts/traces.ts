/** The texts of the screen of traces. */

export const tracesTexts = {
  title: "Traces",
  one: "A trace",
  titleOf: (name: string) => `Trace of ${name}`,
  help: "This node keeps some of its requests, a few per second and the last ones. A trace shows what all nodes did for it.",
  filters: "Which traces",
  minMs: "At least (ms)",
  since: "From",
  showAll: "Also requests of the console, and those between nodes",
  route: "Route",
  routePlaceholder: "/api/authorize",
  none: "No trace yet that fits. Requests of the console to this screen are not traced.",
  table: "Traces, the newest first",
  columns: { time: "Time", name: "Request", duration: "Duration", share: "Compared", spans: "Spans" },
  failed: "failed",
  status: (status: number) => `status ${status}`,
  segments: "How long each phase takes",
  segmentsHelp: "Of the traces above, on this node.",
  segmentColumns: { name: "Phase", count: "Spans", p50: "p50", p90: "p90", p99: "p99", max: "Longest" },
  notThere: "No node has spans of this trace any more.",
} as const;
