/** Routes for operators and for other nodes: metrics, backup, promotion, replication. */
import { Elysia } from "elysia";
import type { Limits } from "../../config/limits.ts";
import type { Node } from "../../replication/node.ts";
import { metricsContentType, renderMetrics } from "../../telemetry/metrics.ts";
import { AppError } from "../../util/app-error.ts";
import { readAccess, writeAccess } from "../middleware/access.ts";
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
  return new Elysia().use(readAccess(node, "admin", limits.readBodyBytesMax)).get("/api/backup", () => node.backup());
}

/** Promotion: an edge becomes the primary. */
export function promoteRoutes(node: Node, limits: Limits, bodies: BodyParser) {
  return new Elysia()
    .use(writeAccess(node, "admin", limits.writeBodyBytesMax))
    .post("/api/promote", async ({ body }) => {
      const options = await bodies.parse("promote", body);
      if (node.promote === undefined)
        throw new AppError("conflict", `this is a ${node.role}, only an edge can be promoted`);
      const { epoch, offset } = await node.promote(options);
      return { message: `this node is the primary from offset ${offset} on`, epoch, offset };
    });
}

/** Requests of other nodes. The node itself handles them and requires the node key: an API key gives no access here. */
export function replicationRoutes(node: Node) {
  return new Elysia().all(
    "/replication/v1/*",
    async ({ request, route }) => {
      exchangeOf(request).route = route;
      const response = node.replication(request);
      if (response === undefined) {
        const message = `this ${node.role} serves no other nodes, ask the primary`;
        throw new AppError("not_found", message, { details: { message, role: node.role } });
      }
      return response;
    },
    { parse: "none" },
  );
}
