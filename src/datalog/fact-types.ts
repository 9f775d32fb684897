/**
 * Which facts may be stored (polar.md 6.4): the argument types with which rule bodies use a predicate, and the declared ones. A predicate
 * that is only ever a head is derived, not stored. The implicit `allow` rules count as no use.
 */
import { factArgumentsMax, type Policy } from "../polar/policy.ts";
import type { Span } from "../polar/span.ts";
import { unreachable } from "../util/assert.ts";
import { predicateKey, type Program, type ProgramLiteral, type ProgramTerm } from "./program.ts";
import type { TypeName } from "./signature.ts";
import { Budget, TooLarge } from "./too-large.ts";
import type { Universe } from "./universe.ts";

export interface FactType {
  readonly predicate: string;
  readonly types: readonly TypeName[];
}

/** What an argument may be: of one of these types (`undefined`: of any), and this one value where the policy writes it out. */
export interface Argument {
  readonly types: ReadonlySet<string> | undefined;
  readonly id: string | undefined;
}

/** One place where the policy takes a predicate for a fact that may be stored. `predicate` is a key. */
export interface FactUse {
  readonly predicate: string;
  readonly args: readonly Argument[];
  /** The rule or the declaration. */
  readonly span: Span;
}

/** All accepted fact types, distinct, in order of first use. */
export function inferFactTypes(
  policy: Policy,
  program: Program,
  universe: Universe,
  limits: { readonly typingsMax: number; readonly predicatesMax: number },
): FactType[] {
  const found = new Map<string, FactType>();
  const budget = new Budget(limits.typingsMax, "types");
  const predicates = new Set<string>();
  for (const { predicate, args, span } of factUses(policy, program, universe)) {
    predicates.add(predicate);
    if (predicates.size > limits.predicatesMax) throw new TooLarge("predicates", span);
    budget.spend(
      args.reduce((count, { types }) => count * (types?.size ?? 1), 1),
      span,
    );
    for (const types of product(args)) {
      found.set(`${predicate} ${JSON.stringify(types.map((type) => type ?? null))}`, { predicate, types });
    }
  }
  return [...found.values()];
}

/** Every call in the body of a rule that may be one of a fact, and every `declare`. */
export function* factUses(policy: Policy, program: Program, universe: Universe): Generator<FactUse> {
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

/** True where a fact with these argument types is covered by the fact type. */
export function covers(accepted: readonly TypeName[], types: readonly TypeName[]): boolean {
  return (
    accepted.length === types.length &&
    accepted.every((type, position) => type === undefined || type === types[position])
  );
}

type Allowed = readonly (ReadonlySet<string> | undefined)[];

/** What a term may be, where `allowed` says the types of the variables around it. */
export function argumentOf(term: ProgramTerm, allowed: Allowed): Argument {
  switch (term.kind) {
    case "var":
      return { types: allowed[term.index], id: undefined };
    case "const":
      return { types: new Set([term.value.type]), id: term.value.id };
    case "now":
      return { types: new Set(["Integer"]), id: undefined };
    default:
      return unreachable(term);
  }
}

/** The calls of a body, also under `not`. `matches` inside `not` counts inside alone. */
function* uses(body: readonly ProgramLiteral[], around: Allowed, span: Span): Generator<FactUse> {
  const allowed = [...around];
  for (const literal of body) {
    if (literal.kind !== "type" || literal.term.kind !== "var") continue;
    const { index } = literal.term;
    const before = allowed[index];
    allowed[index] = before ? new Set([...before].filter((type) => literal.types.has(type))) : literal.types;
  }
  for (const literal of body) {
    if (literal.kind === "not") yield* uses(literal.body, allowed, span);
    if (literal.kind !== "call") continue;
    yield { predicate: literal.predicate, args: literal.args.map((arg) => argumentOf(arg, allowed)), span };
  }
}

function product(args: readonly Argument[]): TypeName[][] {
  return args.reduce<TypeName[][]>(
    (rows, { types }) => rows.flatMap((row) => (types ? [...types] : [undefined]).map((type) => [...row, type])),
    [[]],
  );
}
