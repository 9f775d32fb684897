/**
 * Canonical keys of values, facts and questions: two keys are equal exactly if the terms are equal. Like the keys of
 * Datalog terms (`datalog/ir/key.ts`), they delimit themselves, so they can be concatenated. JSON is no key: its form
 * depends on details that do not belong to a term (the order of a set, `undefined`).
 */
import type { FactType } from "../datalog/analysis/fact-types.ts";
import { constantKey, listKey, stringKey, typeListKey } from "../datalog/ir/key.ts";
import type { Value } from "../store/facts/fact.ts";
import type { AuthorizeQuestion } from "../engine/request/questions.ts";

/** A value has the same key as the constant of a policy. */
export const valueKey: (value: Value) => string = constantKey;

const none = "-";

/** The key of a fact, or of an atom some of whose arguments are open. */
export function factKey({
  predicate,
  args,
}: {
  readonly predicate: string;
  readonly args: readonly (Value | undefined)[];
}): string {
  return stringKey(predicate) + listKey(args.map((arg) => (arg === undefined ? none : valueKey(arg))));
}

/** The key of a predicate with the types of its arguments. */
export function factTypeKey({ predicate, types }: FactType): string {
  return stringKey(predicate) + typeListKey(types);
}

/** The key of one answer row; `null` is a wildcard. */
export function rowKey(row: readonly (string | null)[]): string {
  return listKey(row.map((id) => (id === null ? none : stringKey(id))));
}

/** The key of a question without context facts. */
export function questionKey({ actor, action, resource }: Omit<AuthorizeQuestion, "contextFacts">): string {
  // One template, since `authorize` makes this key for every question: the lengths tell where each string ends.
  const lengths = `${actor.type.length} ${actor.id.length} ${resource.type.length} ${resource.id.length}`;
  return `${lengths} ${actor.type}${actor.id}${resource.type}${resource.id}${action}`;
}
