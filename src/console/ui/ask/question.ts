/** Questions of the screen Ask: as written in its form, as a part of the address, and as a request to the node. */
import type { ValuePattern } from "../../../util/value-text.ts";
import {
  type Fact,
  fieldText,
  formatValue,
  parseArguments,
  parseFact,
  parseValue,
  type Value,
} from "../facts/fact-text.ts";
import { askTexts } from "../texts/ask.ts";

export const questionKinds = ["authorize", "list", "who", "actions", "query"] as const;
export type QuestionKind = (typeof questionKinds)[number];

/** A question as it is written. Each kind uses some of the texts. */
export interface Draft {
  readonly kind: QuestionKind;
  readonly actor: string;
  readonly action: string;
  readonly resource: string;
  /** The type of resources to list, or of actors to find. */
  readonly type: string;
  /** The calls of a query, one on each line. */
  readonly calls: string;
  readonly context: readonly Fact[];
}

interface Asked {
  readonly context: readonly Fact[];
}
export type AuthorizeQuestion = Asked & {
  readonly kind: "authorize";
  readonly actor: Value;
  readonly action: string;
  readonly resource: Value;
};
export type Question =
  | AuthorizeQuestion
  | (Asked & { readonly kind: "list"; readonly actor: Value; readonly action: string; readonly type: string })
  | (Asked & { readonly kind: "who"; readonly type: string; readonly action: string; readonly resource: Value })
  | (Asked & { readonly kind: "actions"; readonly actor: Value; readonly resource: Value })
  | (Asked & { readonly kind: "query"; readonly calls: readonly QueryCall[] });

export interface QueryCall {
  readonly predicate: string;
  readonly args: readonly (Value | Variable)[];
}

/** A variable has one type in all calls. */
export interface Variable {
  readonly name: string;
  readonly type: string;
}

export type DraftField = "actor" | "action" | "resource" | "type" | "calls";

const fieldsOf: Readonly<Record<QuestionKind, readonly DraftField[]>> = {
  authorize: ["actor", "action", "resource"],
  list: ["actor", "action", "type"],
  who: ["type", "action", "resource"],
  actions: ["actor", "resource"],
  query: ["calls"],
};

export function draftFields(kind: QuestionKind): readonly DraftField[] {
  return fieldsOf[kind];
}

/** Reads the address `#/ask/KIND?actor=…&context=…`. An unknown kind is the first one, unreadable context is left out. */
export function draftIn(parts: readonly string[], query: URLSearchParams): Draft {
  const part = (name: string): string => query.get(name) ?? "";
  return {
    kind: questionKinds.find((kind) => kind === parts[0]) ?? "authorize",
    actor: fieldText(part("actor")),
    action: part("action"),
    resource: fieldText(part("resource")),
    type: part("type"),
    calls: part("calls"),
    context: contextIn(part("context")),
  };
}

/** The query of the address. Only the fields of the kind are in it, and no key. */
export function draftQuery(draft: Draft): Readonly<Record<string, string>> {
  const fields = fieldsOf[draft.kind].filter((field) => draft[field] !== "").map((field) => [field, draft[field]]);
  const context = draft.context.length > 0 ? [["context", JSON.stringify(draft.context)]] : [];
  return Object.fromEntries([...fields, ...context]) as Record<string, string>;
}

/** Whether nothing is written yet. */
export function isEmpty(draft: Draft): boolean {
  return fieldsOf[draft.kind].every((field) => draft[field] === "");
}

/** The question, or what is missing in its text. */
export function questionOf(draft: Draft): Question | { readonly problem: string } {
  const { context, action, type } = draft;
  const { problems } = askTexts;
  const [actor, resource] = [parseValue(draft.actor), parseValue(draft.resource)];
  const needs = (field: DraftField): boolean => fieldsOf[draft.kind].includes(field);
  if (needs("actor") && actor === undefined) return { problem: problems.actor(draft.actor) };
  if (needs("resource") && resource === undefined) return { problem: problems.resource(draft.resource) };
  if (needs("action") && action === "") return { problem: problems.action };
  if (needs("type") && type === "") return { problem: problems.type };
  if (draft.kind === "query") return queryOf(draft.calls, context);
  const parts = { kind: draft.kind, actor, action, resource, type, context };
  return Object.fromEntries(
    Object.entries(parts).filter(([name]) => name === "kind" || name === "context" || needs(name as DraftField)),
  ) as unknown as Question;
}

export interface NodeRequest {
  readonly path: string;
  readonly body: object;
}

/** The request that asks the question. A list comes in one answer. */
export function requestOf(question: Question): NodeRequest {
  const context_facts = question.context;
  const actor = "actor" in question && { actor_type: question.actor.type, actor_id: question.actor.id };
  const resource = "resource" in question && {
    resource_type: question.resource.type,
    resource_id: question.resource.id,
  };
  const action = "action" in question && { action: question.action };
  switch (question.kind) {
    case "authorize":
      return { path: "/api/authorize", body: { ...actor, ...action, ...resource, context_facts } };
    case "list":
      return { path: "/api/list", body: { ...actor, ...action, resource_type: question.type, context_facts } };
    case "actions":
      return { path: "/api/actions", body: { ...actor, ...resource, context_facts } };
    case "who":
      return { path: "/api/evaluate_query", body: queryBody([whoCall(question)], context_facts) };
    case "query":
      return { path: "/api/evaluate_query", body: queryBody(question.calls, context_facts) };
  }
}

