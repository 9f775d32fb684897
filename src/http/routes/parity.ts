/**
 * Parity reports: a client tells which result it expected of a decision, and operators list the differences. Both are
 * local to the node and need neither the primary nor recent data, so that a report never fails an application.
 */
import { Elysia } from "elysia";
import { z } from "zod";
import type { Limits } from "../../config/limits.ts";
import type { Node } from "../../replication/node.ts";
import { must } from "../../util/assert.ts";
import { keyAccess } from "../middleware/access.ts";
import { exchangeOf, holderOf } from "../middleware/exchange.ts";
import { parseKeptQuestion } from "../parity/kept-question.ts";
import { type ParityLog, type ParityPosition, type ParityReport, parityResults } from "../parity/parity-log.ts";
import type { BodyParser } from "../request/body-parser.ts";
import { validatingSchema } from "../request/schema-error.ts";

const defaultLimit = 100;
const limitMax = 1000;

/** A page ends early when its questions have this many characters. */
const pageCharactersMax = 512 * 1024;

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

export function parityRoutes(node: Node, limits: Limits, bodies: BodyParser, parity: ParityLog) {
  return new Elysia()
    .use(keyAccess(node, "read", limits.readBodyBytesMax))
    .post("/api/expect", async ({ body, request }) => {
      const { request_id: requestId, expected } = await bodies.parse("expect", body);
      return { message: messages[parity.expected(holderOf(exchangeOf(request)), requestId, expected)] };
    })
    .get(
      "/api/parity",
      ({ query: { after, limit = defaultLimit }, request }) => {
        const { principal } = exchangeOf(request);
        // Reports show what other applications ask.
        const keyId = principal?.role === "admin" ? undefined : must(principal).id;
        const counts = parity.counts(keyId);
        return { counts, ...pageOf(parity.list(keyId, after), limit) };
      },
      { query: parityQuery },
    );
}

function pageOf(listed: Iterable<ParityReport>, limit: number) {
  const reports: ParityReport[] = [];
  let characters = 0;
  for (const report of listed) {
    const last = reports.at(-1);
    if (last !== undefined && (reports.length === limit || characters > pageCharactersMax))
      return { reports: reports.map(reportBody), next: `${last.result}.${last.sequence}` };
    reports.push(report);
    characters += report.requestId.length + (report.decision?.question.length ?? 0);
  }
  return { reports: reports.map(reportBody), next: null };
}

function reportBody({ result, requestId, keyId, expected, timeMs, decision }: ParityReport) {
  const common = { result, expected, allowed: decision?.allowed ?? null, request_id: requestId, key: keyId };
  const time = new Date(decision?.timeMs ?? timeMs).toISOString();
  if (decision === undefined) return { ...common, time };
  const question = parseKeptQuestion(decision.question);
  return {
    ...common,
    time,
    actor: question.actor,
    action: question.action,
    resource: question.resource,
    context_facts: question.contextFacts,
    ...(decision.omittedFacts === 0 ? {} : { omitted_context_facts: decision.omittedFacts }),
  };
}
