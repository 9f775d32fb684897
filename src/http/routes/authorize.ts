/**
 * `POST /api/authorize`: may this actor do this action on this resource? Applications ask it with every request of theirs, so nothing stands here that
 * this question does not need, and it is answered without waiting where that can be.
 */
import { Elysia } from "elysia";
import type { Limits } from "../../config/limits.ts";
import type { QueryDispatcher } from "../../engine/workers/query-dispatcher.ts";
import type { AuthorizeQuestion } from "../../engine/request/questions.ts";
import type { Node } from "../../replication/node.ts";
import { metrics } from "../../telemetry/metrics.ts";
import { readGuard } from "../middleware/access.ts";
import { parseJson } from "../request/body-reader.ts";
import type { BodyParser } from "../request/body-parser.ts";
import { type Exchange, exchangeOf, holderOf, markDecoded, replyJson } from "../middleware/exchange.ts";
import { MicroBatcher } from "./micro-batching.ts";
import { fitsInBytes } from "../../util/text-length.ts";

export const authorizePath = "/api/authorize";

type AnswerAuthorize = (exchange: Exchange, request: Request) => Promise<Response>;

/** The answer to a request, from its key to its body. Rejects with what `errors.ts` makes answers of. */
export function authorizeHandler(
  node: Node,
  limits: Limits,
  answers: QueryDispatcher,
  bodies: BodyParser,
): AnswerAuthorize {
  const guard = readGuard(node, "read");
  const decide = (text: string, holder: string): boolean | Promise<boolean> => {
    const body = parseJson(text);
    const question = plainQuestion(body, text, limits) ?? bodies.parseValue("authorize", body);
    return answers.ask("authorize", question, holder);
  };
  const reply = (exchange: Exchange, allowed: boolean): Response => {
    const decision = allowed ? allow : deny;
    metrics.decisions.inc(decision);
    if (exchange.span.isRecording()) exchange.span.setAttribute("ostiary.decision", decision.result);
    return replyJson(exchange, 200, allowed ? '{"allowed":true}' : '{"allowed":false}');
  };
  const turns = new MicroBatcher();
  return async (exchange, request) => {
    exchange.route = authorizePath;
    const waiting = guard(exchange, request);
    if (waiting !== undefined) await waiting;
    const text = await exchange.bodies.readBody(exchange, request, limits.readBodyBytesMax);
    markDecoded(exchange);
    if (typeof text !== "string") {
      const question = await bodies.parse("authorize", text);
      return reply(exchange, await answers.ask("authorize", question, holderOf(exchange)));
    }
    let allowed = answers.cachedDecision(text);
    if (allowed === undefined) {
      const others = turns.wait();
      if (others !== undefined) await others;
      const decision = decide(text, holderOf(exchange));
      // To wait for what is here already would take a twentieth of the whole.
      allowed = typeof decision === "boolean" ? decision : await decision;
    }
    return reply(exchange, allowed);
  };
}

const allow = { result: "allow" } as const;
const deny = { result: "deny" } as const;

/** The same as a route, for paths that only come to this one, such as with a query that means nothing here. */
export function authorizeRoute(answer: AnswerAuthorize) {
  return new Elysia().post(authorizePath, async ({ request }) => await answer(exchangeOf(request), request), {
    parse: "none",
  });
}

/**
 * The question in a body as nearly all are: five texts and no context facts. `undefined` for any other, which is for the schema to judge; to let it look at these as well takes as long as a remembered answer.
 */
function plainQuestion(
  body: unknown,
  text: string,
  { identifierBytesMax: max }: Limits,
): AuthorizeQuestion | undefined {
  if (body === null || typeof body !== "object") return undefined;
  const { actor_type, actor_id, action, resource_type, resource_id, context_facts } = body as Record<string, unknown>;
  const isAlone = context_facts === undefined || (Array.isArray(context_facts) && context_facts.length === 0);
  if (!isAlone || !isPlain(actor_type, max) || !isPlain(actor_id, max) || !isPlain(action, max)) return undefined;
  if (!isPlain(resource_type, max) || !isPlain(resource_id, max)) return undefined;
  const actor = { type: actor_type, id: actor_id };
  const resource = { type: resource_type, id: resource_id };
  return { actor, action, resource, contextFacts: none, text };
}

const none: AuthorizeQuestion["contextFacts"] = [];

function isPlain(name: unknown, bytesMax: number): name is string {
  return typeof name === "string" && name !== "" && fitsInBytes(name, bytesMax);
}
