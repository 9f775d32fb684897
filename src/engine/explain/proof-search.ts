/**
 * The proof search: all solutions of the body of a rule, one condition after the other, with the engine's answers to
 * its calls. Calls come first, those with the most known arguments before others; then the remaining conditions are
 * tested.
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
import { must, unreachable } from "../../util/assert.ts";
import type { ActivePolicy } from "../policy/active-policy.ts";
import { anyId, type OpenAtom, openId, type Substitution, valueOf } from "./atom.ts";
import type { CallAnswers, CallArgument } from "./call-answers.ts";

/**
 * A rule body with the types of its variables. `scope` contains the variables that mean the same inside and around it,
 * if it is the body of a `not`.
 */
export interface TypedBody {
  readonly literals: readonly ProgramLiteral[];
  readonly types: VariableTypes;
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
export function rulesFor(atom: OpenAtom, { program }: ActivePolicy): readonly ProgramRule[] {
  const args = atom.args.map((arg) =>
    arg ? { types: new Set([arg.type]), id: arg.id } : { types: undefined, id: undefined },
  );
  return program.heads.get(atom.predicate)?.candidates(args) ?? [];
}

/** The bindings of the rule's variables if its head matches the atom. */
export function matchHead(rule: ProgramRule, atom: OpenAtom, answers: CallAnswers): Substitution | undefined {
  return unify(rule.head, atom.args, new Array(rule.types.length).fill(undefined), rule.types, answers.now);
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
  if (literal.kind === "call") {
    const rows = answers.rows(literal.predicate, argumentsOf(literal, body.types, bindings, answers.now));
    if (rows.length === 0) observer?.failed(openAtomOf(literal, bindings, answers.now));
    for (const row of rows) {
      const values = row.map((value) => (value.id === anyId ? { type: value.type, id: openId } : value));
      const next = unify(literal.args, values, bindings, body.types, answers.now);
      if (next) yield next;
    }
    return;
  }
  yield* test(literal, body, bindings, answers, observer);
}

function* test(
  literal: Exclude<ProgramLiteral, ProgramCall>,
  body: TypedBody,
  open: Substitution,
  answers: CallAnswers,
  observer: Observer | undefined,
): Generator<Substitution> {
  const bindings = closed(open);
  if (literal.kind === "not") {
    const inner = negated(literal.body, body);
    for (const known of withCandidates(literal, body, open, answers)) {
      const [found] = solutions(inner, known, answers, observer);
      if (!found) yield known;
      else observer?.blocked(inner, found);
    }
    return;
  }
  if (literal.kind === "equal") {
    const right = valueOf(literal.right, bindings, answers.now);
    const left = valueOf(literal.left, bindings, answers.now);
    const value = left ?? right;
    const next = value && unify([literal.left, literal.right], [value, value], bindings, body.types, answers.now);
    if (next) yield next;
    return;
  }
  for (const known of ofAnyType(literalVariables(literal), body, bindings))
    if (holds(literal, known, body.types, answers.now)) yield known;
}

/** The conjunction inside a `not`; variables that do not occur outside are its own. */
export function negated(literals: readonly ProgramLiteral[], around: TypedBody): TypedBody {
  const types: (ReadonlySet<string> | undefined)[] = around.types.map((known, variable) =>
    around.scope.has(variable) ? known : undefined,
  );
  for (const literal of literals) {
    if (literal.kind !== "type" || literal.term.kind !== "var" || around.scope.has(literal.term.index)) continue;
    types[literal.term.index] = types[literal.term.index]?.intersection(literal.types) ?? literal.types;
  }
  return { literals, types, scope: new Set([...around.scope, ...ownVariables(literals)]) };
}

function ownVariables(literals: readonly ProgramLiteral[]): number[] {
  return literals.flatMap((literal) => (literal.kind === "not" ? [] : literalVariables(literal)));
}

function openAtomOf({ predicate, args }: ProgramCall, bindings: Substitution, now: Value): OpenAtom {
  const values = args.map((arg) => valueOf(arg, bindings, now));
  return { predicate, args: values.map((value) => (value?.id === openId ? undefined : value)) };
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

function sameValue(one: Value, other: Value): boolean {
  return one.type === other.type && one.id === other.id;
}

/**
 * The next condition: a test whose values are known, else the call with the most known arguments, else any test. A call
 * with more answers than may be read waits for other conditions to restrict it.
 */
function nextLiteral(body: TypedBody, bindings: Substitution, answers: CallAnswers): number | undefined {
  const { literals, scope } = body;
  const scored = literals.map((literal, index) => {
    const variables = literalVariables(literal).filter((variable) => literal.kind !== "not" || scope.has(variable));
    const unknown = variables.filter((variable) => (bindings[variable]?.id ?? openId) === openId).length;
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

/**
 * A variable that only a `not` restricts may have any value, or one of the values that the calls and the `!=` inside
 * name.
 */
function* withCandidates(
  literal: Extract<ProgramLiteral, { kind: "not" }>,
  body: TypedBody,
  bindings: Substitution,
  answers: CallAnswers,
): Generator<Substitution> {
  const known = closed(bindings);
  const variables = literalVariables(literal);
  const any = withAny(variables, body, known);
  yield* ofAnyType(variables, body, known);
  for (const variable of new Set(variables)) {
    if ((bindings[variable]?.id ?? openId) !== openId || !body.scope.has(variable)) continue;
    const without = known.with(variable, undefined);
    const values = [
      ...namedValues(variable, literal.body, body.types, without, answers),
      // Later conditions may need one, too.
      ...unequalValues(variable, body.literals, body.types, without, answers),
    ];
    for (const value of values) yield any.with(variable, value);
  }
}

function namedValues(
  variable: number,
  literals: readonly ProgramLiteral[],
  types: VariableTypes,
  bindings: Substitution,
  answers: CallAnswers,
): Value[] {
  return literals.flatMap((literal) => {
    if (literal.kind === "not") return namedValues(variable, literal.body, types, bindings, answers);
    if (literal.kind !== "call") return [];
    const place = literal.args.findIndex((arg) => arg.kind === "var" && arg.index === variable);
    if (place < 0) return [];
    const rows = answers.rows(literal.predicate, argumentsOf(literal, types, bindings, answers.now));
    return rows.map((row) => must(row[place]));
  });
}

/** Values of the right type that the variable must differ from, inside a `not` or outside. */
function unequalValues(
  variable: number,
  literals: readonly ProgramLiteral[],
  types: VariableTypes,
  bindings: Substitution,
  answers: CallAnswers,
): Value[] {
  const isIt = (term: ProgramTerm): boolean => term.kind === "var" && term.index === variable;
  return literals.flatMap((literal) => {
    if (literal.kind === "not") return unequalValues(variable, literal.body, types, bindings, answers);
    if (literal.kind !== "compare" || isIt(literal.left) === isIt(literal.right)) return [];
    const value = valueOf(isIt(literal.left) ? literal.right : literal.left, bindings, answers.now);
    const isNamed = value !== undefined && value.id !== openId && value.id !== anyId;
    return isNamed && (types[variable]?.has(value.type) ?? true) ? [value] : [];
  });
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
  if (literal.operator === "!=") return !left || !right || !sameValue(left, right);
  if (left?.type !== "Integer" || right?.type !== "Integer" || left.id === anyId || right.id === anyId) return false;
  const difference = BigInt(left.id) - BigInt(right.id);
  switch (literal.operator) {
    case "<":
      return difference < 0n;
    case "<=":
      return difference <= 0n;
    case ">":
      return difference > 0n;
    case ">=":
      return difference >= 0n;
    default:
      return unreachable(literal.operator);
  }
}
