/**
 * The types of facts that may be stored: those with which bodies of rules use a predicate, the declared ones, and those
 * of heads. The implicit `allow` rules count as neither. A rule that names a type also accepts its subtypes. Names in
 * bodies (`"admin"`) do not restrict facts, because Oso Cloud documents types only; names in heads do.
 *
 * The types of bodies and declarations are listed for each policy, since its statements read their tables. Facts of
 * other heads are rare, so a policy has neither lists nor tables for them (`policy/head-facts.ts`).
 */
import { factArgumentsMax, type Policy } from "../../polar/policy.ts";
import type { Span } from "../../polar/span.ts";
import type { ArgumentPattern } from "../ir/argument-index.ts";
import { typeListKey } from "../ir/key.ts";
import {
  argumentPattern,
  type Constant,
  type DatalogProgram,
  predicateKey,
  type ProgramLiteral,
  type ProgramRule,
  type ProgramTerm,
  requiredTypes,
  type VariableTypes,
} from "../ir/program.ts";
import type { TypeName } from "../ir/signature.ts";
import type { Universe } from "../ir/universe.ts";
import { budget, TooLarge } from "./too-large.ts";

export interface FactType {
  readonly predicate: string;
  readonly types: readonly TypeName[];
}

/** A call or declaration that uses a predicate as a stored fact. `predicate` is a key. */
export interface FactUse {
  readonly predicate: string;
  readonly args: readonly ArgumentPattern[];
  /** The span of the rule or declaration. */
  readonly span: Span;
}

export interface FactTypeLimits {
  readonly typingsMax: number;
  readonly predicatesMax: number;
}

/** The fact types of bodies and declarations, distinct, in the order of their first use. */
export function inferFactTypes(
  policy: Policy,
  program: DatalogProgram,
  universe: Universe,
  limits: FactTypeLimits,
): FactType[] {
  const found = new Map<string, FactType>();
  const spend = budget(limits.typingsMax, "types");
  const predicates = new Set<string>();
  for (const { predicate, args, span } of factUses(policy, program, universe)) {
    predicates.add(predicate);
    if (predicates.size > limits.predicatesMax) throw new TooLarge("predicates", span);
    spend(
      args.reduce((count, { types }) => count * (types?.size ?? 1), 1),
      span,
    );
    for (const types of product(args)) found.set(`${predicate} ${typeListKey(types)}`, { predicate, types });
  }
  return [...found.values()];
}

/** Every call in the body of a rule that a fact could answer, and every `declare`. */
export function* factUses(policy: Policy, program: DatalogProgram, universe: Universe): Generator<FactUse> {
  for (const rule of program.rules) {
    if (rule.implicit) continue;
    for (const use of uses(rule.body, rule.types, rule.span)) {
      if (use.args.length >= 1 && use.args.length <= factArgumentsMax) yield use;
    }
  }
  for (const { predicate, types, span } of policy.declarations) {
    const args = types.map((type) => ({ types: universe.concrete(type), id: undefined }));
    yield { predicate: predicateKey(predicate, args.length), args, span };
  }
}

/** The arguments that facts with the head of a rule may have. */
export type FactHead = readonly ArgumentPattern[];

/** The heads of a predicate (a key) that may have these argument types, except those of implicit rules. */
export function factHeads({ heads }: DatalogProgram, predicate: string, types: readonly TypeName[]): FactHead[] {
  const asked = types.map((type) => ({ types: type === undefined ? undefined : new Set([type]), id: undefined }));
  return (heads.get(predicate)?.candidates(asked) ?? []).flatMap(factHeadOf);
}

/**
 * The fact type of the first head, other than that of an implicit rule, that can have these argument types; `undefined`
 * if there is none. `predicate` is a key. A variable without a type stands for any type.
 */
export function headFactType(
  program: DatalogProgram,
  predicate: string,
  types: readonly TypeName[],
): FactType | undefined {
  const head = factHeads(program, predicate, types).find((patterns) => types.every(fitsType(patterns)));
  return head && { predicate, types: types.map((type, position) => head[position]?.types && type) };
}

/** Whether a head names such a fact: its argument types, and its strings where the head has one. */
export function isHeadFact(program: DatalogProgram, predicate: string, args: readonly Constant[]): boolean {
  const types = args.map(({ type }) => type);
  return factHeads(program, predicate, types).some(
    (patterns) =>
      types.every(fitsType(patterns)) &&
      patterns.every(
        ({ id }, position) => id === undefined || types[position] !== "String" || id === args[position]?.id,
      ),
  );
}

