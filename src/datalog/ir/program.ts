/**
 * The Datalog program of a policy. Every rule is a conjunction: `or` and `in` became separate rules, `=` is
 * substituted, and `matches` became the types that a variable may have.
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
  /** `equal` and `type` occur only inside `not`, with a variable of the enclosing rule; `equal` also with the clock. */
  | Condition<ProgramTerm, ReadonlySet<string>>;

/** A condition on terms that get their values elsewhere. `type` requires one of the types. */
export type Condition<Term, Types> =
  | { readonly kind: "equal"; readonly left: Term; readonly right: Term }
  | { readonly kind: "compare"; readonly operator: Comparison; readonly left: Term; readonly right: Term }
  | { readonly kind: "type"; readonly term: Term; readonly types: Types };

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
 * Computes a fixpoint: visits each rule, and again when `visit` returned true (it learned more about the head) for a
 * rule that it calls, also under `not`.
 */
export function untilStable({ rules }: DatalogProgram, visit: (rule: ProgramRule) => boolean): void {
  const callers = new Map<string, Set<ProgramRule>>();
  for (const rule of rules) {
    for (const { call } of programCalls(rule.body))
      callers.getOrInsertComputed(call.predicate, () => new Set()).add(rule);
  }
  let waiting: ReadonlySet<ProgramRule> = new Set(rules);
  while (waiting.size > 0) {
    const grown = new Set([...waiting].filter(visit).map(({ predicate }) => predicate));
    waiting = new Set([...grown].flatMap((predicate) => [...(callers.get(predicate) ?? [])]));
  }
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
    default:
      return conditionTerms(literal).flatMap(termVariables);
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
    default:
      return mapCondition(literal, resolve);
  }
}

export function conditionTerms<Term>(condition: Condition<Term, unknown>): readonly Term[] {
  return condition.kind === "type" ? [condition.term] : [condition.left, condition.right];
}

/** The condition with `map` applied to every term. */
export function mapCondition<Term, Types>(
  condition: Condition<Term, Types>,
  map: (term: Term) => Term,
): Condition<Term, Types> {
  if (condition.kind === "type") return { ...condition, term: map(condition.term) };
  return { ...condition, left: map(condition.left), right: map(condition.right) };
}

const integer: ReadonlySet<string> = new Set(["Integer"]);

/** The types that a condition requires of its terms: a comparison other than `!=` requires integers. */
export function requiredTypes(literal: ProgramLiteral): (readonly [ProgramTerm, ReadonlySet<string>])[] {
  if (literal.kind === "type") return [[literal.term, literal.types]];
  if (literal.kind !== "compare" || literal.operator === "!=") return [];
  return conditionTerms(literal).map((term) => [term, integer]);
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

/** The possible values of each argument of a rule's head. */
export function headPatterns({ head, types }: ProgramRule): ArgumentPattern[] {
  return head.map((term) => argumentPattern(term, types));
}
