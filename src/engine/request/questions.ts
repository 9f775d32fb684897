/** The questions that a node answers and the shapes of their answers, as `engine.ts` takes them and `http/` and the policy tests ask them. */
import type { Fact, Value } from "../../store/facts/fact.ts";

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
