/** Metrics of now, and those of the last hour. */
import type { Handlers } from "../../http/router.ts";
import type { Node } from "../../replication/node.ts";
import { historyIntervalMs, type MetricHistory } from "../../telemetry/metric-history.ts";
import { metricsContentType, renderMetrics } from "../../telemetry/metrics.ts";
import type { metricEndpoints } from "./endpoints.ts";

export function handleMetrics(node: Node, history: MetricHistory): Handlers<typeof metricEndpoints> {
  return {
    getMetrics: async () => new Response(await renderMetrics(), { headers: { "Content-Type": metricsContentType } }),
    getMetricsHistory: ({ query }) => ({
      node: node.id,
      environment: node.environment,
      interval_ms: historyIntervalMs,
      ...history.read(query.since),
    }),
  };
}
