/**
 * The proof search: all solutions of the body of a rule, one condition after the other, with the engine's answers to
 * its calls.
 */
import {
  literalVariables,
  type ProgramCall,
  type ProgramLiteral,
  type ProgramRule,
  type ProgramTerm,
  termVariables,
  type VariableTypes,
} from "../../datalog/ir/program.ts";
import type { Value } from "../../store/facts/fact.ts";
import { must } from "../../util/assert.ts";
import { anyId, atomOf, type OpenAtom, openId, type Substitution, valueOf } from "./atom.ts";
import type { CallAnswers, CallArgument } from "./call-answers.ts";

type Negation = Extract<ProgramLiteral, { kind: "not" }>;

/** A rule body with the types of its variables. */
export interface TypedBody {
  readonly literals: readonly ProgramLiteral[];
  readonly types: VariableTypes;
  /** For the body of a `not`: the variables that mean the same inside and around it. */
  readonly scope: ReadonlySet<number>;
}

/** Observes why a body has no solution. */
export interface Observer {
  /** A negated conjunction is true for these values. */
  blocked(negated: TypedBody, bindings: Substitution): void;
  /** Nothing satisfies the call. */
  failed(call: OpenAtom): void;
}

export function bodyOf(rule: ProgramRule): TypedBody {
  const typed = rule.types.flatMap((types, variable) => (types ? [variable] : []));
  return {
    literals: rule.body,
    types: rule.types,
    scope: new Set([...rule.head.flatMap(termVariables), ...ownVariables(rule.body), ...typed]),
  };
}

/** The rules whose heads may match the atom. */
export function rulesFor(atom: OpenAtom, { active }: CallAnswers): readonly ProgramRule[] {
  const args = atom.args.map((arg) =>
    arg ? { types: new Set([arg.type]), id: arg.id } : { types: undefined, id: undefined },
  );
  return active.program.heads.get(atom.predicate)?.candidates(args) ?? [];
}

export interface MatchingRule {
  readonly rule: ProgramRule;
  /** The values that the atom gives to the rule's variables. */
  readonly bindings: Substitution;
}

/** The rules whose heads match the atom. */
export function matchingRules(atom: OpenAtom, answers: CallAnswers): MatchingRule[] {
  return rulesFor(atom, answers).flatMap((rule) => {
    const unbound: Substitution = new Array(rule.types.length).fill(undefined);
    const bindings = unify(rule.head, atom.args, unbound, rule.types, answers.now);
    return bindings ? [{ rule, bindings }] : [];
  });
}

export function* solutions(
  body: TypedBody,
  bindings: Substitution,
  answers: CallAnswers,
  observer?: Observer,
): Generator<Substitution> {
  answers.step();
  const index = nextLiteral(body, bindings, answers);
  if (index === undefined) return yield closed(bindings);
  const literal = must(body.literals[index]);
  const rest = { ...body, literals: body.literals.filter((_, other) => other !== index) };
  for (const next of satisfy(literal, body, bindings, answers, observer))
    yield* solutions(rest, next, answers, observer);
}

/**
 * The solutions of one condition. A variable that a condition needs and that has no value stands for every value of its
 * type.
 */
export function* satisfy(
  literal: ProgramLiteral,
  body: TypedBody,
  bindings: Substitution,
  answers: CallAnswers,
  observer?: Observer,
): Generator<Substitution> {
  const { now } = answers;
  if (literal.kind === "call") {
    const rows = answers.rows(literal.predicate, argumentsOf(literal, body.types, bindings, now));
    if (rows.length === 0) observer?.failed(atomOf(literal, bindings, now));
    for (const row of rows) {
      const values = row.map((value) => (value.id === anyId ? { type: value.type, id: openId } : value));
      const next = unify(literal.args, values, bindings, body.types, now);
      if (next) yield next;
    }
  } else if (literal.kind === "not") {
    const inner = negated(literal.body, body);
    for (const known of withCandidates(literal, body, bindings, answers)) {
      const [found] = solutions(inner, known, answers, observer);
      if (!found) yield known;
      else observer?.blocked(inner, found);
    }
  } else if (literal.kind === "equal") {
    const known = closed(bindings);
    const value = valueOf(literal.left, known, now) ?? valueOf(literal.right, known, now);
    const next = value && unify([literal.left, literal.right], [value, value], known, body.types, now);
    if (next) yield next;
  } else {
    for (const known of ofAnyType(literalVariables(literal), body, closed(bindings)))
      if (holds(literal, known, body.types, now)) yield known;
  }
}

