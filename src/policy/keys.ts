/**
 * Canonical keys of values and facts: two keys are equal exactly if the terms are equal. Like the keys of
 * Datalog terms (`datalog/ir/key.ts`), they delimit themselves, so they can be concatenated. JSON is no key: its form
 * depends on details that do not belong to a term (the order of a set, `undefined`).
 */
import type { FactType } from "../datalog/analysis/fact-types.ts";
import { constantKey, listKey, stringKey, typeListKey } from "../datalog/ir/key.ts";
import type { Value } from "../store/facts/fact.ts";

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
