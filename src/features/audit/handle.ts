/** The audit log, for administrators. */
import type { Limits } from "../../config/limits.ts";
import { formatAuditPageToken, parseAuditPageToken } from "../../http/pages/audit-page-token.ts";
import type { Handlers } from "../../http/router.ts";
import type { Node } from "../../replication/node.ts";
import { formatToken } from "../../log/event/position.ts";
import type { AuditEntry } from "../../store/log/audit-entry.ts";
import type { auditEndpoints } from "./endpoints.ts";

const pageSizeDefault = 100;

export function handleAudit(node: Node, limits: Limits): Handlers<typeof auditEndpoints> {
  return {
    getAudit: ({ query }) => {
      const { who, action, result, since: sinceMs, until: untilMs, page_token: token } = query;
      const before = token === undefined ? undefined : parseAuditPageToken(token);
      const size = Math.min(query.page_size ?? pageSizeDefault, limits.auditPageMax);
      const { entries, next } = node.audit.read({ who, action, result, sinceMs, untilMs }, { before, size });
      return { entries: entries.map(publicEntry), ...(next && { next_page_token: formatAuditPageToken(next) }) };
    },
  };
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
