/**
 * The Datalog program of a policy. Every rule is a conjunction: `or` and `in` are expanded to separate rules, `=` in a
 * positive conjunction is substituted, and `matches` is the set of types that a variable may have.
 */
import type { Comparison } from "../../polar/policy.ts";
import type { Span } from "../../polar/span.ts";
import { unreachable } from "../../util/assert.ts";
import type { ArgumentIndex, ArgumentPattern } from "./argument-index.ts";

/** A typed value. Integers and booleans are in their wire form. */
export interface Constant {
  readonly type: string;
  readonly id: string;
}

export type ProgramTerm =
  | { readonly kind: "var"; readonly index: number }
  | { readonly kind: "const"; readonly value: Constant }
  | { readonly kind: "now" };

export type ProgramLiteral =
  | { readonly kind: "call"; readonly predicate: string; readonly args: readonly ProgramTerm[] }
  /** True if no values of the variables that occur only in `body` make the whole `body` true. */
  | { readonly kind: "not"; readonly body: readonly ProgramLiteral[] }
  /** Only inside `not`, with a variable of the enclosing rule on one side. */
  | { readonly kind: "equal"; readonly left: ProgramTerm; readonly right: ProgramTerm }
  | {
      readonly kind: "compare";
      readonly operator: Comparison;
      readonly left: ProgramTerm;
      readonly right: ProgramTerm;
    }
  /** Only inside `not`, for a variable of the enclosing rule. */
  | { readonly kind: "type"; readonly term: ProgramTerm; readonly types: ReadonlySet<string> };

/** By variable: the concrete types that it may have, `undefined` for any. */
export type VariableTypes = readonly (ReadonlySet<string> | undefined)[];

export interface ProgramRule {
  readonly predicate: string;
  readonly head: readonly ProgramTerm[];
  readonly body: readonly ProgramLiteral[];
  readonly types: VariableTypes;
  readonly span: Span;
  /** True for the default `allow` rules, which add no fact type. */
  readonly implicit: boolean;
}

export interface DatalogProgram {
  readonly rules: readonly ProgramRule[];
  /** The rules of each predicate key, by the arguments of their heads. */
  readonly heads: ReadonlyMap<string, ArgumentIndex<ProgramRule>>;
}

/** Predicates match by name and arity: `has_role/3`. */
export function predicateKey(name: string, arity: number): string {
  return `${name}/${arity}`;
}

/** The name and arity of `has_role/3`. Names contain no slash. */
export function splitKey(key: string): [predicate: string, arity: number] {
  const slash = key.lastIndexOf("/");
  return [key.slice(0, slash), Number(key.slice(slash + 1))];
}

/**
 * The rules that call each predicate key, also under `not`. A fixpoint visits them again when it learns more about the
 * predicate.
 */
export function callersOf(program: DatalogProgram): ReadonlyMap<string, readonly ProgramRule[]> {
  const callers = new Map<string, ProgramRule[]>();
  for (const rule of program.rules) {
    for (const predicate of new Set(programCalls(rule.body).map(({ call }) => call.predicate))) {
      const known = callers.get(predicate);
      if (known) known.push(rule);
      else callers.set(predicate, [rule]);
    }
  }
  return callers;
}

export type ProgramCall = Extract<ProgramLiteral, { kind: "call" }>;

/** Every call of a body, and whether it is inside an odd number of negations. */
export function* programCalls(
  body: readonly ProgramLiteral[],
  isNegated = false,
): Generator<{ readonly call: ProgramCall; readonly isNegated: boolean }> {
  for (const literal of body) {
    if (literal.kind === "call") yield { call: literal, isNegated };
    if (literal.kind === "not") yield* programCalls(literal.body, !isNegated);
  }
}

/** The variables of a literal, including those inside `not`. */
export function literalVariables(literal: ProgramLiteral): number[] {
  switch (literal.kind) {
    case "call":
      return literal.args.flatMap(termVariables);
    case "not":
      return literal.body.flatMap(literalVariables);
    case "equal":
    case "compare":
      return [...termVariables(literal.left), ...termVariables(literal.right)];
    case "type":
      return termVariables(literal.term);
  }
}

export function termVariables(term: ProgramTerm): number[] {
  return term.kind === "var" ? [term.index] : [];
}

/** The literal with `resolve` applied to every term. */
export function substitute(literal: ProgramLiteral, resolve: (term: ProgramTerm) => ProgramTerm): ProgramLiteral {
  switch (literal.kind) {
    case "call":
      return { ...literal, args: literal.args.map(resolve) };
    case "not":
      return { kind: "not", body: literal.body.map((inner) => substitute(inner, resolve)) };
    case "equal":
    case "compare":
      return { ...literal, left: resolve(literal.left), right: resolve(literal.right) };
    case "type":
      return { ...literal, term: resolve(literal.term) };
    default:
      return unreachable(literal);
  }
}

/** The possible values of a term, given the types of variables. */
export function argumentPattern(term: ProgramTerm, types: VariableTypes): ArgumentPattern {
  switch (term.kind) {
    case "var":
      return { types: types[term.index], id: undefined };
    case "const":
      return { types: new Set([term.value.type]), id: term.value.id };
    case "now":
      return { types: new Set(["Integer"]), id: undefined };
    default:
      return unreachable(term);
  }
}
