/** The questions of logged decisions, in parts: columns that all kinds share, and the rest as JSON. */
import { createHash } from "node:crypto";
import {
  type BindingsReference,
  questionFromJson,
  questionToJson,
  type DecisionKind,
  type Questions,
} from "../engine/request/questions.ts";
import type { Fact, Value } from "../store/facts/fact.ts";
import { AppError } from "../util/app-error.ts";
import type { LoggedKind } from "./decision-entry.ts";

/** Where an id was removed or hashed, it is missing. */
export interface LoggedValue {
  readonly type: string;
  readonly id?: string | undefined;
  /** The keyed hash of the id, as hexadecimal digits. */
  readonly hash?: string | undefined;
}

export interface QuestionParts {
  readonly actor: LoggedValue | undefined;
  readonly action: string | undefined;
  readonly resource: LoggedValue | undefined;
  readonly contextFacts: readonly Fact[];
  /** What only some kinds have, such as the resources of `authorize_resources`. */
  readonly rest: Readonly<Record<string, unknown>> | undefined;
}

/** The body of `POST /api/authorize`, as far as an accepted one is known. */
interface AuthorizeBody {
  readonly actor_type: string;
  readonly actor_id: string;
  readonly action: string;
  readonly resource_type: string;
  readonly resource_id: string;
  readonly context_facts?: readonly Fact[] | null;
}

/** Takes a question apart. `text` is the body of a request that was accepted, or a question of the engine as JSON. */
export function questionParts(text: string, isBody: boolean): QuestionParts {
  if (isBody) {
    const body = JSON.parse(text) as AuthorizeBody;
    return {
      actor: { type: body.actor_type, id: body.actor_id },
      action: body.action,
      resource: { type: body.resource_type, id: body.resource_id },
      contextFacts: (body.context_facts ?? []).map(knownFact),
      rest: undefined,
    };
  }
  const {
    actor,
    actorType,
    action,
    resource,
    resourceType,
    contextFacts = [],
    ...rest
  } = JSON.parse(text) as Record<string, unknown> & {
    readonly actor?: Value;
    readonly actorType?: string;
    readonly action?: string;
    readonly resource?: Value;
    readonly resourceType?: string;
    readonly contextFacts?: readonly Fact[];
  };
  delete rest["text"];
  return {
    actor: actorType === undefined ? actor : { type: actorType },
    action,
    resource: resourceType === undefined ? resource : { type: resourceType },
    contextFacts: contextFacts.map(knownFact),
    rest: Object.keys(rest).length === 0 ? undefined : rest,
  };
}

/** A body may have further members. */
function knownFact({ predicate, args }: Fact): Fact {
  return { predicate, args: args.map(({ type, id }) => ({ type, id })) };
}

/** A question of the engine, and which of its methods answers it. */
export type AskedQuestion = {
  [Kind in DecisionKind]: { readonly kind: Kind; readonly question: Questions[Kind]["question"] };
}[DecisionKind];

/**
 * A question about SQL as the log has it: with the hash of its data bindings, which are long, and the same for all
 * questions of an application.
 */
export function loggedQuestion(question: { readonly bindings: BindingsReference }): object {
  const { bindings } = question;
  if ("name" in bindings) return question;
  return { ...question, bindings: { sha256: createHash("sha256").update(bindings.text).digest("hex") } };
}

const engineKinds: Readonly<Record<LoggedKind, DecisionKind>> = {
  authorize: "authorize",
  authorize_resources: "authorizeResources",
  list: "list",
  list_actors: "actorListing",
  actions: "actions",
  bulk_actions: "bulkActions",
  query: "queryPattern",
  evaluate_query: "query",
  authorize_query: "authorizeLocal",
  list_query: "listLocal",
  actions_query: "actionsLocal",
  evaluate_query_local: "queryLocal",
};

/** Puts the parts together again. All ids have to be there. AppError `gone` if the data bindings are not there. */
export function askedQuestion(kind: LoggedKind, { actor, action, resource, contextFacts, rest }: QuestionParts) {
  const bindings = rest?.["bindings"];
  if (typeof bindings === "object" && bindings !== null && "sha256" in bindings)
    throw new AppError(
      "gone",
      "the decision cannot be made again: the log has only the hash of its data bindings; store them under a name (`ostiary bindings put`), and send the name",
    );
  const parts = {
    ...(kind === "list_actors" ? { actorType: actor?.type } : actor && { actor }),
    ...(action !== undefined && { action }),
    ...(kind === "list" || kind === "list_query" ? { resourceType: resource?.type } : resource && { resource }),
    contextFacts,
    ...rest,
  };
  const engineKind = engineKinds[kind];
  return { kind: engineKind, question: questionFromJson(engineKind, questionToJson(parts)) } as AskedQuestion;
}
