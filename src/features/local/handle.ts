/**
 * Local authorization: questions whose answer is SQL for the database of the application. Requests and responses are
 * those of Oso Cloud; `data_bindings_name` and `parameters` are additions.
 */
import type { DecisionLog } from "../../decisions/decision-log.ts";
import { loggedQuestion } from "../../decisions/decision-question.ts";
import type { PastQuestions } from "../../decisions/past-questions.ts";
import {
  type AnswerNote,
  type LocalKind,
  type LocalSql,
  type Questions,
  SerializedQuestion,
} from "../../engine/request/questions.ts";
import type { QueryDispatcher } from "../../engine/workers/query-dispatcher.ts";
import { addHints, exchangeOf, holderOf } from "../../http/middleware/exchange.ts";
import { askPast } from "../../http/middleware/past-answer.ts";
import type { Handlers } from "../../http/router.ts";
import type { localEndpoints } from "./endpoints.ts";

export function handleLocal(queries: QueryDispatcher, decisions: DecisionLog): Handlers<typeof localEndpoints> {
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
  return {
    authorizeQuery: ({ body, request }) => ask(request, "authorizeLocal", body),
    listQuery: ({ body, request }) => ask(request, "listLocal", body),
    actionsQuery: ({ body, request }) => ask(request, "actionsLocal", body),
    evaluateQueryLocal: ({ body, request }) => ask(request, "queryLocal", body),
  };
}

/** As `handleLocal`, for questions about an earlier moment. */
export function handlePastLocal(past: PastQuestions): Handlers<typeof localEndpoints> {
  const ask = askPast(past);
  return {
    authorizeQuery: ({ body, request }) => ask(request, "authorizeLocal", body),
    listQuery: ({ body, request }) => ask(request, "listLocal", body),
    actionsQuery: ({ body, request }) => ask(request, "actionsLocal", body),
    evaluateQueryLocal: ({ body, request }) => ask(request, "queryLocal", body),
  };
}
