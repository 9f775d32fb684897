/** The operations of `routes/audit.ts`, `events.ts`, `health.ts` and `operations.ts`, and of the document itself. */
import { z } from "zod";
import { replicaStateNames } from "../../replication/node-health.ts";
import type { RequestParsers } from "../../http/request/request-schemas.ts";
import { auditQuery } from "../audit/handle.ts";
import { historyFields } from "../../telemetry/metric-history.ts";
import { eventsQuery } from "../events/handle.ts";
import { promotionQuery } from "../promotion/handle.ts";
import { metricHistoryQuery } from "../metrics/handle.ts";
import { testEnvironmentQuery } from "../environments/test-environments.ts";
import { json, type Operation } from "../../http/endpoint.ts";

export function operatorOperations(bodies: RequestParsers): Operation[] {
  const open = { method: "get", tag: "operation", kind: "other", role: undefined } as const;
  const health = (path: string, id: string, summary: string, healthy: string): Operation => ({
    ...open,
    path,
    id,
    summary,
    responses: { 200: json(healthy, healthSchema), 503: json("Clients should ask another node", healthSchema) },
  });
  return [
    health("/healthcheck", "healthcheck", "Can this node answer questions?", "It can"),
    health("/api/healthcheck", "apiHealthcheck", "The same as `/healthcheck`", "It can"),
    health("/readyz", "ready", "Should clients ask this node?", "They should"),
    {
      ...open,
      path: "/livez",
      id: "live",
      summary: "Does the process of this node handle requests?",
      responses: { 200: json("It does", z.strictObject({ status: z.literal("ok"), node: z.string() })) },
    },
    {
      ...open,
      path: "/openapi.json",
      id: "getOpenApi",
      summary: "This document",
      responses: {
        200: json("The OpenAPI document of this version", z.looseObject({ openapi: z.string() })),
        304: { description: "The client has this document: its entity tag is in `If-None-Match`", content: {} },
      },
    },
    {
      ...open,
      method: "post",
      path: "/test_environment",
      id: "postTestEnvironment",
      summary: "Create a throw-away environment for tests; only `ostiary dev` has this operation",
      isDevelopment: true,
      errors: ["not_found"],
      query: testEnvironmentQuery,
      responses: {
        200: json(
          "The API key of the environment",
          z.strictObject({ token: z.string() }).meta({ id: "TestEnvironment" }),
        ),
      },
    },
    {
      method: "get",
      path: "/metrics",
      id: "getMetrics",
      tag: "operation",
      summary: "Metrics in the text format of Prometheus",
      kind: "read",
      role: "read",
      responses: { 200: { description: "The metrics", content: { "text/plain": z.string() } } },
    },
    {
      method: "get",
      path: "/api/metrics_history",
      id: "getMetricsHistory",
      tag: "operation",
      summary: "What this node did in the last hour in this environment, for charts",
      description:
        "One sample every `interval_ms`. A value is null if there was nothing to measure. `cache_hit_share` and `commit_to_visible_…` are those of all environments of the node, and only the default one has them.",
      kind: "other",
      role: "read",
      query: metricHistoryQuery,
      responses: { 200: json("The samples, oldest first", historySchema) },
    },
    {
      method: "get",
      path: "/api/events",
      id: "getEvents",
      tag: "operation",
      summary: "Changes in the order of the log, in pages or as a stream",
      description: "The header `Accept` selects a page, a CloudEvents batch or a stream of server-sent events.",
      kind: "read",
      role: "read",
      query: eventsQuery,
      responses: {
        200: {
          description: "A page of events; with `Accept: text/event-stream` a stream without an end",
          content: {
            "application/json": pageSchema,
            "application/cloudevents-batch+json": z.array(cloudEventSchema),
            "text/event-stream": z.string(),
          },
        },
      },
      errors: ["not_found", "gone", "too_many_requests"],
      errorBodies: { gone: positionErrorSchema, conflict: positionErrorSchema },
    },
    {
      method: "get",
      path: "/api/backup",
      id: "getBackup",
      tag: "operation",
      summary: "A backup of this node, with the log",
      description:
        "With `environment` a backup of another environment, or with `environments-` of the list of environments. That needs a key of the default environment.",
      query: z.strictObject({ environment: z.string().optional() }),
      kind: "read",
      role: "admin",
      responses: { 200: { description: "The backup", content: { "application/zstd": z.string() } } },
      errors: ["too_many_requests", "not_found"],
    },
    {
      method: "get",
      path: "/api/backups",
      id: "getBackups",
      tag: "operation",
      summary: "The backups of this environment in the configured directory, newest first",
      description:
        "Only their headers are read. Without the setting `backupDirectory` the answer is 404. With `all=true` the backups of all environments, which needs a key of the default environment.",
      query: z.strictObject({ all: z.enum(["true", "false"]).optional() }),
      kind: "other",
      role: "admin",
      responses: { 200: json("The backups", backupsSchema) },
      errors: ["not_found", "conflict"],
    },
    {
      method: "get",
      path: "/api/audit",
      id: "getAudit",
      tag: "operation",
      summary: "Actions of administrators, newest first",
      description: "A page can have fewer entries than `page_size`, or none, while `next_page_token` is there.",
      kind: "read",
      role: "admin",
      query: auditQuery,
      responses: { 200: json("A page of the audit log", auditPageSchema) },
    },
    {
      method: "get",
      path: "/api/promote",
      id: "previewPromotion",
      tag: "operation",
      summary: "What a promotion of this node would do now: why it would be refused, and what it would lose",
      description:
        "It makes the checks that need no votes of other nodes, and changes nothing. The promotion can still be refused.",
      kind: "other",
      role: "admin",
      query: promotionQuery,
      responses: { 200: json("The preview", promotionPreviewSchema) },
    },
    {
      method: "post",
      path: "/api/promote",
      id: "promote",
      tag: "operation",
      summary: "Make this edge the primary, of all its environments",
      description: "If it failed for `failed_environments`, it can be repeated for them.",
      kind: "other",
      role: "admin",
      body: bodies.promote.schema,
      responses: { 200: json("This node is the primary", promotedSchema) },
      errors: ["conflict"],
    },
  ];
}

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

