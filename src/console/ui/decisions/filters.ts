/** The conditions of a search in the decision log: in the address of the screen, and as parameters of the API. Pure. */
import { timeAt } from "../components/relative-time.ts";

/** By the names in the address. */
export const filterNames = [
  ...(["result", "kind", "actor", "action", "resource", "since", "until"] as const),
  ...(["key", "request_id", "trace_id", "policy"] as const),
] as const;
export type FilterName = (typeof filterNames)[number];
export type Filters = Readonly<Partial<Record<FilterName, string>>>;

export const decisionKinds = [
  ...["authorize", "authorize_resources", "list", "list_actors", "actions", "bulk_actions", "query", "evaluate_query"],
  ...["authorize_query", "list_query", "actions_query", "evaluate_query_local"],
];

/** The conditions in an address; empty ones are none. */
export function filtersIn(query: URLSearchParams): Filters {
  const given = filterNames.map((name) => [name, query.get(name)?.trim() ?? ""] as const);
  return Object.fromEntries(given.filter(([, value]) => value !== ""));
}

/** A condition that is not understood. */
export class FilterError extends Error {
  readonly filter: FilterName;

  constructor(filter: FilterName) {
    super(filter);
    this.filter = filter;
  }
}

/** The parameters of `GET /api/decisions` at a time. Throws FilterError. */
export function parametersOf({ actor, resource, since, until, ...others }: Filters, nowMs: number): URLSearchParams {
  const parameters = new URLSearchParams(others);
  if (since !== undefined) parameters.set("since", timeAt(since, nowMs));
  if (until !== undefined) parameters.set("until", timeAt(until, nowMs));
  for (const [name, text] of [["actor", actor] as const, ["resource", resource] as const]) {
    if (text === undefined) continue;
    const found = entity.exec(text)?.groups;
    if (found?.["type"] === undefined) throw new FilterError(name);
    parameters.set(`${name}_type`, found["type"]);
    if (found["id"] !== undefined) parameters.set(`${name}_id`, found["id"]);
  }
  return parameters;
}

/** New decisions have no earlier time, so a stream has no conditions of time. */
export function withoutTimes({ since: _since, until: _until, ...others }: Filters): Filters {
  return others;
}

/** `User:ann`, or a type alone. The id is everything behind the colon. */
const entity = /^(?<type>[\p{L}_][\p{L}\p{N}_]*(?:::[\p{L}_][\p{L}\p{N}_]*)*)(?::(?!:)(?<id>.+))?$/su;
