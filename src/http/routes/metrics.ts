/**
 * Prometheus text. It shows traffic and sizes, so it takes a key like everything but the health endpoints; one with the role `read` will do
 * (`authorization: { credentials: … }` in Prometheus' scrape configuration).
 */
import { Elysia } from "elysia";
import type { Limits } from "../../config/limits.ts";
import type { Node } from "../../replication/node.ts";
import { metricsContentType, renderMetrics } from "../../telemetry/metrics.ts";
import { readAccess } from "../middleware/access.ts";

export function metricsRoutes(node: Node, limits: Limits) {
  return new Elysia()
    .use(readAccess(node, { role: "read", bodyBytesMax: limits.readBodyBytesMax }))
    .get(
      "/metrics",
      async () => new Response(await renderMetrics(), { headers: { "Content-Type": metricsContentType } }),
    );
}
