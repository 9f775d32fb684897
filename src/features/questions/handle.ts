/**
 * The questions other than `authorize`: lists about one actor, the query builder, and explanations. Responses have
 * exactly the documented keys, because some clients accept no others.
 */
import { Elysia } from "elysia";
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
import type { Node } from "../../replication/node.ts";
import { readAccess } from "../../http/middleware/access.ts";
import type { BodyParser } from "../../http/request/body-parser.ts";
import { addHints, exchangeOf, holderOf, jsonResponse } from "../../http/middleware/exchange.ts";
import { questionEngine } from "../../http/middleware/question-engine.ts";
import type { ListPages } from "../../http/pages/list-pages.ts";

export function questionRoutes(
  node: Node,
  limits: Limits,
  queries: QueryDispatcher,
  bodies: BodyParser,
  pages: ListPages,
  decisions: DecisionLog,
) {
  const explain = explainDecisions(limits);
  /** Asks for a list of decisions, and logs it. */
  const askList = async <Kind extends ListAnswerKind & DecisionKind>(
    request: Request,
    kind: Kind,
    question: Questions[Kind]["question"] | SerializedQuestion<Kind>,
    key?: string,
  ) => {
    const exchange = exchangeOf(request);
    const note: AnswerNote = {};
    const answer = await queries.askList(kind, question, { holder: holderOf(exchange), ...(key && { key }), note });
    decisions.listed(exchange, kind, question, note);
    addHints(exchange, note);
    return answer;
  };
  return (
    new Elysia()
      .use(readAccess(node, "read", limits.readBodyBytesMax))
      .post("/api/authorize_resources", async ({ body, request }) => {
        const question = await bodies.parseQuestion("authorizeResources", body);
        return askList(request, "authorizeResources", question, "results");
      })
      // A request without a size and a token gets the whole list in one response without `next_page_token`, for clients
      // that do not know paging. Oso Cloud accepts no sizes below 10,000; this node does. A size above the maximum is
      // reduced to it, because a client continues with the token anyway.
      .post("/api/list", async ({ body, request }) => {
        const { question, pageSize, pageToken } = await bodies.parse("list", body);
        const exchange = exchangeOf(request);
        if (pageToken !== null) return pages.next(question, pageToken, exchange);
        return pageSize === null
          ? askList(request, "list", question, "results")
          : pages.first(question, Math.min(pageSize, limits.listPageEntriesMax), exchange);
      })
      .post("/api/actions", async ({ body, request }) => {
        const question = await bodies.parse("actions", body);
        const exchange = exchangeOf(request);
        const note: AnswerNote = {};
        const results = await queries.ask("actions", question, holderOf(exchange), note);
        decisions.listed(exchange, "actions", question, note);
        addHints(exchange, note);
        return { results };
      })
      .post("/api/bulk_actions", async ({ body, request }) => {
        const question = await bodies.parseQuestion("bulkActions", body);
        return askList(request, "bulkActions", question);
      })
      .post("/api/query", async ({ body, request }) => {
        const question = await bodies.parse("queryPattern", body);
        return askList(request, "queryPattern", question, "results");
      })
      // A `null` in a result means every value of the variable's type.
      .post("/api/evaluate_query", async ({ body, request }) => {
        const question = await bodies.parseQuestion("query", body);
        return askList(request, "query", question, "results");
      })
      .post("/api/explain", async ({ body, request }) => {
        const question = await bodies.parse("explain", body);
        return jsonResponse(await explain(question, questionEngine(node).path, holderOf(exchangeOf(request))));
      })
  );
}
