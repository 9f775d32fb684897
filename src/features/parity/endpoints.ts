/** The operations of `routes/parity.ts`. */
import { z } from "zod";
import { parityResults } from "../../decisions/parity-reports.ts";
import type { RequestParsers } from "../../http/request/request-schemas.ts";
import { parityQuery } from "./handle.ts";
import { decisionSchema } from "../decisions/endpoints.ts";
import { json, messageSchema, type Operation } from "../../http/endpoint.ts";

export function parityOperations(bodies: RequestParsers): Operation[] {
  return [
    {
      method: "post",
      path: "/api/expect",
      id: "expect",
      tag: "parity",
      summary: "Tell which result was expected of a decision, by the id of its request",
      kind: "other",
      role: "read",
      body: bodies.expect.schema,
      responses: { 200: json("Whether the decision was as expected", messageSchema) },
    },
    {
      method: "get",
      path: "/api/parity",
      id: "getParity",
      tag: "parity",
      summary: "The reports of this node: mismatches first",
      description: "A key with the role `admin` gets all reports, another one those of its own requests.",
      kind: "other",
      role: "read",
      query: parityQuery,
      responses: { 200: json("A page of reports", paritySchema) },
    },
  ];
}

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
    counts: z.record(z.string(), z.int()),
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
