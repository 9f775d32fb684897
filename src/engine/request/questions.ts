/** The questions that a node answers, their answers, and questions as JSON. */
import type { ResourceMetadata } from "../../polar/metadata.ts";
import type { Fact, FactPattern, Value } from "../../store/facts/fact.ts";
import type { Revision } from "../../store/log/store-state.ts";
import type { PackedStrings } from "./packed-strings.ts";

interface ActionQuestion {
  readonly actor: Value;
  readonly action: string;
  readonly contextFacts: readonly Fact[];
}

export interface AuthorizeQuestion extends ActionQuestion {
  readonly resource: Value;
  /** The request body, if there are no context facts: it is the key in the decision cache. */
  readonly text?: string;
}

export interface ResourcesQuestion extends ActionQuestion {
  readonly resources: readonly Value[];
}

export interface ListQuestion extends ActionQuestion {
  readonly resourceType: string;
}

export interface ListingQuestion extends ListQuestion {
  /** The second for which the list is computed, since 1970; by default the current one. */
  readonly now?: number | undefined;
}

/** Which actors of a type may do an action on a resource? */
export interface ActorListingQuestion extends Omit<AuthorizeQuestion, "actor" | "text"> {
  readonly actorType: string;
  /** As in `ListingQuestion`. */
  readonly now?: number | undefined;
}

/** The questions whose answers have pages. */
export type PagedQuestion = ListQuestion | Omit<ActorListingQuestion, "now">;

export type ActionsQuestion = Pick<AuthorizeQuestion, "actor" | "resource" | "contextFacts">;

/** Several questions. `contextFacts` hold for all of them, besides those of each. */
export interface BulkActionsQuestion {
  readonly questions: readonly ActionsQuestion[];
  readonly contextFacts: readonly Fact[];
}

/** Which facts match the pattern, be they stored, given with the question or derived by rules? */
export interface PatternQuestion {
  readonly fact: FactPattern;
  readonly contextFacts: readonly Fact[];
}

/** A conjunction of calls over variables, which have a concrete type and, optionally, a list of possible ids. */
export interface Query {
  readonly calls: readonly { readonly predicate: string; readonly variables: readonly string[] }[];
  readonly variables: ReadonlyMap<string, { readonly type: string; readonly ids: readonly string[] | null }>;
  readonly contextFacts: readonly Fact[];
}

/** The data bindings of a question: their text, or the name under which the environment has them. */
export type BindingsReference = { readonly text: string } | { readonly name: string };

/** A question whose answer is SQL for the database of an application (local authorization). */
interface LocalQuestion {
  readonly bindings: BindingsReference;
  /** Whether the values of the SQL are parameters, instead of literals. */
  readonly withParameters: boolean;
}

export interface LocalAuthorizeQuestion extends Omit<AuthorizeQuestion, "text">, LocalQuestion {}

export interface LocalListQuestion extends ListQuestion, LocalQuestion {
  /** The column with the ids of the resources, as the application writes it. */
  readonly column: string;
}

export interface LocalActionsQuestion extends ActionsQuestion, LocalQuestion {}

export interface LocalQueryQuestion extends Query, LocalQuestion {
  readonly output:
    | {
        readonly mode: "select";
        /** Variables, and the names of their columns. */
        readonly columns: readonly (readonly [variable: string, column: string])[];
      }
    | { readonly mode: "filter"; readonly variable: string; readonly column: string };
}

/** Are these data bindings valid? */
export interface BindingsCheckQuestion {
  readonly bindings: { readonly text: string };
}

export interface BindingsCheck {
  readonly signatures: number;
}

/** A decision to explain; with bindings also which rows of the application can change it. */
export interface ExplainQuestion {
  readonly question: AuthorizeQuestion;
  readonly bindings?: BindingsReference | undefined;
}

export interface LocalSql {
  readonly sql: string;
  /** Only with parameters: their values, in order. */
  readonly parameters?: readonly string[];
}

/** One answer: variable names with ids; `null` means that every value of the variable's type satisfies the query. */
export type QueryRow = Readonly<Record<string, string | null>>;

/** Everything that a list depends on besides the question. */
export interface ListingVersion extends Revision {
  /** The second for which it was computed, since 1970; `null` if facts are not compared with the time. */
  readonly second: number | null;
}

export interface Listing extends ListingVersion {
  /** Sorted; `*` among them stands for every resource of the type. */
  readonly ids: PackedStrings;
}

