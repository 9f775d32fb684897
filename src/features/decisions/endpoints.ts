/** The operations of `routes/decisions.ts`. */
import { z } from "zod";
import { decisionKinds } from "../../decisions/decision-entry.ts";
import { decisionsQuery } from "./handle.ts";
import { explanationSchema } from "../../engine/explain/explanation.ts";
import type { RequestParsers } from "../../http/request/request-schemas.ts";
import { policyErrorSchema } from "../../http/schemas/diagnostics.ts";
import { json, type Operation } from "../../http/endpoint.ts";

export function decisionOperations(bodies: RequestParsers): Operation[] {
  return [
    {
      method: "get",
      path: "/api/decisions",
      id: "getDecisions",
      tag: "decisions",
      summary: "Logged decisions of this node, in pages or as a stream",
      description:
        "The header `Accept` selects a page, the page as one decision per line, or a stream of server-sent events. A page can have fewer decisions than `limit` and still a `next`: a search examines a part of the log at a time.",
      kind: "other",
      role: "admin",
      query: decisionsQuery,
      responses: {
        200: {
          description: "A page of decisions; with `Accept: text/event-stream` a stream without an end",
          content: {
            "application/json": pageSchema,
            "application/x-ndjson": z.string(),
            "text/event-stream": z.string(),
          },
        },
      },
      errors: ["not_found", "too_many_requests"],
    },
    {
      method: "get",
      path: "/api/decisions/:id/explain",
      id: "explainDecision",
      tag: "decisions",
      summary: "Explain a logged decision on the data, the policy and the clock of its time",
      description:
        "A list has no explanation: it is computed again, and has the same digest if it has the same entries.",
      kind: "other",
      role: "admin",
      responses: { 200: json("The explanation", explainedSchema) },
      errors: ["not_found", "gone", "too_many_requests", "query_too_expensive", "query_not_enumerable"],
    },
    {
      method: "post",
      path: "/api/decisions/replay",
      id: "replayDecisions",
      tag: "decisions",
      summary: "Make logged decisions again under another policy, each on the data of its time",
      kind: "other",
      role: "admin",
      body: bodies.replay.schema,
      responses: { 200: json("The decisions that would change", replaySchema) },
      errorBodies: { invalid_policy: policyErrorSchema },
      errors: ["invalid_policy", "gone", "too_many_requests", "query_too_expensive", "not_found"],
    },
  ];
}

/** An id that is hashed or left out is missing. */
const value = z
  .strictObject({ type: z.string(), id: z.string().optional(), hash: z.string().optional() })
  .meta({ id: "LoggedValue" });

const result = {
  result: z.enum(["allow", "deny"]).nullable(),
  count: z.int().nullable(),
  digest: z.string().nullable(),
};

export const decisionSchema = z
  .strictObject({
    id: z.string(),
    time: z.iso.datetime(),
    kind: z.enum(decisionKinds),
    ...result,
    actor: value.nullable(),
    action: z.string().nullable(),
    resource: value.nullable(),
    context_facts: z.array(z.strictObject({ predicate: z.string(), args: z.array(value) })),
    question: z.looseObject({}).nullable(),
    clock: z.int(),
    epoch: z.string(),
    offset: z.int(),
    policy: z.int().nullable(),
    cached: z.boolean(),
    duration_us: z.int(),
    key: z.string().nullable(),
    request_id: z.string().nullable(),
    trace_id: z.string().nullable(),
    redacted: z.array(z.string()),
    dropped_before: z.int(),
  })
  .meta({ id: "LoggedDecision" });

/** Without new decisions, few or no results mean nothing. */
const log = z
  .enum(["off", "denials", "sample", "all"])
  .meta({ description: "Which decisions the node logs now (`decisions.log`)" });

const pageSchema = z
  .strictObject({ decisions: z.array(decisionSchema), next: z.string().nullable(), log })
  .meta({ id: "DecisionPage" });

const explainedSchema = z
  .strictObject({ decision: decisionSchema, ...result, explanation: explanationSchema.nullable() })
  .meta({ id: "ExplainedDecision" });

export const replaySchema = z
  .strictObject({
    replayed: z.int(),
    changed_count: z.int(),
    complete: z.boolean(),
    skipped: z.array(z.strictObject({ reason: z.string(), count: z.int() })),
    changed: z.array(
      z.strictObject({
        decision: decisionSchema,
        now: z.strictObject(result),
        explanation: explanationSchema.nullable(),
      }),
    ),
    log,
  })
  .meta({ id: "Replay" });
