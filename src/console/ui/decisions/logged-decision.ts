/** A logged decision as the node sends it, and its question as a text and for the screen that asks again. Pure. */
import type { decisionEndpoints } from "../../../features/decisions/endpoints.ts";
import { consoleRequestPrefix } from "../../../util/console-requests.ts";
import { askedResources, queryCalls } from "../../../util/query-text.ts";
import type { Answer } from "../api/answer.ts";
import { questionOf } from "../ask/question.ts";
import { valueParameter } from "../facts/fact-text.ts";

export type LoggedDecision = Answer<typeof decisionEndpoints.getDecisions>["decisions"][number];
export type LoggedFact = LoggedDecision["context_facts"][number];
/** An id that the node left out, or only hashed, is missing. */
export type LoggedValue = LoggedFact["args"][number];

/** `User:ann`; `User:_` for all of a type. */
export function valueText(value: LoggedValue | null): string {
  if (value === null) return "_";
  if (value.id !== undefined) return `${value.type}:${value.id}`;
  return value.hash === undefined ? `${value.type}:_` : `${value.type}:#${value.hash}`;
}

/** `has_role(User:ann, String:reader, Repository:x)` */
export function factText({ predicate, args }: LoggedFact): string {
  return `${predicate}(${args.map(valueText).join(", ")})`;
}

type Asked = Pick<LoggedDecision, "kind" | "actor" | "action" | "resource" | "question">;

/** `User:ann read Repository:x`; other kinds than `authorize` come first. The calls of a query. */
export function questionText({ kind, actor, action, resource, question }: Asked): string {
  const calls = queryCalls(question);
  if (calls !== undefined) return calls.join(" and ");
  const what = askedResources(question, valueText) ?? valueText(resource);
  const asked = [valueText(actor), action ?? "_", what].join(" ");
  return kind === "authorize" ? asked : `${kind} ${asked}`;
}

/** The forms of the screen Ask, by kind of decision. `list` asks for a type of resources, `who` for a type of actors. */
const forms: Readonly<Record<string, { readonly form: string; readonly fields: readonly Field[] }>> = {
  authorize: { form: "authorize", fields: ["actor", "action", "resource"] },
  list: { form: "list", fields: ["actor", "action", "type"] },
  list_actors: { form: "who", fields: ["type", "action", "resource"] },
  actions: { form: "actions", fields: ["actor", "resource"] },
};

type Field = "actor" | "action" | "resource" | "type";

/** A question in the screen Ask. */
export interface Question {
  readonly form: string;
  readonly query: Readonly<Record<string, string>>;
}

const nothing = { kind: "query", actor: "", action: "", resource: "", type: "", context: [] } as const;

/** The same question, for now; undefined if the log does not have all of it. */
export function questionToAsk(decision: LoggedDecision): Question | undefined {
  const { kind, actor, action, resource, context_facts: context } = decision;
  const withContext = context.length > 0 && { context: JSON.stringify(context) };
  if (!isWhole(decision)) return undefined;
  if (kind === "evaluate_query") {
    const calls = queryCalls(decision.question)?.join("\n") ?? "";
    // A variable with several ids has no text that the form reads.
    const isReadable = !("problem" in questionOf({ ...nothing, calls }));
    return isReadable ? { form: "query", query: { calls, ...withContext } } : undefined;
  }
  const found = forms[kind];
  if (found === undefined) return undefined;
  const { form, fields } = found;
  const type = (form === "who" ? actor : resource)?.type ?? null;
  const values = { actor: parameterOf(actor), action, resource: parameterOf(resource), type };
  const given = fields.map((field) => [field, values[field]] as const);
  if (given.some(([, value]) => value === null)) return undefined;
  return { form, query: { ...(Object.fromEntries(given) as Record<string, string>), ...withContext } };
}

/** Whether it says that somebody asked in a console. Anybody can claim that. */
export function isOfConsole({ request_id: id }: LoggedDecision): boolean {
  return id?.startsWith(consoleRequestPrefix) === true;
}

/** Whether nothing of the question is left out or hashed. */
export function isWhole({ redacted }: LoggedDecision): boolean {
  return !redacted.some((name) => ["actor", "resource", "context", "question"].includes(name));
}

function parameterOf(value: LoggedValue | null): string | null {
  return value?.id === undefined ? null : valueParameter({ type: value.type, id: value.id });
}