/** What an answer was computed from, besides the question. */
export interface AnswerVersion extends Revision {
  /** 0 without a policy. */
  readonly policyId: number;
  /** The time that facts were compared with, in seconds since 1970. */
  readonly clock: number;
  /** Whether the decision came from the decision cache. */
  readonly isCached: boolean;
}

/** All kinds of questions, by the name of the engine's method that answers them. */
export interface Questions {
  authorize: { readonly question: AuthorizeQuestion; readonly answer: boolean };
  authorizeResources: { readonly question: ResourcesQuestion; readonly answer: Value[] };
  list: { readonly question: ListQuestion; readonly answer: string[] };
  listing: { readonly question: ListingQuestion; readonly answer: Listing };
  actorListing: { readonly question: ActorListingQuestion; readonly answer: Listing };
  actions: { readonly question: ActionsQuestion; readonly answer: string[] };
  bulkActions: { readonly question: BulkActionsQuestion; readonly answer: { readonly results: string[] }[] };
  query: { readonly question: Query; readonly answer: QueryRow[] };
  queryPattern: { readonly question: PatternQuestion; readonly answer: FactPattern[] };
  authorizeLocal: { readonly question: LocalAuthorizeQuestion; readonly answer: LocalSql };
  listLocal: { readonly question: LocalListQuestion; readonly answer: LocalSql };
  actionsLocal: { readonly question: LocalActionsQuestion; readonly answer: LocalSql };
  queryLocal: { readonly question: LocalQueryQuestion; readonly answer: LocalSql };
  facts: { readonly question: FactPattern; readonly answer: Fact[] };
  suggestions: { readonly question: Readonly<Record<string, never>>; readonly answer: Suggestions };
  metadata: { readonly question: MetadataQuestion; readonly answer: Metadata };
  bindingsCheck: { readonly question: BindingsCheckQuestion; readonly answer: BindingsCheck };
}

export type QuestionKind = keyof Questions;

export interface MetadataQuestion {
  /** Of an older policy; without it the active one is meant. */
  readonly id?: number | undefined;
}

export interface Metadata {
  /** `null` if there is no such policy. */
  readonly resources: Record<string, ResourceMetadata> | null;
}

/** Names for an editor of facts. Each argument is a type (`symbol`) or the id of a String (`string`). */
export interface Suggestions {
  /** For each predicate, lists of arguments that the active policy uses. */
  readonly suggestions: Readonly<Record<string, readonly (readonly SuggestedArgument[])[]>>;
  /** The types of actors. */
  readonly actors: readonly SuggestedArgument[];
}

export interface SuggestedArgument {
  readonly kind: "symbol" | "string";
  readonly value: string;
}

/** The kinds of questions whose answers are decisions: they depend on facts and policy. */
export type DecisionKind = Exclude<QuestionKind, "facts" | "suggestions" | "metadata" | "bindingsCheck">;

/**
 * Gets what an answer was computed from, and the result if it is a list: for the decision log. And one sentence for each
 * name of the question that the policy does not have, if it found nothing.
 */
export interface AnswerNote {
  version?: AnswerVersion | undefined;
  result?: ListResult | undefined;
  unknown?: readonly string[] | undefined;
}

/** A list as the decision log has it (`list-result.ts`). */
export interface ListResult {
  readonly count: number;
  readonly digest: Uint8Array;
}

/** The kinds whose answers are SQL. */
export type LocalKind = "authorizeLocal" | "listLocal" | "actionsLocal" | "queryLocal";

/** The kinds whose answers are lists, which may be large. */
export type ListAnswerKind = "authorizeResources" | "list" | "bulkActions" | "query" | "queryPattern" | "facts";

/** A valid question as JSON: too large for the serving thread, so only the thread that answers parses it. */
export class SerializedQuestion<Kind extends QuestionKind> {
  readonly kind: Kind;
  readonly json: string;

  constructor(kind: Kind, json: string) {
    this.kind = kind;
    this.json = json;
  }
}

/** A map becomes a list of its entries. */
export const questionToJson = (question: object): string =>
  JSON.stringify(question, (_, value: unknown) => (value instanceof Map ? [...value] : value));

export function questionFromJson<Kind extends QuestionKind>(_kind: Kind, json: string): Questions[Kind]["question"] {
  const question = JSON.parse(json) as Questions[Kind]["question"];
  return "variables" in question ? { ...question, variables: new Map(question.variables) } : question;
}
