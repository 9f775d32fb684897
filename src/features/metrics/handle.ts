/** The metrics of the last hour, for charts. */
import { Elysia } from "elysia";
import { z } from "zod";
import type { Limits } from "../../config/limits.ts";
import type { Node } from "../../replication/node.ts";
import { historyIntervalMs, type MetricHistory } from "../../telemetry/metric-history.ts";
import { keyAccess } from "../../http/middleware/access.ts";
import { validatingSchema } from "../../http/request/schema-error.ts";

/** It works on a node whose database is behind: that is when an operator needs it. */
export function metricHistoryRoutes(node: Node, limits: Limits, history: MetricHistory) {
  return new Elysia().use(keyAccess("read", limits.readBodyBytesMax)).get(
    "/api/metrics_history",
    ({ query }) => ({
      node: node.id,
      environment: node.environment,
      interval_ms: historyIntervalMs,
      ...history.read(query.since),
    }),
    { query: metricHistoryQuery },
  );
}

export const metricHistoryQuery = validatingSchema(
  "query",
  z.object({
    since: z.iso
      .datetime({ offset: true, error: "must be a time with a zone, such as 2026-11-26T07:00:00Z" })
      .transform((text) => Date.parse(text))
      .optional(),
  }),
);
