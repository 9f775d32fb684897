/** Metrics of now, and those of the last hour. */
import { z } from "zod";
import { historyFields } from "../../telemetry/metric-history.ts";
import { zonedTime } from "../../http/request/query-schemas.ts";
import { endpoints, json } from "../../http/endpoint.ts";

export const metricEndpoints = endpoints({
  getMetrics: {
    method: "GET",
    path: "/metrics",
    tag: "operation",
    summary: "Metrics in the text format of Prometheus",
    kind: "read",
    appliance: "metrics are those of all environments, so they need a key of the default environment",
    role: "read",
    responses: () => ({ 200: { description: "The metrics", content: { "text/plain": z.string() } } }),
  },
  getMetricsHistory: {
    method: "GET",
    path: "/api/metrics_history",
    tag: "operation",
    summary: "What this node did in the last hour in this environment, for charts",
    description:
      "One sample every `interval_ms`. A value is null if there was nothing to measure. `cache_hit_share` and `commit_to_visible_…` are those of all environments of the node, and only the default one has them.",
    kind: "node",
    role: "read",
    query: () => metricHistoryQuery,
    responses: () => ({ 200: json("The samples, oldest first", historySchema) }),
  },
});

const metricHistoryQuery = z.object({
  since: zonedTime,
});

const historyValues = z.array(z.number().nullable());

const historySchema = z
  .strictObject({
    node: z.string(),
    environment: z.string(),
    interval_ms: z.int(),
    times: z.array(z.int()).meta({ description: "When each interval ended, in milliseconds since 1970" }),
    series: z.strictObject(
      Object.fromEntries(historyFields.map((field) => [field, historyValues])) as Record<
        (typeof historyFields)[number],
        typeof historyValues
      >,
    ),
  })
  .meta({ id: "MetricsHistory" });
