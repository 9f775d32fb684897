/**
 * Parity reports: a client tells which result it expected of a decision, and operators list the differences. Both are
 * local to the node and need neither the primary nor recent data, so that a report never fails an application.
 */
import type { Limits } from "../../config/limits.ts";
import type { DecisionLog } from "../../decisions/decision-log.ts";
import type { ParityReport } from "../../decisions/parity-reports.ts";
import { exchangeOf, holderOf } from "../../http/middleware/exchange.ts";
import type { ParityLog } from "../../http/parity/parity-log.ts";
import type { Handlers } from "../../http/router.ts";
import { must } from "../../util/assert.ts";
import type { parityEndpoints } from "./endpoints.ts";

const defaultLimit = 100;

const messages = {
  match: "the decision was as expected",
  mismatch: "the decision was not as expected",
  pending: "this node does not know the decision yet",
} as const;

export function handleParity(
  limits: Limits,
  decisions: DecisionLog,
  parity: ParityLog,
): Handlers<typeof parityEndpoints> {
  return {
    expect: async ({ body: { request_id: requestId, expected }, request }) => {
      await decisions.collect();
      return { message: messages[parity.expected(holderOf(exchangeOf(request)), requestId, expected)] };
    },
    getParity: async ({ query: { after, limit = defaultLimit }, request }) => {
      const { principal } = exchangeOf(request);
      // Reports show what other applications ask.
      const keyId = principal?.role === "admin" ? undefined : must(principal).id;
      const page = { limit, bytesMax: limits.decisionsPageBytesMax };
      const { counts, reports, next } = await decisions.parity(keyId, after, page);
      return { counts, reports: reports.map(reportBody), next: next ? `${next.result}.${next.sequence}` : null };
    },
  };
}

function reportBody({ result, requestId, keyId, expected, allowed, timeMs, decision }: ParityReport) {
  const common = { result, expected, allowed, request_id: requestId, key: keyId };
  if (decision === undefined) return { ...common, time: new Date(timeMs).toISOString() };
  const { id, time, actor, action, resource, context_facts, redacted } = decision;
  return { ...common, time, decision: id, actor, action, resource, context_facts, redacted };
}
