/** Closures: the transitive closure of steps over stored facts, which the store keeps as a table. */
import type { Constant } from "./program.ts";
import type { TypeName } from "./signature.ts";

export type StepTerm =
  { readonly kind: "var"; readonly index: number } | { readonly kind: "const"; readonly value: Constant };

/** A conjunction of stored facts that relates variable 0 to variable 1. */
export interface ClosureStep {
  readonly atoms: readonly { readonly predicate: string; readonly args: readonly StepTerm[] }[];
  /** By variable; `undefined` for any type. */
  readonly types: readonly TypeName[];
}

export interface Closure {
  /** The steps as JSON, so equal steps have equal names. A call of it asks for the stored relation between two ends. */
  readonly name: string;
  /** The alternatives of one step. Steps from one type may lead to several types. */
  readonly steps: readonly ClosureStep[];
}

/** The closure of steps that may be given in any order and more than once. */
export function closureOver(steps: readonly ClosureStep[]): Closure {
  const byText = new Map(steps.map((step) => [stepText(step), step]));
  const sorted = [...byText].sort(([left], [right]) => (left < right ? -1 : 1));
  return { name: `[${sorted.map(([text]) => text).join(",")}]`, steps: sorted.map(([, step]) => step) };
}

/** Data directories contain names of closures, so this is a file format: members and their order must not change. */
function stepText({ atoms, types }: ClosureStep): string {
  const term = (arg: StepTerm): StepTerm =>
    arg.kind === "var"
      ? { kind: arg.kind, index: arg.index }
      : { kind: arg.kind, value: { type: arg.value.type, id: arg.value.id } };
  const facts = atoms.map(({ predicate, args }) => ({ predicate, args: args.map(term) }));
  return JSON.stringify({ atoms: facts, types });
}

/** Predicates of a policy never begin with a bracket. */
export function isClosurePredicate(predicate: string): boolean {
  return predicate.startsWith("[");
}

/** The predicates of the facts in a closure's steps. */
export function closurePredicates(name: string): Set<string> {
  const steps = JSON.parse(name) as readonly ClosureStep[];
  return new Set(steps.flatMap(({ atoms }) => atoms.map(({ predicate }) => predicate)));
}
