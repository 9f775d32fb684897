/**
 * Flat clauses: the form of a goal after unfolding. A flat clause is a conjunction over sources that SQL can read (fact
 * tables, context facts, answers of a recursive node), with conditions and negations. Terms have types, and variables
 * are unique within the goal.
 */
import type { Comparison } from "../../polar/policy.ts";
import type { Constant } from "./program.ts";
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
  | { readonly kind: "fact"; readonly predicate: string; readonly args: readonly FlatArgument[] }
  | { readonly kind: "context"; readonly predicate: string; readonly args: readonly FlatArgument[] }
  /** The answers of a recursive node, with one argument for each open argument of the node. */
  | { readonly kind: "recursive"; readonly node: PredicateNode; readonly args: readonly FlatTerm[] }
  /** The ids that the request lists for a variable. */
  | { readonly kind: "ids"; readonly param: string; readonly args: readonly FlatTerm[] };

export type FlatCondition =
  | { readonly kind: "equal"; readonly left: FlatTerm; readonly right: FlatTerm }
  | { readonly kind: "compare"; readonly operator: Comparison; readonly left: FlatTerm; readonly right: FlatTerm }
  | { readonly kind: "type"; readonly term: FlatTerm; readonly types: readonly string[] };

export interface FlatClause {
  /** The terms that the goal asks for, in its order. */
  readonly head: readonly FlatTerm[];
  readonly atoms: readonly FlatAtom[];
  readonly conditions: readonly FlatCondition[];
  /**
   * For each element, none of its alternatives is true. Their heads are empty, and they share the variables of the
   * outer clause.
   */
  readonly negations: readonly (readonly FlatClause[])[];
}

/**
 * Thrown if the goal asks for a variable that facts can't enumerate, because only a negation or a comparison restricts
 * it.
 */
export class NotEnumerable extends Error {}

/** Thrown if no single SQL statement can answer the goal. The tabled evaluator answers it then. */
export class NotPlannable extends Error {}

export function atomVariables(atom: FlatAtom): number[] {
  return atom.args.flatMap((arg) => (arg.kind === "var" ? [arg.id] : []));
}

export function conditionTerms(condition: FlatCondition): readonly FlatTerm[] {
  return condition.kind === "type" ? [condition.term] : [condition.left, condition.right];
}

/** All variables of a clause, including those of its negations. */
export function clauseVariables(clause: FlatClause): Set<number> {
  const terms = [...clause.head, ...clause.conditions.flatMap(conditionTerms)];
  return new Set([
    ...terms.flatMap((term) => (term.kind === "var" ? [term.id] : [])),
    ...clause.atoms.flatMap(atomVariables),
    ...clause.negations.flatMap((bodies) => bodies.flatMap((body) => [...clauseVariables(body)])),
  ]);
}

/** The clause with `map` applied to every term. */
export function mapClauseTerms(clause: FlatClause, map: (term: FlatTerm) => FlatTerm): FlatClause {
  return {
    head: clause.head.map(map),
    atoms: clause.atoms.map((atom) => mapAtom(atom, map)),
    conditions: clause.conditions.map((condition) => mapConditionTerms(condition, map)),
    negations: clause.negations.map((bodies) => bodies.map((body) => mapClauseTerms(body, map))),
  };
}

export function mapConditionTerms(condition: FlatCondition, map: (term: FlatTerm) => FlatTerm): FlatCondition {
  if (condition.kind === "type") return { ...condition, term: map(condition.term) };
  return { ...condition, left: map(condition.left), right: map(condition.right) };
}

function mapAtom(atom: FlatAtom, map: (term: FlatTerm) => FlatTerm): FlatAtom {
  switch (atom.kind) {
    case "fact":
    case "context":
      return { ...atom, args: atom.args.map((arg) => (arg.kind === "oneOf" ? arg : map(arg))) };
    case "recursive":
    case "ids":
      return { ...atom, args: atom.args.map(map) };
  }
}

export type RecursiveAtom = Extract<FlatAtom, { kind: "recursive" }>;
