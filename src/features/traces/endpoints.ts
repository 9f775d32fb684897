/** The traces that nodes recorded last. */
import { z } from "zod";
import { spanKinds } from "../../telemetry/recent-traces.ts";
import { timeText } from "../../http/request/request-schemas.ts";
import { countText } from "../../http/request/query-schemas.ts";
import { endpoints, json } from "../../http/endpoint.ts";

export const traceEndpoints = endpoints({
  getTraces: {
    method: "GET",
    path: "/api/traces",
    tag: "operation",
    summary: "The last traces that this node recorded, newest first, and the percentiles of their segments",
    kind: "node",
    role: "admin",
    query: () => tracesQuery,
    responses: () => ({ 200: json("The traces of this node", tracesSchema) }),
  },
  getTrace: {
    method: "GET",
    path: "/api/traces/:id",
    tag: "operation",
    summary: "The spans of one trace, from all nodes that answer within a second",
    kind: "node",
    role: "admin",
    responses: () => ({ 200: json("The spans in the order in which they began", traceSchema) }),
    errors: ["not_found"],
  },
});

const roles = z.enum(["primary", "edge", "fallback"]);

const routeLengthMax = 200;

const tracesQuery = z.strictObject({
  min_ms: z
    .string()
    .regex(/^\d{1,9}(?:\.\d{1,6})?$/, { error: "must be a number of milliseconds" })
    .optional(),
  route: z
    .string()
    .max(routeLengthMax, { error: `must have at most ${routeLengthMax} characters` })
    .optional(),
  since: timeText.optional(),
  between_nodes: z.enum(["true", "false"]).optional().meta({
    description: "Whether requests of other nodes are listed as well; by default only if `route` names them",
  }),
  console: z.enum(["true", "false"]).optional().meta({
    description: "Whether requests of the web console are listed as well; default `true`",
  }),
  limit: countText.optional(),
});

const tracesSchema = z
  .strictObject({
    node: z.string(),
    traces: z.array(
      z.strictObject({
        id: z.string(),
        name: z.string(),
        start: z.iso.datetime(),
        duration_ms: z.number(),
        failed: z.boolean(),
        status: z.int().optional(),
        spans: z.int(),
      }),
    ),
    segments: z.array(
      z.strictObject({
        name: z.string(),
        count: z.int(),
        p50_ms: z.number(),
        p90_ms: z.number(),
        p99_ms: z.number(),
        max_ms: z.number(),
      }),
    ),
    external_url: z.string().optional(),
  })
  .meta({ id: "Traces" });

const traceSchema = z
  .strictObject({
    id: z.string(),
    nodes: z.array(z.strictObject({ node: z.string(), role: roles, answered: z.boolean() })),
    spans: z.array(
      z.strictObject({
        node: z.string(),
        id: z.string(),
        parent: z.string().nullable(),
        name: z.string(),
        kind: z.enum(spanKinds),
        start: z.iso.datetime(),
        start_us: z.int(),
        duration_us: z.int(),
        failed: z.boolean(),
        attributes: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
      }),
    ),
    external_url: z.string().optional(),
  })
  .meta({ id: "Trace" });
