/** Why a question is answered as it is: the question of `/api/authorize`, its answer, and the reasons (`engine/explain/explanation.ts`). */
import { Elysia } from "elysia";
import type { Limits } from "../../config/limits.ts";
import { Explanations } from "../../engine/explanations.ts";
import type { Node } from "../../replication/node.ts";
import { readAccess } from "../access.ts";
import type { BodyParser } from "../body-parser.ts";
import { exchangeOf, holderOf, jsonResponse } from "../exchange.ts";

export function explainRoutes(node: Node, limits: Limits, bodies: BodyParser) {
  const explanations = new Explanations(limits);
  return new Elysia()
    .use(readAccess(node, { role: "read", bodyBytesMax: limits.readBodyBytesMax }))
    .post("/api/explain", async ({ body, request }) => {
      const question = await bodies.parse("authorize", body);
      return jsonResponse(await explanations.explain(question, node.engine().path, holderOf(exchangeOf(request))));
    });
}
