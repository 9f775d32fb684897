/** The audit log, for administrators. */
import { Elysia } from "elysia";
import { z } from "zod";
import type { Limits } from "../../config/limits.ts";
import { auditResults, type AuditEntry, type Node } from "../../replication/node.ts";
import { formatToken } from "../../replication/position.ts";
import { readAccess } from "../../http/middleware/access.ts";
import { formatAuditPageToken, parseAuditPageToken } from "../../http/pages/audit-page-token.ts";
import { validatingSchema } from "../../http/request/schema-error.ts";

const pageSizeDefault = 100;

export function auditRoutes(node: Node, limits: Limits) {
  return new Elysia().use(readAccess(node, "admin", limits.readBodyBytesMax)).get(
    "/api/audit",
    ({ query }) => {
      const { who, action, result, since: sinceMs, until: untilMs, page_token: token } = query;
      const before = token === undefined ? undefined : parseAuditPageToken(token);
      const size = Math.min(query.page_size ?? pageSizeDefault, limits.auditPageMax);
      const { entries, next } = node.audit.read({ who, action, result, sinceMs, untilMs }, { before, size });
      return { entries: entries.map(publicEntry), ...(next && { next_page_token: formatAuditPageToken(next) }) };
    },
    { query: auditQuery },
  );
}

function publicEntry(entry: AuditEntry) {
  const { id, timeMs, node, actor, address, proxy, via, action, target, details, result, code } = entry;
  const { requestId, traceId, epoch, offset } = entry;
  return {
    ...{ id, time: new Date(timeMs).toISOString(), node, actor, address, proxy, via, action, target, details },
    ...{ result, code, request_id: requestId, trace_id: traceId },
    position: epoch === null || offset === null ? null : formatToken(epoch, offset),
  };
}

const time = z.iso
  .datetime({ offset: true, error: "must be a time with a zone, such as 2026-11-26T07:00:00Z" })
  .transform((text) => Date.parse(text))
  .optional();

const filterText = z.string().min(1).max(256).optional();

export const auditQuery = validatingSchema(
  "query",
  z.object({
    who: filterText,
    action: filterText,
    result: z.enum(auditResults).optional(),
    since: time,
    until: time,
    page_size: z
      .string()
      .regex(/^[1-9]\d{0,14}$/, { error: "must be a whole number of at least 1" })
      .transform(Number)
      .optional(),
    page_token: z.string().max(256).optional(),
  }),
);
