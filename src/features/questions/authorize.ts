/**
 * `POST /api/authorize`: may this actor do this action on this resource? Applications send it with each of their own
 * requests, so this file avoids all work that this route does not need, and avoids asynchronous steps where it can.
 */
import type { Limits } from "../../config/limits.ts";
import type { DecisionLog } from "../../decisions/decision-log.ts";
import type { AnswerNote, AuthorizeQuestion } from "../../engine/request/questions.ts";
import type { QueryDispatcher } from "../../engine/workers/query-dispatcher.ts";
import type { Node } from "../../replication/node.ts";
import { metrics } from "../../telemetry/metrics.ts";
import { must } from "../../util/assert.ts";
import { momentHeader } from "../../http/endpoint.ts";
import { readGuard } from "../../http/middleware/access.ts";
import type { ParityLog } from "../../http/parity/parity-log.ts";
import { type LargeBody, parseJson } from "../../http/request/body-reader.ts";
import type { BodyParser } from "../../http/request/body-parser.ts";
import { addHints, type Exchange, holderOf, markDecoded, replyJson } from "../../http/middleware/exchange.ts";
import type { WholeHandler } from "../../http/router.ts";
import { simpleAuthorizeQuestion } from "../../http/request/request-schemas.ts";
import { authorizeEndpoints } from "./endpoints.ts";
import type { authorizePast } from "./past.ts";

/** A longer body is not logged as it is: the question can be much shorter. */
const loggedBodyCharactersMax = 4096;

/** Handles a request from its API key to its response. Throws or rejects with errors that `errors.ts` turns into responses. */
export function authorizeHandler(
  node: Node,
  limits: Limits,
  answer: ReturnType<typeof authorizeAnswer>,
  answerPast: ReturnType<typeof authorizePast>,
): WholeHandler {
  const { path } = authorizeEndpoints.authorize;
  const guard = readGuard(node, "read");
  const readAndAnswer = (exchange: Exchange, request: Request): Promise<Response> =>
    request.headers.has(momentHeader)
      ? answerPast(exchange, request)
      : exchange.parts.bodies.withBody(exchange, request, limits.readBodyBytesMax, answer);
  return (exchange, request) => {
    exchange.route = path;
    const access = guard(exchange, request);
    return access === undefined
      ? readAndAnswer(exchange, request)
      : access.then(() => readAndAnswer(exchange, request));
  };
}

/** Returns the function that answers the body of a request whose sender may ask. Throws or rejects as `authorizeHandler`. */
export function authorizeAnswer(
  limits: Limits,
  queries: Pick<QueryDispatcher, "cachedDecision" | "ask">,
  bodies: Pick<BodyParser, "parse" | "parseValue">,
  parity: Pick<ParityLog, "decided">,
  decisions: Pick<DecisionLog, "authorized">,
  count = (decision: typeof allow | typeof deny): void => metrics.decisions.inc(decision),
): (exchange: Exchange, body: string | LargeBody) => Response | Promise<Response> {
  const questionOf = (text: string): AuthorizeQuestion => {
    const body = parseJson(text);
    return simpleAuthorizeQuestion(body, text, limits) ?? bodies.parseValue("authorize", body);
  };
  const reply = (
    exchange: Exchange,
    allowed: boolean,
    asked: string | AuthorizeQuestion,
    note: AnswerNote,
  ): Response => {
    addHints(exchange, note);
    decisions.authorized(exchange, asked, allowed, must(note.version, "an answer has a version"));
    parity.decided(holderOf(exchange), exchange.requestId);
    const decision = allowed ? allow : deny;
    count(decision);
    exchange.decision = decision.result;
    if (exchange.span.isRecording()) exchange.span.setAttribute("ostiary.decision", decision.result);
    return replyJson(exchange, 200, allowed ? '{"allowed":true}' : '{"allowed":false}');
  };
  const answerLarge = async (exchange: Exchange, body: LargeBody, note: AnswerNote): Promise<Response> => {
    const question = await bodies.parse("authorize", body);
    return reply(exchange, await queries.ask("authorize", question, holderOf(exchange), note), question, note);
  };
  return (exchange, body) => {
    markDecoded(exchange);
    const note: AnswerNote = { version: undefined, unknown: undefined };
    if (typeof body !== "string") return answerLarge(exchange, body, note);
    const isShort = body.length <= loggedBodyCharactersMax;
    const cached = queries.cachedDecision(body, note);
    if (cached !== undefined) return reply(exchange, cached, isShort ? body : questionOf(body), note);
    const question = questionOf(body);
    const asked = isShort ? body : question;
    const decision = queries.ask("authorize", question, holderOf(exchange), note);
    return typeof decision === "boolean"
      ? reply(exchange, decision, asked, note)
      : decision.then((allowed) => reply(exchange, allowed, asked, note));
  };
}

const allow = { result: "allow" } as const;
const deny = { result: "deny" } as const;