function fitsType(patterns: FactHead): (type: TypeName, position: number) => boolean {
  return (type, position) => {
    const types = patterns[position]?.types;
    return types === undefined || (type !== undefined && types.has(type));
  };
}

const factHeadsByRule = new WeakMap<ProgramRule, [FactHead] | []>();

/** In a list, which is empty if no fact can have the head, or if the conditions of the rule contradict each other. */
function factHeadOf(rule: ProgramRule): [FactHead] | [] {
  return factHeadsByRule.getOrInsertComputed(rule, ({ implicit, head, body, types }) => {
    if (implicit || head.length < 1 || head.length > factArgumentsMax) return [];
    const allowed = narrowed(body, types);
    return allowed ? [head.map((term) => argumentPattern(term, allowed))] : [];
  });
}

/** Whether the fact type `accepted` accepts a fact with these argument types. */
export function covers(accepted: readonly TypeName[], types: readonly TypeName[]): boolean {
  return (
    accepted.length === types.length &&
    accepted.every((type, position) => type === undefined || type === types[position])
  );
}

/** Whether one of the fact types accepts a fact of this predicate (a key) with these argument types. */
export function isCovered(accepted: readonly FactType[], predicate: string, types: readonly TypeName[]): boolean {
  const known = indexOf(accepted).get(predicate);
  if (known === undefined) return false;
  return known.closed.has(typeListKey(types)) || known.open.some((other) => covers(other, types));
}

/** The fact types of a predicate: `closed` are the keys of those with a type for each argument, `open` the others. */
interface PredicateTypes {
  readonly closed: Set<string>;
  readonly open: (readonly TypeName[])[];
}

/** By list of fact types. A policy can have hundreds of thousands, and each call of each rule is looked up. */
const indexes = new WeakMap<readonly FactType[], ReadonlyMap<string, PredicateTypes>>();

function indexOf(factTypes: readonly FactType[]): ReadonlyMap<string, PredicateTypes> {
  const made = indexes.get(factTypes);
  if (made !== undefined) return made;
  const index = new Map<string, PredicateTypes>();
  for (const { predicate, types } of factTypes) {
    const known = index.getOrInsertComputed(predicate, () => ({ closed: new Set(), open: [] }));
    if (types.includes(undefined)) known.open.push(types);
    else known.closed.add(typeListKey(types));
  }
  indexes.set(factTypes, index);
  return index;
}

/** The calls of a body that can be true, also those under `not`. A type required inside a `not` applies only there. */
function* uses(body: readonly ProgramLiteral[], around: VariableTypes, span: Span): Generator<FactUse> {
  const allowed = narrowed(body, around);
  if (!allowed) return;
  for (const literal of body) {
    if (literal.kind === "not") yield* uses(literal.body, allowed, span);
    if (literal.kind !== "call") continue;
    yield { predicate: literal.predicate, args: literal.args.map((arg) => argumentPattern(arg, allowed)), span };
  }
}

/** The types that the conditions of the body leave for its variables; `undefined` if it can't be true. */
function narrowed(body: readonly ProgramLiteral[], around: VariableTypes): VariableTypes | undefined {
  const allowed = [...around];
  let grown = true;
  const narrow = (term: ProgramTerm, types: ReadonlySet<string> | undefined): boolean => {
    const before = argumentPattern(term, allowed).types;
    const after = types && (before?.intersection(types) ?? types);
    if (after === undefined || after.size === before?.size) return true;
    if (term.kind === "var") allowed[term.index] = after;
    grown = true;
    return after.size > 0;
  };
  const narrowBy = (literal: ProgramLiteral): boolean => {
    if (literal.kind !== "equal") return requiredTypes(literal).every(([term, types]) => narrow(term, types));
    const { left, right } = literal;
    return narrow(left, argumentPattern(right, allowed).types) && narrow(right, argumentPattern(left, allowed).types);
  };
  while (grown) {
    grown = false;
    if (!body.every(narrowBy)) return undefined;
  }
  return allowed;
}

function product(args: readonly ArgumentPattern[]): TypeName[][] {
  return args.reduce<TypeName[][]>(
    (rows, { types }) => rows.flatMap((row) => (types ? [...types] : [undefined]).map((type) => [...row, type])),
    [[]],
  );
}
