/** Routes for operators and for other nodes: metrics, backup, promotion, replication. */
import { Elysia } from "elysia";
import type { Limits } from "../../config/limits.ts";
import type { Node } from "../../replication/node.ts";
import { metricsContentType, renderMetrics } from "../../telemetry/metrics.ts";
import { AppError } from "../../util/app-error.ts";
import { pathOf } from "../../util/request-url.ts";
import { readAccess, writeAccess } from "../middleware/access.ts";
import { auditDraftOf, recordSnapshotRequest } from "../middleware/audit.ts";
import { exchangeOf } from "../middleware/exchange.ts";
import type { BodyParser } from "../request/body-parser.ts";
import { type Environments, promoteOthers } from "./environments.ts";

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

/** A backup: all data of this node, including the log, as one file. */
export function backupRoutes(node: Node, limits: Limits) {
  return new Elysia()
    .use(readAccess(node, "admin", limits.readBodyBytesMax))
    .get("/api/backup", async ({ request }) => {
      const response = await node.backup();
      const draft = auditDraftOf(exchangeOf(request));
      if (draft !== undefined) node.audit.record(draft);
      return response;
    });
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
      const { epoch, offset } = (await node.promote?.(options)) ?? positionOfPrimary(node, environments);
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
function positionOfPrimary(node: Node, environments: Environments | undefined) {
  const state = node.state();
  const isPartial = environments
    ?.list()
    .some(({ here, deletedMs }) => here?.role === "edge" && deletedMs === undefined);
  if (node.role === "primary" && isPartial === true && state !== undefined)
    return { epoch: state.epoch, offset: state.offset };
  throw new AppError("conflict", `this is a ${node.role}, only an edge can be promoted`);
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