const historyValues = z.array(z.number().nullable());

const historySchema = z
  .strictObject({
    node: z.string(),
    environment: z.string(),
    interval_ms: z.int(),
    times: z.array(z.int()).meta({ description: "When each interval ended, in milliseconds since 1970" }),
    series: z.strictObject(Object.fromEntries(historyFields.map((field) => [field, historyValues]))),
  })
  .meta({ id: "MetricsHistory" });

const cloudEventSchema = z
  .strictObject({
    specversion: z.literal("1.0"),
    id: z.string(),
    source: z.string(),
    type: z.string(),
    time: z.iso.datetime(),
    subject: z.string().optional(),
    offset: z.string(),
    epoch: z.string(),
    traceparent: z.string().optional(),
    datacontenttype: z.literal("application/json").optional(),
    data: z.looseObject({}).optional(),
  })
  .meta({ id: "CloudEvent" });

const pageSchema = z
  .strictObject({ events: z.array(cloudEventSchema), next: z.string(), head: z.string() })
  .meta({ id: "EventPage" });

/** Where the log of this node begins and ends. */
const positionErrorSchema = z
  .strictObject({
    message: z.string(),
    code: z.enum(["gone", "conflict"]),
    earliest: z.string().optional(),
    head: z.string().optional(),
  })
  .meta({ id: "PositionError" });

const moment = z.strictObject({ offset: z.int(), time: z.iso.datetime() });

const backupsSchema = z
  .strictObject({
    backups: z.array(
      z
        .strictObject({
          name: z.string().meta({ description: "The name of the file, or its path in the directory" }),
          environment: z.string(),
          made: z.iso.datetime(),
          bytes: z.int(),
          epoch: z.string(),
          earliest: moment.meta({ description: "The first moment that it can be restored to" }),
          newest: moment,
          authenticity: z
            .enum(["verified", "absent", "unchecked", "wrong"])
            .meta({ description: "Whether its message authentication code is right, missing, not checked, or wrong" }),
          node_key: z.string().optional().meta({ description: "The id of the node key that its code needs" }),
        })
        .meta({ id: "StoredBackup" }),
    ),
    complete: z.boolean().meta({ description: "Whether all files of the directory were examined" }),
  })
  .meta({ id: "StoredBackups" });

const auditPageSchema = z
  .strictObject({
    entries: z.array(
      z
        .strictObject({
          id: z.string(),
          time: z.iso.datetime(),
          node: z.string().nullable(),
          actor: z.strictObject({ kind: z.string(), id: z.string().nullable(), name: z.string().nullable() }),
          address: z.string().nullable(),
          proxy: z.string().nullable(),
          via: z.string().nullable(),
          action: z.string(),
          target: z.string().nullable(),
          details: z.looseObject({}),
          result: z.string(),
          code: z.string().nullable(),
          request_id: z.string().nullable(),
          trace_id: z.string().nullable(),
          position: z.string().nullable(),
        })
        .meta({ id: "AuditEntry" }),
    ),
    next_page_token: z.string().optional(),
  })
  .meta({ id: "AuditPage" });

const preview = {
  possible: z.boolean().meta({ description: "Whether nothing that is known prevents the promotion" }),
  reasons: z.array(z.string()).meta({ description: "Why it would be refused" }),
  warnings: z.array(z.string()).meta({ description: "What it may lose, and what it waits for" }),
  missing_events: z.int().meta({ description: "Events that this node lacks and fetches from nodes that answer" }),
  lost_events: z
    .int()
    .nullable()
    .meta({ description: "Events that the primary is known to have and no node that answers; null if not known" }),
};

const role = z.enum(["primary", "edge", "fallback"]);

const promotionPreviewSchema = z
  .strictObject({
    node: z.string(),
    role,
    offset: z.int().nullable(),
    ...preview,
    primary: z.strictObject({ url: z.string(), answers: z.boolean() }).nullable(),
    nodes: z
      .array(
        z.strictObject({
          url: z.string(),
          node: z.string().nullable(),
          role: role.nullable(),
          offset: z.int().nullable(),
        }),
      )
      .meta({ description: "The other nodes; one that does not answer has only its URL" }),
    environments: z
      .array(z.strictObject({ id: z.string(), ...preview }))
      .meta({ description: "The environments besides the default one of which this node is an edge" }),
  })
  .meta({ id: "PromotionPreview" });

const promotedSchema = z
  .strictObject({
    message: z.string(),
    epoch: z.string(),
    offset: z.int(),
    failed_environments: z.array(z.strictObject({ id: z.string(), reason: z.string() })).optional(),
  })
  .meta({ id: "Promoted" });
