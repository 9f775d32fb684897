/** Routes for operators and for other nodes: metrics, backup, promotion, replication. */
import { Elysia } from "elysia";
import { z } from "zod";
import type { Limits } from "../../config/limits.ts";
import type { StoredBackup, StoredBackups } from "../../replication/backup/stored-backups.ts";
import { withoutPeersProblem } from "../../replication/failover/fence.ts";
import type { Node, PromoteOptions } from "../../replication/node.ts";
import { metricsContentType, renderMetrics } from "../../telemetry/metrics.ts";
import { AppError } from "../../util/app-error.ts";
import { pathOf } from "../../util/request-url.ts";
import { keyAccess, readAccess, writeAccess } from "../../http/middleware/access.ts";
import { auditDraftOf, recordSnapshotRequest } from "../../http/middleware/audit.ts";
import { exchangeOf } from "../../http/middleware/exchange.ts";
import type { BodyParser } from "../../http/request/body-parser.ts";
import { forceAndGraceful } from "../../http/request/request-schemas.ts";
import { validatingSchema } from "../../http/request/schema-error.ts";
import { clip } from "../../util/text-length.ts";
import { type Environments, promoteOthers } from "../environments/handle.ts";

/**
 * Metrics in the text format of Prometheus. They show traffic and sizes, so they need an API key; the role `read` is
 * enough (`authorization: { credentials: … }` in the scrape configuration of Prometheus).
 */
export function metricsRoutes(node: Node, limits: Limits) {
  return new Elysia()
    .use(readAccess(node, "read", limits.readBodyBytesMax))
    .get(
      "/metrics",
      async () => new Response(await renderMetrics(), { headers: { "Content-Type": metricsContentType } }),
    );
}

const flag = z
  .enum(["true", "false"])
  .default("false")
  .transform((text) => text === "true");

/** Lists the backups in the configured directory: of this environment, or of all. */
export type ListBackups = (isOfAll: boolean) => Promise<StoredBackups>;

/** The stored backups. The files may be far away, so requests at the same time share an answer. */
export function storedBackupRoutes(limits: Limits, list: ListBackups | undefined, isHosted: boolean) {
  const underWay = new Map<boolean, Promise<StoredBackups>>();
  return new Elysia().use(keyAccess("admin", limits.readBodyBytesMax)).get(
    "/api/backups",
    async ({ query: { all } }) => {
      if (all && isHosted) throw new AppError("forbidden", ofBackups);
      if (list === undefined)
        throw new AppError("not_found", "this node has no directory with backups, set `backupDirectory`");
      const shared = underWay.get(all) ?? list(all).finally(() => underWay.delete(all));
      underWay.set(all, shared);
      const { backups, isCut } = await shared;
      return { backups: backups.map(describedBackup), complete: !isCut };
    },
    { query: validatingSchema("query", z.strictObject({ all: flag })) },
  );
}

const ofBackups = "backups of other environments need an admin key of the default one";

function describedBackup({ name, bytes, authenticity, manifest }: StoredBackup) {
  const { environment, epoch, offset, timeMs, madeMs, nodeKey } = manifest;
  const moment = (point: { readonly offset: number; readonly timeMs: number }) => ({
    offset: point.offset,
    time: new Date(point.timeMs).toISOString(),
  });
  const [earliest, newest] = [moment(manifest.from ?? manifest), moment({ offset, timeMs })];
  const made = new Date(madeMs).toISOString();
  return {
    name,
    environment,
    made,
    bytes,
    epoch,
    earliest,
    newest,
    authenticity,
    ...(nodeKey !== undefined && { node_key: nodeKey }),
  };
}

/** A backup: all data of this node, including the log, as one file. */
export function backupRoutes(node: Node, limits: Limits, environments: Environments | undefined) {
  return new Elysia().use(readAccess(node, "admin", limits.readBodyBytesMax)).get(
    "/api/backup",
    async ({ query: { environment = node.environment }, request }) => {
      const exchange = exchangeOf(request);
      const isOwn = environment === node.environment;
      if (!isOwn) exchange.audited = { target: clip(environment, 64) };
      if (!isOwn && environments === undefined) throw new AppError("forbidden", ofBackups);
      const response = isOwn
        ? await node.backup()
        : await (environments as Environments).backUp(environment, exchange.requestId);
      const draft = auditDraftOf(exchange);
      if (draft !== undefined) node.audit.record(draft);
      return response;
    },
    { query: validatingSchema("query", z.strictObject({ environment: z.string().optional() })) },
  );
}

