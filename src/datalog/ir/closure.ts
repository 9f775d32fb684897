/** Closures: the transitive closure of steps over stored facts, which the store keeps as a table. */
import type { Constant } from "./program.ts";
import type { TypeName } from "./signature.ts";

export type StepTerm =
  { readonly kind: "var"; readonly index: number } | { readonly kind: "const"; readonly value: Constant };

/** A conjunction of stored facts that leads from variable 0 to variable 1. */
export interface ClosureStep {
  readonly atoms: readonly { readonly predicate: string; readonly args: readonly StepTerm[] }[];
  /** By variable; `undefined` for any type. */
  readonly types: readonly TypeName[];
}

export interface Closure {
  /** The steps as text: equal steps, one closure. As the predicate of a call it is a stored relation from one end to the other. */
  readonly name: string;
  /** Any of them is a step. Those that begin at one type may lead to several. */
  readonly steps: readonly ClosureStep[];
}

/** No predicate of a policy begins like this. */
export function isClosurePredicate(predicate: string): boolean {
  return predicate.startsWith("[");
}

/** The predicates of the facts that a closure is made of. */
export function closurePredicates(name: string): Set<string> {
  const steps = JSON.parse(name) as readonly ClosureStep[];
  return new Set(steps.flatMap(({ atoms }) => atoms.map(({ predicate }) => predicate)));
}
