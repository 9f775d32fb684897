/** Parity reports: which decisions differ from what applications expected. */
import { z } from "zod";
import { type ParityPosition, parityResults } from "../../decisions/parity-reports.ts";
import { must } from "../../util/assert.ts";
import { countText } from "../../http/request/query-schemas.ts";
import { decisionSchema } from "../../http/schemas/logged-decision.ts";
import { json, messageSchema, endpoints } from "../../http/endpoint.ts";

export const parityEndpoints = endpoints({
  expect: {
    method: "POST",
    path: "/api/expect",
    tag: "parity",
    summary: "Tell which result was expected of a decision, by the id of its request",
    kind: "node",
    role: "read",
    body: "expect",
    responses: () => ({ 200: json("Whether the decision was as expected", messageSchema) }),
  },
  getParity: {
    method: "GET",
    path: "/api/parity",
    tag: "parity",
    summary: "The reports of this node: mismatches first",
    description: "A key with the role `admin` gets all reports, another one those of its own requests.",
    kind: "node",
    role: "read",
    query: () => parityQuery,
    responses: () => ({ 200: json("A page of reports", paritySchema) }),
  },
});

const report = {
  result: z.enum(parityResults),
  expected: z.boolean(),
  allowed: z.boolean().nullable(),
  request_id: z.string(),
  key: z.string(),
  time: z.iso.datetime(),
};

const paritySchema = z
  .strictObject({
    counts: z.strictObject({ mismatch: z.int(), pending: z.int(), match: z.int() }),
    reports: z.array(
      z.strictObject({
        ...report,
        decision: decisionSchema.shape.id.optional(),
        actor: decisionSchema.shape.actor.optional(),
        action: decisionSchema.shape.action.optional(),
        resource: decisionSchema.shape.resource.optional(),
        context_facts: decisionSchema.shape.context_facts.optional(),
        redacted: decisionSchema.shape.redacted.optional(),
      }),
    ),
    next: z.string().nullable(),
  })
  .meta({ id: "ParityReports" });

const limitMax = 1000;

const parityQuery = z.strictObject({
  after: z
    .string()
    .regex(/^(?:mismatch|pending|match)\.\d{1,15}$/, { error: "must be the value of `next` of the page before" })
    .transform((text): ParityPosition => {
      const [result, sequence] = text.split(".");
      return { result: must(parityResults.find((each) => each === result)), sequence: Number(sequence) };
    })
    .optional(),
  limit: countText.transform((text) => Math.min(Number(text), limitMax)).optional(),
});
