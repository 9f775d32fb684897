/** The decision log of this node, for administrators: the log shows what all applications ask. */
import { z } from "zod";
import { decisionKinds } from "../../decisions/decision-entry.ts";
import { explanationSchema } from "../../engine/explain/explanation.ts";
import { policyErrorSchema } from "../../http/schemas/diagnostics.ts";
import { decisionSchema, logSchema, replaySchema, resultSchemas } from "../../http/schemas/logged-decision.ts";
import { timeText } from "../../http/request/request-schemas.ts";
import { countText } from "../../http/request/query-schemas.ts";
import { json, endpoints } from "../../http/endpoint.ts";

export const decisionEndpoints = endpoints({
  getDecisions: {
    method: "GET",
    path: "/api/decisions",
    tag: "decisions",
    summary: "Logged decisions of this node, in pages or as a stream",
    description:
      "The header `Accept` selects a page, the page as one decision per line, or a stream of server-sent events. A page can have fewer decisions than `limit` and still a `next`: a search examines a part of the log at a time.",
    kind: "node",
    role: "admin",
    query: () => decisionsQuery,
    responses: () => ({
      200: {
        description: "A page of decisions; with `Accept: text/event-stream` a stream without an end",
        content: {
          "application/json": pageSchema,
          "application/x-ndjson": z.string(),
          "text/event-stream": z.string(),
        },
      },
    }),
    errors: ["not_found", "too_many_requests"],
  },
  explainDecision: {
    method: "GET",
    path: "/api/decisions/:id/explain",
    tag: "decisions",
    summary: "Explain a logged decision on the data, the policy and the clock of its time",
    description: "A list has no explanation: it is computed again, and has the same digest if it has the same entries.",
    kind: "node",
    role: "admin",
    responses: () => ({ 200: json("The explanation", explainedSchema) }),
    errors: ["not_found", "gone", "too_many_requests", "query_too_expensive", "query_not_enumerable"],
  },
  replayDecisions: {
    method: "POST",
    path: "/api/decisions/replay",
    tag: "decisions",
    summary: "Make logged decisions again under another policy, each on the data of its time",
    kind: "node",
    role: "admin",
    body: "replay",
    responses: () => ({ 200: json("The decisions that would change", replaySchema) }),
    errorBodies: () => ({ invalid_policy: policyErrorSchema }),
    errors: ["invalid_policy", "gone", "too_many_requests", "query_too_expensive", "not_found"],
  },
});

const pageSchema = z
  .strictObject({ decisions: z.array(decisionSchema), next: z.string().nullable(), log: logSchema })
  .meta({ id: "DecisionPage" });

const explainedSchema = z
  .strictObject({ decision: decisionSchema, ...resultSchemas, explanation: explanationSchema.nullable() })
  .meta({ id: "ExplainedDecision" });

const time = timeText.optional();
const text = z.string().optional();

const decisionsQuery = z.strictObject({
  kind: z.enum(decisionKinds).optional(),
  result: z.enum(["allow", "deny"]).optional(),
  actor_type: text,
  actor_id: text,
  action: text,
  resource_type: text,
  resource_id: text,
  key: text,
  request_id: text,
  trace_id: z
    .string()
    .regex(/^[0-9a-f]{32}$/, { error: "must be 32 hexadecimal digits" })
    .optional(),
  policy: z
    .string()
    .regex(/^\d{1,15}$/, { error: "must be the number of a policy" })
    .optional(),
  since: time,
  until: time,
  own_console: z.enum(["true", "false"]).optional().meta({
    description:
      "`false` leaves out what the web console asked with the key or the person of this request, so that nobody can hide the decisions of others; default `true`",
  }),
  after: text,
  order: z.enum(["newest", "oldest"]).optional(),
  limit: countText.optional(),
});
