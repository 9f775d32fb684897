/** Which facts a key may change that is limited to predicates or to types of objects. The node checks it as well. */
import type { Whoami } from "../api/responses.ts";
import { type Fact, isObject } from "./fact-text.ts";

export type FactRestriction = Pick<Whoami, "only_predicates" | "only_types">;

/** Whether the fact has one of the predicates, and each of its objects one of the types. */
export function isWithin({ only_predicates: predicates, only_types: types }: FactRestriction, fact: Fact): boolean {
  return (
    predicates?.includes(fact.predicate) !== false &&
    (types === undefined || fact.args.every((arg) => !isObject(arg) || types.includes(arg.type)))
  );
}
