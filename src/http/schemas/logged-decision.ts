/** Logged decisions, and decisions that were made again, as several endpoints answer them. */
import { z } from "zod";
import { decisionKinds } from "../../decisions/decision-entry.ts";
import { newer } from "../endpoint.ts";
import { explanationSchema } from "../../engine/explain/explanation.ts";

/** An id that is hashed or left out is missing. */
const value = z
  .strictObject({ type: z.string(), id: z.string().optional(), hash: z.string().optional() })
  .meta({ id: "LoggedValue" });

export const resultSchemas = {
  result: z.enum(["allow", "deny"]).nullable(),
  count: z.int().nullable(),
  digest: z.string().nullable(),
};

export const decisionSchema = z
  .strictObject({
    id: z.string(),
    time: z.iso.datetime(),
    kind: z.enum(decisionKinds),
    ...resultSchemas,
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
export const logSchema = newer(
  z
    .enum(["off", "denials", "sample", "all"])
    .meta({ description: "Which decisions the node logs now (`decisions.log`)" }),
);

export const replaySchema = z
  .strictObject({
    replayed: z.int(),
    changed_count: z.int(),
    complete: z.boolean(),
    skipped: z.array(z.strictObject({ reason: z.string(), count: z.int() })),
    changed: z.array(
      z.strictObject({
        decision: decisionSchema,
        now: z.strictObject(resultSchemas),
        explanation: explanationSchema.nullable(),
      }),
    ),
    log: logSchema,
  })
  .meta({ id: "Replay" });
