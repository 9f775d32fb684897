/** The questions that a node answers and the shapes of their answers, as `engine.ts` takes them and `http/` and the policy tests ask them. */
import type { Fact, FactPattern, Value } from "../../store/facts/fact.ts";
import type { Revision } from "../../store/log/revision.ts";

export interface AuthorizeQuestion {
  readonly actor: Value;
  readonly action: string;
  readonly resource: Value;
  readonly contextFacts: readonly Fact[];
  /** What the question came as, where there are no context facts: the decision is remembered under it. */
  readonly text?: string;
}

export interface ResourcesQuestion {
  readonly actor: Value;
  readonly action: string;
  readonly resources: readonly Value[];
  readonly contextFacts: readonly Fact[];
}

export interface ListQuestion {
  readonly actor: Value;
  readonly action: string;
  readonly resourceType: string;
  readonly contextFacts: readonly Fact[];
}

export interface ListingQuestion extends ListQuestion {
  /** The second that it is asked for, since 1970; the present one where it is absent. */
  readonly now?: number | undefined;
}

export interface ActionsQuestion {
  readonly actor: Value;
  readonly resource: Value;
  readonly contextFacts: readonly Fact[];
}

/** A conjunction of calls over named variables, each with a concrete type and, optionally, the ids that it may take. */
export interface Query {
  readonly calls: readonly { readonly predicate: string; readonly variables: readonly string[] }[];
  readonly variables: ReadonlyMap<string, { readonly type: string; readonly ids: readonly string[] | null }>;
  readonly contextFacts: readonly Fact[];
}

/** One answer: variable name to id, `null` where every value of the variable's type would do. */
export type QueryRow = Readonly<Record<string, string | null>>;

/** A whole list, and all that it hangs on beside the question. */
export interface Listing extends Revision {
  /** The moment that it was taken for, in seconds since 1970; `null` where facts are not compared with the clock. */
  readonly second: number | null;
  /** Sorted, `*` among them where every resource of the type is meant. */
  readonly ids: readonly string[];
}

/** All kinds of questions, by the name of the engine's method that answers them. */
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

/** The kinds whose answers are lists, which may be large. */
export type ListAnswerKind = "authorizeResources" | "list" | "query" | "facts";
