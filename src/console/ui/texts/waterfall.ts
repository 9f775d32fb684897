/** The texts of the waterfall of a trace. */

export const waterfallTexts = {
  label: "Spans of the trace",
  columns: {
    node: "Node",
    span: "Span",
    start: "Begins",
    duration: "Duration",
    time: "Time",
    details: "Details",
  },
  clocks: "Each node measures with its own clock, so spans of different nodes can be shifted against each other.",
  silent: (nodes: string) => `These nodes sent no spans: ${nodes}. They have an earlier version, or did not answer.`,
  after: (duration: string) => `+${duration}`,
  failed: "failed",
  external: "Open in the tracing system",
  attributes: {
    "http.response.status_code": "status",
    "error.type": "error",
    "db.response.returned_rows": "rows",
    "ostiary.decision": "decision",
    "ostiary.decision_cache": "cache",
    "ostiary.source": "source",
    "ostiary.facts.inserted": "inserted",
    "ostiary.facts.deleted": "deleted",
  } as Readonly<Record<string, string>>,
} as const;
