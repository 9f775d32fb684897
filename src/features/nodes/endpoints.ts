/** All nodes of the environment, and when each of them had applied an event. */
import { z } from "zod";
import { replicaStateNames } from "../../replication/node-health.ts";
import { json, endpoints } from "../../http/endpoint.ts";

export const nodeEndpoints = endpoints({
  getNodes: {
    method: "GET",
    path: "/api/nodes",
    tag: "operation",
    summary: "All nodes of the environment: role, position, lag, age, state, brokers and version",
    description:
      "The primary asks all others and waits a second for them; other nodes ask it. A node that did not answer is as it was last known, for an hour.",
    kind: "node",
    role: "read",
    responses: () => ({ 200: json("The nodes: the primary, edges, fallbacks", nodesSchema) }),
  },
  getEventApplied: {
    method: "GET",
    path: "/api/events/:offset/applied",
    tag: "operation",
    summary: "When each node had applied an event, of the last 10,000 commits of each",
    description:
      "`after_ms` is the time since the commit on the primary, by the clocks of two machines. A node without a time has restarted since, or took the event from a snapshot.",
    kind: "node",
    role: "read",
    responses: () => ({ 200: json("The nodes, and when they had the event", appliedSchema) }),
    errors: ["not_found"],
  },
});

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
