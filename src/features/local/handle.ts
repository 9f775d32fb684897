/**
 * Local authorization: questions whose answer is SQL for the database of the application. Requests and responses are
 * those of Oso Cloud; `data_bindings_name` and `parameters` are additions.
 */
import { Elysia } from "elysia";
import type { Limits } from "../../config/limits.ts";
import type { DecisionLog } from "../../decisions/decision-log.ts";
import { loggedQuestion } from "../../decisions/decision-question.ts";
import {
  type AnswerNote,
  type LocalKind,
  type LocalSql,
  type Questions,
  SerializedQuestion,
} from "../../engine/request/questions.ts";
import type { QueryDispatcher } from "../../engine/workers/query-dispatcher.ts";
import type { Node } from "../../replication/node.ts";
import { readAccess } from "../../http/middleware/access.ts";
import { addHints, exchangeOf, holderOf } from "../../http/middleware/exchange.ts";
import type { BodyParser } from "../../http/request/body-parser.ts";

export function localRoutes(
  node: Node,
  limits: Limits,
  queries: QueryDispatcher,
  bodies: BodyParser,
  decisions: DecisionLog,
) {
  /** Asks for SQL, and logs that. */
  const ask = async <Kind extends LocalKind>(
    request: Request,
    kind: Kind,
    question: Questions[Kind]["question"] | SerializedQuestion<Kind>,
  ): Promise<LocalSql> => {
    const exchange = exchangeOf(request);
    const note: AnswerNote = {};
    const answer = await queries.ask(kind, question, holderOf(exchange), note);
    decisions.listed(
      exchange,
      kind,
      question instanceof SerializedQuestion ? question : loggedQuestion(question),
      note,
    );
    addHints(exchange, note);
    return answer;
  };
  return new Elysia()
    .use(readAccess(node, "read", limits.readBodyBytesMax))
    .post("/api/authorize_query", async ({ body, request }) =>
      ask(request, "authorizeLocal", await bodies.parse("authorizeLocal", body)),
    )
    .post("/api/list_query", async ({ body, request }) =>
      ask(request, "listLocal", await bodies.parse("listLocal", body)),
    )
    .post("/api/actions_query", async ({ body, request }) =>
      ask(request, "actionsLocal", await bodies.parse("actionsLocal", body)),
    )
    .post("/api/evaluate_query_local", async ({ body, request }) =>
      ask(request, "queryLocal", await bodies.parseQuestion("queryLocal", body)),
    );
}
