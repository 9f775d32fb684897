/**
 * A rehearsal of the most frequent questions, right after the start: it loads and compiles the code and the schemas that
 * the first request needs. Nothing of it is counted, logged or sent.
 */
import type { Limits } from "../../config/limits.ts";
import type { AuthorizeQuestion } from "../../engine/request/questions.ts";
import { localQueries } from "../../engine/workers/local-queries.ts";
import { attachExchange, beginExchange, type ExchangeParts, reply } from "../../http/middleware/exchange.ts";
import { questionEngine } from "../../http/middleware/question-engine.ts";
import type { BodyParser } from "../../http/request/body-parser.ts";
import type { Node } from "../../replication/node.ts";
import { unrecordedSpan } from "../../telemetry/tracing.ts";
import { authorizeAnswer } from "./authorize.ts";
import { questionEndpoints } from "./endpoints.ts";
import { handleQuestions } from "./handle.ts";

/** The code of later rounds is faster, but each takes time. */
const rounds = 3;

/**
 * Asks for a decision that the policy declares, and for two lists. Does nothing without a policy. Throws and rejects as
 * these questions do.
 */
export async function rehearseQuestions(
  node: Node,
  limits: Limits,
  bodies: BodyParser,
  parts: ExchangeParts,
): Promise<void> {
  const question = questionEngine(node).declaredQuestion;
  if (question === undefined) return;
  const queries = localQueries(() => questionEngine(node));
  const decide = authorizeAnswer(limits, queries, bodies, { decided() {} }, { authorized() {} }, () => {});
  const handlers = handleQuestions(node, limits, queries, { first: noPage, next: noPage }, { listed() {} });
  for (let round = 0; round < rounds; round++) {
    const request = new Request("http://localhost/", { method: "POST" });
    const exchange = beginExchange(node, request, parts, unrecordedSpan(undefined), undefined);
    attachExchange(request, exchange);
    await decide(exchange, JSON.stringify({ ...bodyOf(question), round }));
    for (const id of ["list", "actions"] as const) {
      const endpoint = questionEndpoints[id];
      const handler = handlers[id] as (call: object) => unknown;
      const body = bodies.parseValue(endpoint.body, bodyOf(question, id));
      reply(exchange, 200, await handler({ body, request, path: endpoint.path, params: {} }));
    }
  }
}

function bodyOf({ actor, action, resource }: AuthorizeQuestion, kind?: "list" | "actions") {
  return {
    ...{ actor_type: actor.type, actor_id: actor.id, resource_type: resource.type, context_facts: [] },
    ...(kind !== "actions" && { action }),
    ...(kind !== "list" && { resource_id: resource.id }),
  };
}

function noPage(): never {
  throw new Error("a rehearsal asks for no pages");
}
