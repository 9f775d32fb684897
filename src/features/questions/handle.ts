/**
 * Questions: decisions, lists about one actor, the query builder, and explanations. Responses have exactly the documented
 * keys, because some clients accept no others. `authorize.ts` has the most frequent one.
 */
import type { Limits } from "../../config/limits.ts";
import type { DecisionLog } from "../../decisions/decision-log.ts";
import type {
  AnswerNote,
  DecisionKind,
  ListAnswerKind,
  Questions,
  SerializedQuestion,
} from "../../engine/request/questions.ts";
import { explainDecisions } from "../../engine/workers/explanations.ts";
import type { QueryDispatcher } from "../../engine/workers/query-dispatcher.ts";
import { addHints, exchangeOf, holderOf, jsonResponse } from "../../http/middleware/exchange.ts";
import { questionEngine } from "../../http/middleware/question-engine.ts";
import type { ListPages } from "../../http/pages/list-pages.ts";
import type { Handlers } from "../../http/router.ts";
import type { Node } from "../../replication/node.ts";
import type { questionEndpoints } from "./endpoints.ts";

export function handleQuestions(
  node: Node,
  limits: Limits,
  queries: Pick<QueryDispatcher, "ask" | "askList">,
  pages: Pick<ListPages, "first" | "next">,
  decisions: Pick<DecisionLog, "listed">,
): Handlers<typeof questionEndpoints> {
  const explain = explainDecisions(limits);
  /** Asks for a list of decisions, and logs it. */
  const askList = async <Kind extends ListAnswerKind & DecisionKind, Key extends string | undefined = undefined>(
    request: Request,
    kind: Kind,
    question: Questions[Kind]["question"] | SerializedQuestion<Kind>,
    key?: Key,
  ) => {
    const exchange = exchangeOf(request);
    const note: AnswerNote = {};
    const answer = await queries.askList(kind, question, {
      holder: holderOf(exchange),
      ...(key !== undefined && { key }),
      note,
    });
    decisions.listed(exchange, kind, question, note);
    addHints(exchange, note);
    return answer;
  };
  return {
    authorizeResources: ({ body, request }) => askList(request, "authorizeResources", body, "results"),
    // A request without a size and a token gets the whole list in one response without `next_page_token`, for clients
    // that do not know paging. Oso Cloud accepts no sizes below 10,000; this node does. A size above the maximum is
    // reduced to it, because a client continues with the token anyway.
    list: ({ body: { question, pageSize, pageToken }, request }) => {
      const exchange = exchangeOf(request);
      if (pageToken !== null) return pages.next(question, pageToken, exchange);
      return pageSize === null
        ? askList(request, "list", question, "results")
        : pages.first(question, Math.min(pageSize, limits.listPageEntriesMax), exchange);
    },
    actions: async ({ body: question, request }) => {
      const exchange = exchangeOf(request);
      const note: AnswerNote = {};
      const results = await queries.ask("actions", question, holderOf(exchange), note);
      decisions.listed(exchange, "actions", question, note);
      addHints(exchange, note);
      return { results };
    },
    bulkActions: ({ body, request }) => askList(request, "bulkActions", body, undefined),
    query: ({ body, request }) => askList(request, "queryPattern", body, "results"),
    // A `null` in a result means every value of the variable's type.
    evaluateQuery: ({ body, request }) => askList(request, "query", body, "results"),
    explain: async ({ body, request }) =>
      jsonResponse(await explain(body, questionEngine(node).path, holderOf(exchangeOf(request)))),
  };
}
