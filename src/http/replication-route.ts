/** The requests of other nodes, which are no part of the API. */
import { Elysia } from "elysia";
import type { Node } from "../replication/node.ts";
import { AppError } from "../util/app-error.ts";
import { pathOf } from "../util/request-url.ts";
import { recordSnapshotRequest } from "./middleware/audit.ts";
import { exchangeOf } from "./middleware/exchange.ts";

/** Requests of other nodes. The node itself handles them and requires the node key: an API key gives no access here. */
export function replicationRoute(node: Node) {
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
