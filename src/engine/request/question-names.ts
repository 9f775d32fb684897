/**
 * The unknown names of a question that found nothing: then a typing mistake looks like a denial, or like an empty list.
 */
import type { FactPattern, Value } from "../../store/facts/fact.ts";
import { isNeverTrue } from "./list-result.ts";
import type { Query, QuestionKind, Questions } from "./questions.ts";
import type { ActivePolicy } from "../../policy/active-policy.ts";
import { type AskedCall, unknownNames } from "../../policy/unknown-names.ts";

/** What an answer without a policy means. */
export const noPolicy = "no policy is loaded, and nothing is allowed without one";

/** One sentence for each unknown name in the parts of the question that found nothing, or one if there is no policy. */
export function unknownNamesIn<Kind extends QuestionKind>(
  kind: Kind,
  question: Questions[Kind]["question"],
  answer: Questions[Kind]["answer"],
  activePolicy: () => ActivePolicy | undefined,
): readonly string[] {
  const calls = (callsWithoutResult as Partial<CallsOf>)[kind]?.(question, answer) ?? none;
  if (calls.length === 0) return none;
  const active = activePolicy();
  if (active === undefined) return [noPolicy];
  return [...new Set(calls.slice(0, callsMax).flatMap((call) => unknownNames(call, active)))];
}

const none: readonly never[] = [];

/** A bound on the work for one question. */
const callsMax = 20;

type CallsOf = {
  readonly [Kind in QuestionKind]: (
    question: Questions[Kind]["question"],
    answer: Questions[Kind]["answer"],
  ) => readonly AskedCall[];
};

const callsWithoutResult = {
  authorize: (asked, allowed) => (allowed ? [] : [allowCall(asked.actor, asked.action, asked.resource)]),
  authorizeResources({ actor, action, resources }, answer) {
    const found = new Set(answer.map(({ type }) => type));
    const missing = new Set(resources.flatMap(({ type }) => (found.has(type) ? [] : [type])));
    return [...missing].map((type) => allowCall(actor, action, { type }));
  },
  list: (asked, { length }) => (length > 0 ? [] : [allowCall(asked.actor, asked.action, { type: asked.resourceType })]),
  listing: (asked, { ids }) =>
    ids.ends.length > 0 ? [] : [allowCall(asked.actor, asked.action, { type: asked.resourceType })],
  actorListing: (asked, { ids }) =>
    ids.ends.length > 0 ? [] : [allowCall({ type: asked.actorType }, asked.action, asked.resource)],
  actions: (asked, { length }) => (length > 0 ? [] : [allowCall(asked.actor, undefined, asked.resource)]),
  bulkActions: ({ questions }, answer) =>
    questions.flatMap(({ actor, resource }, index) =>
      answer[index]?.results.length === 0 ? [allowCall(actor, undefined, resource)] : [],
    ),
  query: (asked, { length }) => (length > 0 ? [] : callsOf(asked)),
  queryPattern: ({ fact }, { length }) => (length > 0 ? [] : [patternCall(fact)]),
  authorizeLocal: (asked, { sql }) => (isNeverTrue(sql) ? [allowCall(asked.actor, asked.action, asked.resource)] : []),
  listLocal: (asked, { sql }) =>
    isNeverTrue(sql) ? [allowCall(asked.actor, asked.action, { type: asked.resourceType })] : [],
  actionsLocal: (asked, { sql }) => (isNeverTrue(sql) ? [allowCall(asked.actor, undefined, asked.resource)] : []),
  queryLocal: (asked, { sql }) => (isNeverTrue(sql) ? callsOf(asked) : []),
} satisfies Partial<CallsOf>;

type AskedValue = Pick<Value, "type"> & Partial<Pick<Value, "id">>;

function allowCall(actor: AskedValue, action: string | undefined, resource: AskedValue): AskedCall {
  return { predicate: "allow", args: [actor, { type: "String", id: action }, resource] };
}

/** One call for each of the names that the second argument may have. */
function callsOf({ calls, variables }: Query): AskedCall[] {
  return calls.flatMap(({ predicate, variables: names }) => {
    const args = names.map((name) => variables.get(name));
    const ids = args[1]?.ids?.slice(0, callsMax) ?? [undefined];
    return ids.map((id) => ({
      predicate,
      args: args.map((argument, index) => ({ type: argument?.type, ...(index === 1 && { id }) })),
    }));
  });
}

function patternCall({ predicate, args }: FactPattern): AskedCall {
  return { predicate, args: args.map(({ type, id }) => ({ type: type ?? undefined, id: id ?? undefined })) };
}
