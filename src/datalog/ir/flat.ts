/**
 * Flat clauses: a goal after unfolding. A flat clause is a conjunction over sources that SQL can read, with conditions
 * and negations. Terms have types, and variables are unique within the goal.
 */
import { type Condition, conditionTerms, type Constant } from "./program.ts";
import type { TypeName } from "./signature.ts";
import type { PredicateNode } from "./specialised.ts";

export type FlatTerm =
  | { readonly kind: "var"; readonly id: number; readonly type: TypeName }
  | { readonly kind: "const"; readonly value: Constant }
  /** A value of the request. */
  | { readonly kind: "param"; readonly name: string; readonly type: TypeName }
  | { readonly kind: "now" }
  /** A value of the type that occurs in no fact: the witness for a variable that occurs only in negations. */
  | { readonly kind: "fresh"; readonly type: TypeName };

/** An argument of a fact may also be one of several constants of one type. */
export type FlatArgument = FlatTerm | { readonly kind: "oneOf"; readonly values: readonly Constant[] };

export type FlatAtom =
  | { readonly kind: "fact" | "context"; readonly predicate: string; readonly args: readonly FlatArgument[] }
  /** The answers of a recursive node, with one argument for each open argument of the node. */
  | { readonly kind: "recursive"; readonly node: PredicateNode; readonly args: readonly FlatTerm[] }
  /** The ids that the request lists for a variable. */
  | { readonly kind: "ids"; readonly param: string; readonly args: readonly FlatTerm[] };

export type FlatCondition = Condition<FlatTerm, readonly string[]>;

export interface FlatClause {
  /** The terms that the goal asks for, in its order. */
  readonly head: readonly FlatTerm[];
  readonly atoms: readonly FlatAtom[];
  readonly conditions: readonly FlatCondition[];
  /** No alternative of any element is true. Their heads are empty, and they share the variables of the clause. */
  readonly negations: readonly (readonly FlatClause[])[];
}

/** The goal asks for a variable that facts can't enumerate: only a negation or a comparison restricts it. */
export class NotEnumerable extends Error {}

/** Thrown if no single SQL statement can answer the goal. The tabled evaluator answers it then. */
export class NotPlannable extends Error {}

export function atomVariables({ args }: { readonly args: readonly FlatArgument[] }): number[] {
  return args.flatMap((arg) => (arg.kind === "var" ? [arg.id] : []));
}

/** The variables of a clause and of its negations. */
export function clauseVariables(clause: FlatClause): Set<number> {
  const terms = [...clause.head, ...clause.conditions.flatMap(conditionTerms)];
  return new Set([
    ...terms.flatMap((term) => (term.kind === "var" ? [term.id] : [])),
    ...clause.atoms.flatMap(atomVariables),
    ...clause.negations.flatMap((bodies) => bodies.flatMap((body) => [...clauseVariables(body)])),
  ]);
}

export type RecursiveAtom = Extract<FlatAtom, { kind: "recursive" }>;
