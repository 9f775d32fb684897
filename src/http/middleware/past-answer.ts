/** Answers requests with the header `Ostiary-At`. They are not logged, because they are no decisions of the present. */
import { type Moment, parseMoment } from "../../decisions/moment.ts";
import type { PastQuestions } from "../../decisions/past-questions.ts";
import type { PastAnswer } from "../../decisions/past-worker.ts";
import type { DecisionKind, Questions, SerializedQuestion } from "../../engine/request/questions.ts";
import { must } from "../../util/assert.ts";
import { momentHeader } from "../endpoint.ts";
import { addHints, type Exchange, exchangeOf, holderOf, replyJson } from "./exchange.ts";

/** Returns the function that asks a question about the moment of its request. `key` is as in `PastQuestions.answer`. */
export function askPast(past: PastQuestions) {
  return async <Kind extends DecisionKind>(
    request: Request,
    kind: Kind,
    question: Questions[Kind]["question"] | SerializedQuestion<Kind>,
    key?: string,
  ): Promise<Response> => {
    const exchange = exchangeOf(request);
    const options = { holder: holderOf(exchange), key };
    return replyPast(exchange, await past.answer(momentOf(request), kind, question, options));
  };
}

/** The moment that a request with the header is about. Throws `invalid_request`. */
export function momentOf(request: Request): Moment {
  return parseMoment(must(request.headers.get(momentHeader), "the request has the header"));
}

export function replyPast(exchange: Exchange, { answer, position, unknown }: PastAnswer): Response {
  addHints(exchange, { unknown });
  return replyJson(exchange, 200, answer, { [momentHeader]: position });
}