/** What `POST /api/promote` would do now. It asks other nodes, so requests that ask the same share an answer. */
export function promotionPreviewRoutes(node: Node, limits: Limits, environments: Environments | undefined) {
  const underWay = new Map<string, ReturnType<typeof previewOf>>();
  return new Elysia().use(keyAccess("admin", limits.readBodyBytesMax)).get(
    "/api/promote",
    ({ query }) => {
      const name = JSON.stringify(query);
      const shared = underWay.get(name);
      if (shared !== undefined) return shared;
      const preview = previewOf(node, environments, query).finally(() => underWay.delete(name));
      underWay.set(name, preview);
      return preview;
    },
    { query: promotionQuery },
  );
}

export const promotionQuery = validatingSchema(
  "query",
  z
    .strictObject({ force: flag, graceful: flag })
    .refine(({ force, graceful }) => !(force && graceful), { error: forceAndGraceful }),
);

async function previewOf(
  node: Node,
  environments: Environments | undefined,
  options: Pick<PromoteOptions, "force" | "graceful">,
) {
  const own = await node.previewPromotion?.(options);
  const others = (await environments?.previewOthers(options)) ?? [];
  const isPartial = node.role === "primary" && others.length > 0;
  const isForced = node.promote !== undefined && options.force;
  const reasons = own?.reasons ?? (isPartial || isForced ? [] : [notAnEdge(node)]);
  return {
    ...{ node: node.id, role: node.role, offset: node.state()?.offset ?? null },
    ...{ possible: reasons.length === 0, reasons, warnings: own?.warnings ?? [] },
    primary: own?.primary ?? null,
    nodes: (own?.nodes ?? []).map(({ url, node: id = null, role = null, offset = null }) => ({
      ...{ url, node: id, role, offset },
    })),
    missing_events: own?.missingEvents ?? 0,
    lost_events: own === undefined ? 0 : (own.lostEvents ?? null),
    environments: others.map(([id, preview]) => ({
      ...{ id, possible: preview.reasons.length === 0, reasons: preview.reasons, warnings: preview.warnings },
      ...{ missing_events: preview.missingEvents, lost_events: preview.lostEvents ?? null },
    })),
  };
}

function notAnEdge({ role, promote }: Node): string {
  if (promote !== undefined) return withoutPeersProblem;
  return `this is a ${role}, only an edge can be promoted`;
}

/**
 * Promotion: an edge becomes the primary of all environments. If it failed for some of them, it can be repeated for those.
 */
export function promoteRoutes(node: Node, limits: Limits, bodies: BodyParser, environments: Environments | undefined) {
  return new Elysia()
    .use(writeAccess(node, "admin", limits.writeBodyBytesMax))
    .post("/api/promote", async ({ body, request }) => {
      const wanted = await bodies.parse("promote", body);
      const exchange = exchangeOf(request);
      exchange.audited = { target: node.id, details: { ...wanted } };
      const options = { ...wanted, audit: auditDraftOf(exchange) };
      const { epoch, offset } =
        (await node.promote?.(options)) ?? (await positionOfPrimary(node, environments, options));
      const failed = await promoteOthers(environments, options);
      const message = `this node is the primary from offset ${offset} on`;
      if (failed === undefined) return { message, epoch, offset };
      const names = failed.map(({ id }) => `\`${id}\``).join(", ");
      return {
        message: `${message}, but not of ${names}`,
        epoch,
        offset,
        failed_environments: failed,
      };
    });
}

/** Of a primary that is not the primary of all environments yet. Throws AppError `conflict` on other nodes. */
async function positionOfPrimary(node: Node, environments: Environments | undefined, options: PromoteOptions) {
  const state = node.state();
  if (node.role === "primary" && state !== undefined && (await environments?.previewOthers(options))?.length)
    return { epoch: state.epoch, offset: state.offset };
  throw new AppError("conflict", notAnEdge(node));
}

/** Requests of other nodes. The node itself handles them and requires the node key: an API key gives no access here. */
export function replicationRoutes(node: Node) {
  return new Elysia().all(
    "/replication/v1/*",
    async ({ request, route }) => {
      const exchange = exchangeOf(request);
      exchange.route = route;
      const response = await node.replication(request);
      if (response === undefined) {
        const message = `this ${node.role} serves no other nodes, ask the primary`;
        throw new AppError("not_found", message, { details: { message, role: node.role } });
      }
      if (request.method === "GET" && pathOf(request.url) === "/replication/v1/snapshot")
        recordSnapshotRequest(exchange, request.headers.get("ostiary-node"), response);
      return response;
    },
    { parse: "none" },
  );
}
