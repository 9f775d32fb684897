/** Whether a node works, and the OpenAPI document. Load balancers and tools ask for them without a key. */
import { z } from "zod";
import { replicaStateNames } from "../../replication/node-health.ts";
import { endpoints, json } from "../../http/endpoint.ts";

const open = { method: "GET", tag: "operation", kind: "node", role: undefined } as const;
const health = <const Path extends string>(path: Path, summary: string, healthy: string) => ({
  ...open,
  path,
  summary,
  responses: () => ({ 200: json(healthy, healthSchema), 503: json("Clients should ask another node", healthSchema) }),
});

export const healthEndpoints = endpoints({
  healthcheck: health("/healthcheck", "Can this node answer questions?", "It can"),
  apiHealthcheck: health("/api/healthcheck", "The same as `/healthcheck`", "It can"),
  ready: health("/readyz", "Should clients ask this node?", "They should"),
  live: {
    ...open,
    path: "/livez",
    summary: "Does the process of this node handle requests?",
    responses: () => ({ 200: json("It does", z.strictObject({ status: z.literal("ok"), node: z.string() })) }),
  },
  getOpenApi: {
    ...open,
    path: "/openapi.json",
    summary: "This document",
    responses: () => ({
      200: json("The OpenAPI document of this version", z.looseObject({ openapi: z.string() })),
      304: { description: "The client has this document: its entity tag is in `If-None-Match`", content: {} },
    }),
  },
});

/** The paths that load balancers ask. */
export const healthPaths: ReadonlySet<string> = new Set(
  [healthEndpoints.healthcheck, healthEndpoints.apiHealthcheck, healthEndpoints.ready, healthEndpoints.live].map(
    ({ path }) => path,
  ),
);

const healthSchema = z
  .strictObject({
    status: z.enum(["ok", "not ready"]),
    degraded: z.string().optional(),
    role: z.enum(["primary", "edge", "fallback"]),
    node: z.string(),
    state: z.enum(replicaStateNames),
    following: z.string().optional(),
    epoch: z.string().nullable(),
    term: z.int().nullable(),
    offset: z.int().nullable(),
    digest: z.string().nullable(),
    age_ms: z.number().nullable(),
    commit_to_visible_ms: z.number().nullable().optional(),
    feed_connected: z.boolean(),
    brokers: z.array(z.strictObject({ broker: z.string(), connected: z.boolean() })),
    pledged_to: z.string().optional(),
    kept_format: z.int().optional(),
    unreplicated_events: z.int().optional(),
  })
  .meta({ id: "Health" });
