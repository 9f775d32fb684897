/** Questions about an earlier moment, with the header `Ostiary-At`. `handle.ts` and `authorize.ts` have the others. */
import type { Limits } from "../../config/limits.ts";
import type { PastQuestions } from "../../decisions/past-questions.ts";
import { type Exchange, exchangeOf, holderOf, markDecoded } from "../../http/middleware/exchange.ts";
import { askPast, momentOf, replyPast } from "../../http/middleware/past-answer.ts";
import type { BodyParser } from "../../http/request/body-parser.ts";
import { type LargeBody, parseJson } from "../../http/request/body-reader.ts";
import type { Handlers } from "../../http/router.ts";
import { AppError } from "../../util/app-error.ts";
import type { questionEndpoints } from "./endpoints.ts";

/** Handles the requests of `handleQuestions`. */
export function handlePastQuestions(past: PastQuestions): Handlers<typeof questionEndpoints> {
  const ask = askPast(past);
  return {
    authorizeResources: ({ body, request }) => ask(request, "authorizeResources", body, "results"),
    list: ({ body: { question, pageSize, pageToken }, request }) => {
      if (pageSize !== null || pageToken !== null)
        throw new AppError(
          "invalid_request",
          "a list of an earlier moment has no pages; leave out `page_size` and `page_token`",
        );
      return ask(request, "list", question, "results");
    },
    actions: ({ body, request }) => ask(request, "actions", body, "results"),
    bulkActions: ({ body, request }) => ask(request, "bulkActions", body),
    query: ({ body, request }) => ask(request, "queryPattern", body, "results"),
    evaluateQuery: ({ body, request }) => ask(request, "query", body, "results"),
    explain: async ({ body, request }) => {
      const exchange = exchangeOf(request);
      return replyPast(exchange, await past.explain(momentOf(request), body, holderOf(exchange)));
    },
  };
}

/** Returns the function that reads and answers a request for a decision whose sender may ask. */
export function authorizePast(
  past: PastQuestions,
  bodies: Pick<BodyParser, "parse" | "parseValue">,
  { readBodyBytesMax }: Pick<Limits, "readBodyBytesMax">,
): (exchange: Exchange, request: Request) => Promise<Response> {
  const answer = async (exchange: Exchange, body: string | LargeBody): Promise<Response> => {
    markDecoded(exchange);
    const moment = momentOf(exchange.received);
    const question =
      typeof body === "string"
        ? bodies.parseValue("authorize", parseJson(body))
        : await bodies.parse("authorize", body);
    const options = { holder: holderOf(exchange), key: "allowed" };
    return replyPast(exchange, await past.answer(moment, "authorize", question, options));
  };
  return (exchange, request) => exchange.parts.bodies.withBody(exchange, request, readBodyBytesMax, answer);
}
