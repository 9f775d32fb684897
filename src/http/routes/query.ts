/**
 * The route of the query builder: a conjunction of calls over typed variables. A `null` in a result means every value
 * of the variable's type.
 */
import { Elysia } from "elysia";
import type { Limits } from "../../config/limits.ts";
import type { QueryDispatcher } from "../../engine/workers/query-dispatcher.ts";
import type { Node } from "../../replication/node.ts";
import { readAccess } from "../middleware/access.ts";
import type { BodyParser } from "../request/body-parser.ts";
import { exchangeOf, holderOf } from "../middleware/exchange.ts";

export function queryRoutes(node: Node, limits: Limits, queries: QueryDispatcher, bodies: BodyParser) {
  return new Elysia()
    .use(readAccess(node, { role: "read", bodyBytesMax: limits.readBodyBytesMax }))
    .post("/api/evaluate_query", async ({ body, request }) => {
      const question = await bodies.parseQuestion("query", body);
      return queries.askList("query", question, { holder: holderOf(exchangeOf(request)), key: "results" });
    });
}
