/** Explanations: the question of `/api/authorize`, its decision, and the reasons (`engine/explain/explanation.ts`). */
import { Elysia } from "elysia";
import type { Limits } from "../../config/limits.ts";
import { explainDecisions } from "../../engine/workers/explanations.ts";
import type { Node } from "../../replication/node.ts";
import { readAccess } from "../middleware/access.ts";
import type { BodyParser } from "../request/body-parser.ts";
import { exchangeOf, holderOf, jsonResponse } from "../middleware/exchange.ts";

export function explainRoutes(node: Node, limits: Limits, bodies: BodyParser) {
  const explain = explainDecisions(limits);
  return new Elysia()
    .use(readAccess(node, { role: "read", bodyBytesMax: limits.readBodyBytesMax }))
    .post("/api/explain", async ({ body, request }) => {
      const question = await bodies.parse("authorize", body);
      return jsonResponse(await explain(question, node.engine().path, holderOf(exchangeOf(request))));
    });
}
