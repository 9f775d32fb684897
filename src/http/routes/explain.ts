/** Why a question is answered as it is: the question of `/api/authorize`, its answer, and the reasons (`engine/explain/explanation.ts`). */
import { Elysia } from "elysia";
import type { Limits } from "../../config/limits.ts";
import { Explanations } from "../../engine/explanations.ts";
import type { Node } from "../../replication/node.ts";
import { readAccess } from "../access.ts";
import { exchangeOf, holderOf } from "../exchange.ts";
import { taking } from "../schema-error.ts";
import { authorizeBody, authorizeQuestion } from "./authorize.ts";

export function explainRoutes(node: Node, limits: Limits) {
  const explanations = new Explanations(limits);
  const take = taking("body", authorizeBody(limits));
  return new Elysia()
    .use(readAccess(node, { role: "read", bodyBytesMax: limits.readBodyBytesMax }))
    .post("/api/explain", ({ body, request }) =>
      explanations.explain(authorizeQuestion(take(body)), node.engine().path, holderOf(exchangeOf(request))),
    );
}