/** The call for "who can": the actor is a variable. */
export function whoCall({ type, action, resource }: Extract<Question, { kind: "who" }>): QueryCall {
  return { predicate: "allow", args: [{ name: "actor", type }, { type: "String", id: action }, resource] };
}

export function isVariable(arg: Value | Variable): arg is Variable {
  return "name" in arg;
}

/** The variables of calls, in the order of their first use. */
export function variablesOf(calls: readonly QueryCall[]): Variable[] {
  const variables = calls.flatMap(({ args }) => args.filter(isVariable));
  return [...new Map(variables.map((variable) => [variable.name, variable])).values()];
}

export function formatCall({ predicate, args }: QueryCall): string {
  return `${predicate}(${args.map((arg) => (isVariable(arg) ? `${arg.name}: ${arg.type}` : formatValue(arg))).join(", ")})`;
}

/** The wire form has variables only; a value is a variable with one id. */
function queryBody(calls: readonly QueryCall[], context_facts: readonly Fact[]): object {
  const names = new Set(variablesOf(calls).map(({ name }) => name));
  const constraints: Record<string, { readonly type: string; readonly ids: readonly string[] | null }> = {};
  let count = 0;
  const nameOf = (arg: Value | Variable): string => {
    if (isVariable(arg)) {
      constraints[arg.name] = { type: arg.type, ids: null };
      return arg.name;
    }
    let name: string;
    do name = `value_${++count}`;
    while (names.has(name));
    constraints[name] = { type: arg.type, ids: [arg.id] };
    return name;
  };
  const [predicate, ...others] = calls.map((call) => [call.predicate, call.args.map(nameOf)]);
  return { predicate, calls: others, constraints, context_facts };
}

function queryOf(text: string, context: readonly Fact[]): Question | { readonly problem: string } {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  const calls = lines.map(callIn);
  const { problems } = askTexts;
  if (lines.length === 0) return { problem: problems.noCalls };
  const types = new Map<string, string>();
  for (const [index, call] of calls.entries()) {
    if (call === undefined) return { problem: problems.call(lines[index] ?? "") };
    for (const arg of call.args) {
      if (!("name" in arg) || arg.type === null) continue;
      const known = types.get(arg.name);
      if (known !== undefined && known !== arg.type) return { problem: problems.twoTypes(arg.name) };
      types.set(arg.name, arg.type);
    }
  }
  const typed: QueryCall[] = [];
  for (const call of calls) {
    if (call === undefined) continue;
    const args: (Value | Variable)[] = [];
    for (const arg of call.args) {
      if (!("name" in arg)) args.push(arg);
      else {
        const type = types.get(arg.name);
        if (type === undefined) return { problem: problems.untyped(arg.name) };
        args.push({ name: arg.name, type });
      }
    }
    typed.push({ predicate: call.predicate, args });
  }
  return { kind: "query", calls: typed, context };
}

type WrittenArgument = Value | { readonly name: string; readonly type: string | null };

/** `allow(User:ann, "read", repository: Repository)`: a variable has a space behind its colon, or no type. */
function callIn(line: string): { readonly predicate: string; readonly args: readonly WrittenArgument[] } | undefined {
  const [, predicate, inner] =
    /^\s*([\p{L}_][\p{L}\p{N}_]*(?:::[\p{L}_][\p{L}\p{N}_]*)*)\s*\((.*)\)\s*;?\s*$/su.exec(line) ?? [];
  if (predicate === undefined || inner === undefined) return undefined;
  const args: WrittenArgument[] = [];
  for (const part of partsOf(inner)) {
    const [, name, type] =
      /^\s*([a-z_]\w*)(?:\s*:\s+([\p{L}_][\p{L}\p{N}_]*(?:::[\p{L}_][\p{L}\p{N}_]*)*))?\s*$/u.exec(part) ?? [];
    if (name !== undefined && name !== "_" && name !== "true" && name !== "false") {
      args.push({ name, type: type ?? null });
      continue;
    }
    const [value, ...others] = parseArguments(part) ?? [];
    if (value === undefined || others.length > 0 || !isValue(value)) return undefined;
    args.push(value);
  }
  return { predicate, args };
}

/** Splits at the commas outside of quotes. */
function partsOf(text: string): string[] {
  return text.match(/(?:"(?:[^"\\]|\\.)*"|[^,"])+/gs) ?? [];
}

function isValue(pattern: ValuePattern): pattern is Value {
  return pattern.type !== null && pattern.id !== null;
}

function contextIn(text: string): readonly Fact[] {
  try {
    const facts = JSON.parse(text) as unknown;
    if (!Array.isArray(facts)) return [];
    return facts.flatMap((fact: unknown) =>
      typeof fact === "string" ? (parseFact(fact) ?? []) : isFact(fact) ? fact : [],
    );
  } catch {
    return [];
  }
}

function isFact(value: unknown): value is Fact {
  const { predicate, args } = (value ?? {}) as Partial<Fact>;
  return (
    typeof predicate === "string" &&
    Array.isArray(args) &&
    args.every((arg: Partial<Value> | null) => typeof arg?.type === "string" && typeof arg.id === "string")
  );
}
