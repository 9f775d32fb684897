/** The operations of `routes/nodes.ts` and `routes/traces.ts`. */
import { z } from "zod";
import { replicaStateNames } from "../../replication/node-health.ts";
import { spanKinds } from "../../telemetry/recent-traces.ts";
import { tracesQuery } from "../traces/handle.ts";
import { json, type Operation } from "../../http/endpoint.ts";

export function nodeOperations(): Operation[] {
  return [
    {
      method: "get",
      path: "/api/nodes",
      id: "getNodes",
      tag: "operation",
      summary: "All nodes of the environment: role, position, lag, age, state, brokers and version",
      description:
        "The primary asks all others and waits a second for them; other nodes ask it. A node that did not answer is as it was last known, for an hour.",
      kind: "other",
      role: "read",
      responses: { 200: json("The nodes: the primary, edges, fallbacks", nodesSchema) },
    },
    {
      method: "get",
      path: "/api/events/:offset/applied",
      id: "getEventApplied",
      tag: "operation",
      summary: "When each node had applied an event, of the last 10,000 commits of each",
      description:
        "`after_ms` is the time since the commit on the primary, by the clocks of two machines. A node without a time has restarted since, or took the event from a snapshot.",
      kind: "other",
      role: "read",
      responses: { 200: json("The nodes, and when they had the event", appliedSchema) },
      errors: ["not_found"],
    },
    {
      method: "get",
      path: "/api/traces",
      id: "getTraces",
      tag: "operation",
      summary: "The last traces that this node recorded, newest first, and the percentiles of their segments",
      kind: "other",
      role: "admin",
      query: tracesQuery,
      responses: { 200: json("The traces of this node", tracesSchema) },
    },
    {
      method: "get",
      path: "/api/traces/:id",
      id: "getTrace",
      tag: "operation",
      summary: "The spans of one trace, from all nodes that answer within a second",
      kind: "other",
      role: "admin",
      responses: { 200: json("The spans in the order in which they began", traceSchema) },
      errors: ["not_found"],
    },
  ];
}

const roles = z.enum(["primary", "edge", "fallback"]);

const nodesSchema = z
  .strictObject({
    asked: z.string(),
    environment: z.string(),
    nodes: z.array(
      z.strictObject({
        node: z.string(),
        role: roles,
        version: z.string().nullable(),
        state: z.union([z.enum(replicaStateNames), z.string()]).nullable(),
        ready: z.boolean().nullable(),
        degraded: z.string().optional(),
        epoch: z.string().nullable(),
        term: z.int().nullable(),
        offset: z.int().nullable(),
        lag_events: z.int().nullable(),
        age_ms: z.number().nullable(),
        brokers: z.array(z.strictObject({ broker: z.string(), connected: z.boolean() })),
        node_keys: z.array(z.string()).optional(),
        kept_format: z.int().optional(),
        seen_ms_ago: z.number(),
        answered: z.boolean(),
      }),
    ),
  })
  .meta({ id: "Nodes" });

const appliedSchema = z
  .strictObject({
    offset: z.string(),
    committed: z.iso.datetime().nullable(),
    nodes: z.array(
      z.strictObject({
        node: z.string(),
        role: roles,
        has_event: z.boolean().nullable(),
        applied: z.iso.datetime().nullable(),
        after_ms: z.number().nullable(),
        answered: z.boolean(),
      }),
    ),
  })
  .meta({ id: "EventApplied" });

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