/** The conjunction inside a `not`; variables that do not occur outside are its own. */
export function negated(literals: readonly ProgramLiteral[], around: TypedBody): TypedBody {
  const types = around.types.map((known, variable) => (around.scope.has(variable) ? known : undefined));
  for (const literal of literals) {
    if (literal.kind !== "type" || literal.term.kind !== "var" || around.scope.has(literal.term.index)) continue;
    types[literal.term.index] = types[literal.term.index]?.intersection(literal.types) ?? literal.types;
  }
  return { literals, types, scope: new Set([...around.scope, ...ownVariables(literals)]) };
}

function ownVariables(literals: readonly ProgramLiteral[]): number[] {
  return literals.flatMap((literal) => (literal.kind === "not" ? [] : literalVariables(literal)));
}

function argumentsOf(call: ProgramCall, types: VariableTypes, bindings: Substitution, now: Value): CallArgument[] {
  return call.args.map((arg): CallArgument => {
    const value = valueOf(arg, bindings, now);
    if (value && value.id !== openId) return { kind: "value", value };
    const index = variableOf(arg);
    return { kind: "variable", index, types: value ? new Set([value.type]) : types[index] };
  });
}

function unify(
  terms: readonly ProgramTerm[],
  values: readonly (Value | undefined)[],
  bindings: Substitution,
  types: VariableTypes,
  now: Value,
): Substitution | undefined {
  const next = [...bindings];
  for (const [position, term] of terms.entries()) {
    const value = values[position];
    if (!value) continue;
    const known = valueOf(term, next, now);
    const chosen = known && chooseValue(known, value);
    if (known ? !chosen : types[variableOf(term)]?.has(value.type) === false) return undefined;
    if (term.kind === "var") next[term.index] = chosen ?? value;
  }
  return next;
}

/** The value that satisfies both; an open value can become the other one. */
function chooseValue(known: Value, value: Value): Value | undefined {
  if (known.type !== value.type) return undefined;
  if (known.id === openId) return value;
  return known.id === value.id || value.id === openId ? known : undefined;
}

/** A value that was left open stands for every value. */
function closed(bindings: Substitution): Substitution {
  return bindings.map((value) => (value?.id === openId ? { type: value.type, id: anyId } : value));
}

function variableOf(term: ProgramTerm): number {
  return term.kind === "var" ? term.index : -1;
}

/** Whether the variable has no value, or one that a wildcard answer left open. */
export function isOpen(variable: number, bindings: Substitution): boolean {
  return (bindings[variable]?.id ?? openId) === openId;
}

/**
 * The next condition: a test whose values are known, else the call with the most known arguments, else any test. A call
 * with more answers than may be read waits for other conditions to restrict it.
 */
function nextLiteral(body: TypedBody, bindings: Substitution, answers: CallAnswers): number | undefined {
  const { literals, scope } = body;
  const scored = literals.map((literal, index) => {
    const variables = literalVariables(literal).filter((variable) => literal.kind !== "not" || scope.has(variable));
    const unknown = variables.filter((variable) => isOpen(variable, bindings)).length;
    return { index, literal, unknown, score: literal.kind === "call" ? -unknown : unknown === 0 ? 1 : -1000 };
  });
  scored.sort((one, other) => other.score - one.score);
  const [first, second] = scored;
  if (first?.literal.kind !== "call" || first.unknown === 0 || second?.literal.kind !== "call") return first?.index;
  const isListed = ({ literal }: { literal: ProgramLiteral }): boolean =>
    literal.kind === "call" &&
    answers.canList(literal.predicate, argumentsOf(literal, body.types, bindings, answers.now));
  return (scored.find(isListed) ?? first).index;
}

