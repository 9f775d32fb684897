/** The audit log. */
import { z } from "zod";
import { pageSize, zonedTime } from "../../http/request/query-schemas.ts";
import { endpoints, json } from "../../http/endpoint.ts";
import { auditResults } from "../../store/log/audit-entry.ts";

export const auditEndpoints = endpoints({
  getAudit: {
    method: "GET",
    path: "/api/audit",
    tag: "operation",
    summary: "Actions of administrators, newest first",
    description: "A page can have fewer entries than `page_size`, or none, while `next_page_token` is there.",
    kind: "read",
    role: "admin",
    query: () => auditQuery,
    responses: () => ({ 200: json("A page of the audit log", auditPageSchema) }),
  },
});

const filterText = z.string().min(1).max(256).optional();

const auditQuery = z.object({
  who: filterText,
  action: filterText,
  result: z.enum(auditResults).optional(),
  since: zonedTime,
  until: zonedTime,
  page_size: pageSize,
  page_token: z.string().max(256).optional(),
});

const auditPageSchema = z
  .strictObject({
    entries: z.array(
      z
        .strictObject({
          id: z.string(),
          time: z.iso.datetime(),
          node: z.string().nullable(),
          actor: z.strictObject({ kind: z.string(), id: z.string().nullable(), name: z.string().nullable() }),
          address: z.string().nullable(),
          proxy: z.string().nullable(),
          via: z.string().nullable(),
          action: z.string(),
          target: z.string().nullable(),
          details: z.looseObject({}),
          result: z.string(),
          code: z.string().nullable(),
          request_id: z.string().nullable(),
          trace_id: z.string().nullable(),
          position: z.string().nullable(),
        })
        .meta({ id: "AuditEntry" }),
    ),
    next_page_token: z.string().optional(),
  })
  .meta({ id: "AuditPage" });
