/**
 * Metrics in the text format of Prometheus. They show traffic and sizes, so they need an API key; the role `read` is
 * enough (`authorization: { credentials: … }` in the scrape configuration of Prometheus).
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
