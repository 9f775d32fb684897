/** Requests of other nodes. The node itself handles them and requires the node key: an API key gives no access here. */
import { Elysia } from "elysia";
import type { Node } from "../../replication/node.ts";
import { AppError } from "../../util/app-error.ts";
import { exchangeOf } from "../middleware/exchange.ts";

export function replicationRoutes(node: Node) {
  return new Elysia().all(
    "/replication/v1/*",
    async ({ request, route }) => {
      exchangeOf(request).route = route;
      const response = node.replication(request);
      if (response === undefined) {
        const message = `this ${node.role} serves no other nodes, ask the primary`;
        throw new AppError("not_found", message, { details: { message, role: node.role } });
      }
      return response;
    },
    { parse: "none" },
  );
}
