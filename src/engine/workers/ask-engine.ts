/** All kinds of questions under one name each, for what passes them on without looking into them. */
import type { Fact, FactPattern, Value } from "../../store/facts/fact.ts";
import type { Engine } from "../engine.ts";
import type { Listing } from "../query/result-sets.ts";
import type {
  ActionsQuestion,
  AuthorizeQuestion,
  ListingQuestion,
  ListQuestion,
  Query,
  ResourcesQuestion,
  QueryRow,
} from "../request/questions.ts";

/** The kinds of questions, and their answers. */
export interface Questions {
  authorize: { readonly question: AuthorizeQuestion; readonly answer: boolean };
  authorizeResources: { readonly question: ResourcesQuestion; readonly answer: Value[] };
  list: { readonly question: ListQuestion; readonly answer: string[] };
  listing: { readonly question: ListingQuestion; readonly answer: Listing };
  actions: { readonly question: ActionsQuestion; readonly answer: string[] };
  query: { readonly question: Query; readonly answer: QueryRow[] };
  facts: { readonly question: FactPattern; readonly answer: Fact[] };
}

export type QuestionKind = keyof Questions;

/** Questions whose answers are lists, and may be large. */
export type ListAnswerKind = "authorizeResources" | "list" | "query" | "facts";

/** The kinds of questions are the names of the engine's methods. */
export function askEngine<Kind extends QuestionKind>(
  engine: Engine,
  kind: Kind,
  question: Questions[Kind]["question"],
): Questions[Kind]["answer"] {
  const answer = engine[kind] as (question: Questions[Kind]["question"]) => Questions[Kind]["answer"];
  return answer.call(engine, question);
}
