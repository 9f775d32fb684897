/**
 * Parity reports: a client tells which result it expected of a decision, and operators list the differences. Both are
 * local to the node and need neither the primary nor recent data, so that a report never fails an application.
 */
import { Elysia } from "elysia";
import { z } from "zod";
import type { Limits } from "../../config/limits.ts";
import type { DecisionLog } from "../../decisions/decision-log.ts";
import { type ParityPosition, type ParityReport, parityResults } from "../../decisions/parity-reports.ts";
import { must } from "../../util/assert.ts";
import { keyAccess } from "../../http/middleware/access.ts";
import { exchangeOf, holderOf } from "../../http/middleware/exchange.ts";
import type { ParityLog } from "../../http/parity/parity-log.ts";
import type { BodyParser } from "../../http/request/body-parser.ts";
import { validatingSchema } from "../../http/request/schema-error.ts";

const defaultLimit = 100;
const limitMax = 1000;

export const parityQuery = validatingSchema(
  "query",
  z.strictObject({
    after: z
      .string()
      .regex(/^(?:mismatch|pending|match)\.\d{1,15}$/, { error: "must be the value of `next` of the page before" })
      .transform((text): ParityPosition => {
        const [result, sequence] = text.split(".");
        return { result: must(parityResults.find((each) => each === result)), sequence: Number(sequence) };
      })
      .optional(),
    limit: z
      .string()
      .regex(/^[1-9]\d{0,8}$/, { error: "must be a whole number from 1 on" })
      .transform((text) => Math.min(Number(text), limitMax))
      .optional(),
  }),
);

const messages = {
  match: "the decision was as expected",
  mismatch: "the decision was not as expected",
  pending: "this node does not know the decision yet",
} as const;

export function parityRoutes(limits: Limits, bodies: BodyParser, decisions: DecisionLog, parity: ParityLog) {
  return new Elysia()
    .use(keyAccess("read", limits.readBodyBytesMax))
    .post("/api/expect", async ({ body, request }) => {
      const { request_id: requestId, expected } = await bodies.parse("expect", body);
      return { message: messages[parity.expected(holderOf(exchangeOf(request)), requestId, expected)] };
    })
    .get(
      "/api/parity",
      async ({ query: { after, limit = defaultLimit }, request }) => {
        const { principal } = exchangeOf(request);
        // Reports show what other applications ask.
        const keyId = principal?.role === "admin" ? undefined : must(principal).id;
        const page = { limit, bytesMax: limits.decisionsPageBytesMax };
        const { counts, reports, next } = await decisions.parity(keyId, after, page);
        return { counts, reports: reports.map(reportBody), next: next ? `${next.result}.${next.sequence}` : null };
      },
      { query: parityQuery },
    );
}

function reportBody({ result, requestId, keyId, expected, allowed, timeMs, decision }: ParityReport) {
  const common = { result, expected, allowed, request_id: requestId, key: keyId };
  if (decision === undefined) return { ...common, time: new Date(timeMs).toISOString() };
  const { id, time, actor, action, resource, context_facts, redacted } = decision;
  return { ...common, time, decision: id, actor, action, resource, context_facts, redacted };
}
