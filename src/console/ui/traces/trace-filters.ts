/** The conditions of the list of traces. They are a part of the address, so a list is a link. Pure. */

export interface TraceFilters {
  readonly min_ms: string;
  readonly route: string;
}

/** Values that the node would refuse are left out. */
export function traceFiltersIn(query: URLSearchParams): TraceFilters {
  const minMs = query.get("min_ms") ?? "";
  return {
    min_ms: /^\d{1,9}(?:\.\d{1,6})?$/.test(minMs) ? minMs : "",
    route: (query.get("route") ?? "").slice(0, 200),
  };
}

/** The conditions that are given. */
export function parametersOf(filters: TraceFilters): Record<string, string> {
  return Object.fromEntries(Object.entries(filters).filter(([, value]) => value !== ""));
}
