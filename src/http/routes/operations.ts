/** Routes for operators and for other nodes: metrics, backup, promotion, replication. */
import { Elysia } from "elysia";
import type { Limits } from "../../config/limits.ts";
import type { Node } from "../../replication/node.ts";
import { metricsContentType, renderMetrics } from "../../telemetry/metrics.ts";
import { AppError } from "../../util/app-error.ts";
import { pathOf } from "../../util/request-url.ts";
import { readAccess, writeAccess } from "../middleware/access.ts";
import { auditDraftOf, recordSnapshotRequest } from "../middleware/audit.ts";
import { exchangeOf } from "../middleware/exchange.ts";
import type { BodyParser } from "../request/body-parser.ts";

/**
 * Metrics in the text format of Prometheus. They show traffic and sizes, so they need an API key; the role `read` is
 * enough (`authorization: { credentials: … }` in the scrape configuration of Prometheus).
 */
export function metricsRoutes(node: Node, limits: Limits) {
  return new Elysia()
    .use(readAccess(node, "read", limits.readBodyBytesMax))
    .get(
      "/metrics",
      async () => new Response(await renderMetrics(), { headers: { "Content-Type": metricsContentType } }),
    );
}

/** A backup: all data of this node, including the log, as one file. */
export function backupRoutes(node: Node, limits: Limits) {
  return new Elysia()
    .use(readAccess(node, "admin", limits.readBodyBytesMax))
    .get("/api/backup", async ({ request }) => {
      const response = await node.backup();
      const draft = auditDraftOf(exchangeOf(request));
      if (draft !== undefined) node.audit.record(draft);
      return response;
    });
}

/** Promotion: an edge becomes the primary. */
export function promoteRoutes(node: Node, limits: Limits, bodies: BodyParser) {
  return new Elysia()
    .use(writeAccess(node, "admin", limits.writeBodyBytesMax))
    .post("/api/promote", async ({ body, request }) => {
      const options = await bodies.parse("promote", body);
      const exchange = exchangeOf(request);
      exchange.audited = { target: node.id, details: { ...options } };
      if (node.promote === undefined)
        throw new AppError("conflict", `this is a ${node.role}, only an edge can be promoted`);
      const { epoch, offset } = await node.promote({ ...options, audit: auditDraftOf(exchange) });
      return { message: `this node is the primary from offset ${offset} on`, epoch, offset };
    });
}

/** Requests of other nodes. The node itself handles them and requires the node key: an API key gives no access here. */
export function replicationRoutes(node: Node) {
  return new Elysia().all(
    "/replication/v1/*",
    async ({ request, route }) => {
      const exchange = exchangeOf(request);
      exchange.route = route;
      const response = await node.replication(request);
      if (response === undefined) {
        const message = `this ${node.role} serves no other nodes, ask the primary`;
        throw new AppError("not_found", message, { details: { message, role: node.role } });
      }
      if (request.method === "GET" && pathOf(request.url) === "/replication/v1/snapshot")
        recordSnapshotRequest(exchange, request.headers.get("ostiary-node"), response);
      return response;
    },
    { parse: "none" },
  );
}
