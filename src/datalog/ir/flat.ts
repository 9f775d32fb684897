/**
 * Flat clauses: a goal after unfolding. A flat clause is a conjunction over sources that SQL can read, with conditions
 * and negations. Terms have types, and variables are unique within the goal.
 */
import { type Condition, conditionTerms, type Constant, mapCondition, type ProgramRule } from "./program.ts";
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
  | {
      readonly kind: "fact" | "context";
      readonly predicate: string;
      readonly args: readonly FlatArgument[];
      /** Only with `UnfoldOptions.mergesFacts`: stored facts answer the atom as well. */
      readonly orFact?: boolean;
    }
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
  /** The rules that were unfolded into the clause, outer ones first. Only the clauses of a list have them, by default. */
  readonly origins?: readonly ClauseOrigin[];
}

export interface ClauseOrigin {
  readonly rule: ProgramRule;
  /** The terms of the rule's variables. */
  readonly terms: readonly FlatTerm[];
}

/** Answers that no list can have: all values of a type but some, or all pairs of equal values. */
export interface OpenAnswer {
  /** The rule that leaves the values open; `undefined` if it is not known. */
  readonly rule: ProgramRule | undefined;
  readonly type: TypeName;
  /** `restricted`: only negations and comparisons restrict the value. `equal`: it has to be equal to another one. */
  readonly reason: "restricted" | "equal";
}

/** The answers can't be listed, because one of them is open and no wildcard includes it. */
export class NotEnumerable extends Error {
  readonly open: OpenAnswer;

  constructor(open: OpenAnswer) {
    super("an open answer");
    this.open = open;
  }
}

/** Thrown if no single SQL statement can answer the goal. The tabled evaluator answers it then. */
export class NotPlannable extends Error {
  /** The rules of the clause that has no SQL, outer ones first, if they are known. */
  origins: readonly Pick<ClauseOrigin, "rule">[] | undefined;
}

export function atomVariables({ args }: { readonly args: readonly FlatArgument[] }): number[] {
  return args.flatMap((arg) => (arg.kind === "var" ? [arg.id] : []));
}

/** The clause and its negations with `rename` applied to every term. */
export function mapClauseTerms(clause: FlatClause, rename: (term: FlatTerm) => FlatTerm): FlatClause {
  return {
    ...clause,
    head: clause.head.map(rename),
    atoms: clause.atoms.map((atom) => ({
      ...atom,
      args: atom.args.map((arg) => (arg.kind === "oneOf" ? arg : rename(arg))),
    })) as FlatAtom[],
    conditions: clause.conditions.map((condition) => mapCondition(condition, rename)),
    negations: clause.negations.map((bodies) => bodies.map((body) => mapClauseTerms(body, rename))),
  };
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
