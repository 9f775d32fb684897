/**
 * Canonical keys of values, facts, types and questions: two keys are equal exactly if the terms are equal. Maps and comparisons
 * use these keys and never JSON, whose form depends on details that do not belong to a term (the order of a set, `undefined`).
 *
 * Each string stands with its length in front of it, so no sequence of strings reads as another sequence, whatever characters they
 * hold.
 */
import type { Value } from "../../store/facts/fact.ts";
import type { AuthorizeQuestion } from "./questions.ts";

/** A string that can be followed by anything in a key. `undefined` and `null` differ from every string. */
export function keyPart(text: string | null | undefined): string {
  return text === null || text === undefined ? "-" : `${text.length}:${text}`;
}

/** A sequence that can be followed by anything in a key. */
export function sequenceKey<Item>(items: readonly Item[], keyOf: (item: Item) => string): string {
  let key = `${items.length};`;
  for (const item of items) key += keyOf(item);
  return key;
}

export function valueKey({ type, id }: Value): string {
  return keyPart(type) + keyPart(id);
}

/** The key of a fact, or of an atom some of whose arguments are open. */
export function factKey({
  predicate,
  args,
}: {
  readonly predicate: string;
  readonly args: readonly (Value | undefined)[];
}): string {
  return keyPart(predicate) + sequenceKey(args, (arg) => (arg === undefined ? "-" : valueKey(arg)));
}

/** The key of one answer row; `null` is a wildcard. */
export function rowKey(row: readonly (string | null)[]): string {
  return sequenceKey(row, keyPart);
}

/** The key of a set of types, in whatever order it holds them; `undefined` is any type. */
export function typeSetKey(types: ReadonlySet<string> | undefined): string {
  return types === undefined ? "-" : sequenceKey([...types].sort(), keyPart);
}

/** The key of a predicate with the types of its arguments; `undefined` is any type. */
export function factTypeKey({
  predicate,
  types,
}: {
  readonly predicate: string;
  readonly types: readonly (string | undefined)[];
}): string {
  return keyPart(predicate) + sequenceKey(types, keyPart);
}

/** The key of a question without context facts. */
export function questionKey({
  actor,
  action,
  resource,
}: Pick<AuthorizeQuestion, "actor" | "action" | "resource">): string {
  // One template, since `authorize` makes this key for every question: the lengths tell where each string ends.
  const lengths = `${actor.type.length} ${actor.id.length} ${resource.type.length} ${resource.id.length}`;
  return `${lengths} ${actor.type}${actor.id}${resource.type}${resource.id}${action}`;
}