/** A variable that only a `not` restricts may have any value, or one of the `namedValues`. */
function* withCandidates(
  literal: Negation,
  body: TypedBody,
  bindings: Substitution,
  answers: CallAnswers,
): Generator<Substitution> {
  const known = closed(bindings);
  const variables = literalVariables(literal);
  const any = withAny(variables, body, known);
  yield* ofAnyType(variables, body, known);
  for (const variable of new Set(variables)) {
    if (!isOpen(variable, bindings) || !body.scope.has(variable)) continue;
    for (const value of namedValues(variable, literal, body, known.with(variable, undefined), answers))
      yield any.with(variable, value);
  }
}

/** The values of the variable that calls inside the `not` have, those that it must differ from anywhere, and Booleans. */
function* namedValues(
  variable: number,
  literal: Negation,
  body: TypedBody,
  bindings: Substitution,
  answers: CallAnswers,
): Generator<Value> {
  if (body.types[variable]?.has("Boolean") === true) for (const id of ["true", "false"]) yield { type: "Boolean", id };
  const isIt = (term: ProgramTerm): boolean => term.kind === "var" && term.index === variable;
  for (const inner of withoutNot(literal.body)) {
    const position = inner.kind === "call" ? inner.args.findIndex(isIt) : -1;
    if (inner.kind !== "call" || position < 0) continue;
    const rows = answers.rows(inner.predicate, argumentsOf(inner, body.types, bindings, answers.now));
    for (const row of rows) yield must(row[position]);
  }
  for (const inner of withoutNot(body.literals)) {
    if (inner.kind !== "compare" || isIt(inner.left) === isIt(inner.right)) continue;
    const value = valueOf(isIt(inner.left) ? inner.right : inner.left, bindings, answers.now);
    const isNamed = value !== undefined && value.id !== openId && value.id !== anyId;
    if (isNamed && body.types[variable]?.has(value.type) !== false) yield value;
  }
}

/** All conditions, also those inside a `not`. */
function withoutNot(literals: readonly ProgramLiteral[]): Exclude<ProgramLiteral, Negation>[] {
  return literals.flatMap((literal) => (literal.kind === "not" ? withoutNot(literal.body) : [literal]));
}

/**
 * Any value of the first type of each variable, and then of each other type that one of them may have: a `not` may tell
 * the types apart.
 */
function* ofAnyType(variables: readonly number[], body: TypedBody, bindings: Substitution): Generator<Substitution> {
  const any = withAny(variables, body, bindings);
  yield any;
  for (const variable of new Set(variables)) {
    if (bindings[variable] !== undefined || !body.scope.has(variable)) continue;
    const [, ...others] = body.types[variable] ?? [];
    for (const type of others) yield any.with(variable, { type, id: anyId });
  }
}

function withAny(variables: readonly number[], { types, scope }: TypedBody, bindings: Substitution): Substitution {
  const next = [...bindings];
  for (const variable of variables) {
    const [type] = types[variable] ?? [];
    if (next[variable] === undefined && scope.has(variable) && type !== undefined) next[variable] = { type, id: anyId };
  }
  return next;
}

function holds(
  literal: Extract<ProgramLiteral, { kind: "compare" | "type" }>,
  bindings: Substitution,
  types: VariableTypes,
  now: Value,
): boolean {
  if (literal.kind === "type") {
    const value = valueOf(literal.term, bindings, now);
    if (value) return literal.types.has(value.type);
    // Some value has the type, unless no value has any of these types.
    return (types[variableOf(literal.term)] ?? literal.types).size > 0;
  }
  const [left, right] = [valueOf(literal.left, bindings, now), valueOf(literal.right, bindings, now)];
  if (literal.operator === "!=") return !left || !right || left.type !== right.type || left.id !== right.id;
  if (left?.type !== "Integer" || right?.type !== "Integer" || left.id === anyId || right.id === anyId) return false;
  return comparisons[literal.operator](BigInt(left.id), BigInt(right.id));
}

const comparisons = {
  "<": (left: bigint, right: bigint) => left < right,
  "<=": (left: bigint, right: bigint) => left <= right,
  ">": (left: bigint, right: bigint) => left > right,
  ">=": (left: bigint, right: bigint) => left >= right,
};
