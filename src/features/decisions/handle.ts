/**
 * The decision log of this node, for administrators: the log shows what all applications ask. It works on a node whose
 * database is behind.
 */
import type { Limits } from "../../config/limits.ts";
import type { DecisionLog } from "../../decisions/decision-log.ts";
import type { DecisionFilter } from "../../decisions/decision-store.ts";
import type { PastDecisions } from "../../decisions/past-decisions.ts";
import type { DecisionStreams } from "../../http/events/decision-streams.ts";
import { authorizationOf } from "../../http/middleware/access.ts";
import { exchangeOf, holderOf } from "../../http/middleware/exchange.ts";
import { preferredType } from "../../http/request/media-types.ts";
import { replayJson } from "../../http/response/replay-json.ts";
import type { Call, Handlers } from "../../http/router.ts";
import { AppError } from "../../util/app-error.ts";
import { SlotPool } from "../../util/slot-pool.ts";
import type { decisionEndpoints } from "./endpoints.ts";

const types = ["application/json", "application/x-ndjson", "text/event-stream"] as const;

const defaultLimit = 100;
const defaultReplayLimit = 1000;

type DecisionsQuery = Call<(typeof decisionEndpoints)["getDecisions"]>["query"];

export function handleDecisions(
  limits: Limits,
  log: DecisionLog,
  streams: DecisionStreams,
  past: PastDecisions,
): Handlers<typeof decisionEndpoints> {
  const reads = new SlotPool(limits.decisionReadsMax, "pages of decisions");
  return {
    getDecisions: async ({ query, request }) => {
      const exchange = exchangeOf(request);
      const filter = filterOf(query, exchange.principal?.id);
      const type = preferredType(request.headers.get("accept"), types);
      // A response to HEAD has no body, so a stream would never end.
      if (type === "text/event-stream" && exchange.method !== "HEAD") {
        if (query.limit !== undefined || query.order !== undefined)
          throw new AppError("invalid_request", "a stream has no `limit` and no `order`, omit them or ask for pages");
        const after = request.headers.get("last-event-id") || query.after;
        return streams.open(exchange, filter, after, authorizationOf(request));
      }
      const limit = Math.min(Number(query.limit ?? defaultLimit), limits.decisionsPageMax);
      const holder = holderOf(exchange);
      reads.acquire(holder);
      try {
        const { after, order = "newest" } = query;
        const bytesMax = limits.decisionsPageBytesMax;
        const { decisions, next, hasMore } = await log.read(filter, { after, order, limit, bytesMax });
        const token = (hasMore ? next : undefined) ?? null;
        return type === "application/x-ndjson"
          ? ndjson(decisions, token)
          : { decisions, next: token, log: log.selection };
      } finally {
        reads.release(holder);
      }
    },
    explainDecision: async ({ params, request }) => {
      const { decision, explanation, ...result } = await past.explain(params.id, holderOf(exchangeOf(request)));
      return { decision, ...result, explanation };
    },
    replayDecisions: async ({ body: { src, filename = null, since, until, limit }, request }) => {
      const filter = { sinceMs: timeOf(since), untilMs: timeOf(until) };
      const replay = { filter, limit: limit ?? defaultReplayLimit, source: src, filename };
      return replayJson(await past.replay(replay, holderOf(exchangeOf(request))), log.selection);
    },
  };
}

function filterOf(query: DecisionsQuery, ownId: string | undefined): DecisionFilter {
  return {
    exceptConsoleOf: query.own_console === "false" ? ownId : undefined,
    kind: query.kind,
    result: query.result,
    actorType: query.actor_type,
    actorId: query.actor_id,
    action: query.action,
    resourceType: query.resource_type,
    resourceId: query.resource_id,
    keyId: query.key,
    requestId: query.request_id,
    traceId: query.trace_id,
    policyId: query.policy === undefined ? undefined : Number(query.policy),
    sinceMs: timeOf(query.since),
    untilMs: timeOf(query.until),
  };
}

function timeOf(given: string | undefined): number | undefined {
  return given === undefined ? undefined : Date.parse(given);
}

/** One decision per line. The token is in a header, because the body has only decisions. */
function ndjson(decisions: readonly object[], next: string | null): Response {
  return new Response(decisions.map((decision) => `${JSON.stringify(decision)}\n`).join(""), {
    headers: { "Content-Type": "application/x-ndjson", ...(next !== null && { "Ostiary-Next": next }) },
  });
}
