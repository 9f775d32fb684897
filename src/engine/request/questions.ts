/** The questions that a node answers, and their answers. */
import type { Fact, FactPattern, Value } from "../../store/facts/fact.ts";
import type { Revision } from "../../store/log/store-state.ts";

export interface AuthorizeQuestion {
  readonly actor: Value;
  readonly action: string;
  readonly resource: Value;
  readonly contextFacts: readonly Fact[];
  /** The request body, if there are no context facts: it is the key in the decision cache. */
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
  /** The second for which the list is computed, since 1970; by default the current one. */
  readonly now?: number | undefined;
}

export interface ActionsQuestion {
  readonly actor: Value;
  readonly resource: Value;
  readonly contextFacts: readonly Fact[];
}

/**
 * A conjunction of calls over named variables. Each variable has a concrete type and, optionally, a list of ids that it
 * may have.
 */
export interface Query {
  readonly calls: readonly { readonly predicate: string; readonly variables: readonly string[] }[];
  readonly variables: ReadonlyMap<string, { readonly type: string; readonly ids: readonly string[] | null }>;
  readonly contextFacts: readonly Fact[];
}

/** One answer: variable names with ids; `null` means that every value of the variable's type satisfies the query. */
export type QueryRow = Readonly<Record<string, string | null>>;

/** A complete list with everything that it depends on besides the question. */
export interface Listing extends Revision {
  /** The second for which it was computed, since 1970; `null` if facts are not compared with the time. */
  readonly second: number | null;
  /** Sorted; `*` among them stands for every resource of the type. */
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
