/** The conditions of the list of traces. They are a part of the address, so a list is a link. Pure. */
import { isRelativeTime, timeAt } from "../components/relative-time.ts";

export interface TraceFilters {
  readonly min_ms: string;
  readonly route: string;
  /** A time, or a relative one. */
  readonly since: string;
}

/** Values that the node would refuse are left out. */
export function traceFiltersIn(query: URLSearchParams): TraceFilters {
  const minMs = query.get("min_ms") ?? "";
  return {
    min_ms: /^\d{1,9}(?:\.\d{1,6})?$/.test(minMs) ? minMs : "",
    route: (query.get("route") ?? "").slice(0, 200),
    since: isTime(query.get("since") ?? "") ? (query.get("since") ?? "") : "",
  };
}

/** The conditions that are given, as the address has them. */
export function parametersOf(filters: TraceFilters): Record<string, string> {
  return Object.fromEntries(Object.entries(filters).filter(([, value]) => value !== ""));
}

/** The parameters of `GET /api/traces`. `showsAll`: also requests of the console, and those between nodes. */
export function requestOf({ since, ...filters }: TraceFilters, showsAll: boolean, nowMs: number): URLSearchParams {
  return new URLSearchParams({
    ...parametersOf({ ...filters, since: since === "" ? "" : timeAt(since, nowMs) }),
    console: String(showsAll),
    between_nodes: String(showsAll),
  });
}

function isTime(text: string): boolean {
  return isRelativeTime(text) || !Number.isNaN(Date.parse(text));
}
