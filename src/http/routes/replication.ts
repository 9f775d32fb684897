/** What nodes ask of each other. The node's own part answers, and asks for the node key: a client's key opens nothing here. */
import { Elysia } from "elysia";
import type { Node } from "../../replication/node.ts";
import { AppError } from "../../util/app-error.ts";
import { exchangeOf } from "../middleware/exchange.ts";

export function replicationRoutes(node: Node) {
  return new Elysia().all(
    "/replication/v1/*",
    async ({ request, route }) => {
      exchangeOf(request).route = route;
      const answer = node.replication(request);
      if (answer === undefined) {
        const message = `this ${node.role} serves no other nodes, ask the primary`;
        throw new AppError("not_found", message, { details: { message, role: node.role } });
      }
      return answer;
    },
    { parse: "none" },
  );
}
