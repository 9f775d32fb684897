/**
 * Which facts may be stored (polar.md 6.4): the argument types with which rule bodies use a predicate, and the declared ones. A predicate
 * that is only ever a head is derived, not stored. The implicit `allow` rules count as no use.
 */
import type { Policy } from "../polar/policy.ts";
import { predicateKey, type Program, type ProgramLiteral, type ProgramRule } from "./program.ts";
import { type TypeName, termType } from "./signatures.ts";
import type { Universe } from "./universe.ts";

export interface FactType {
  readonly predicate: string;
  readonly types: readonly TypeName[];
}

/** All accepted fact types, distinct, in order of first use. */
export function inferFactTypes(policy: Policy, program: Program, universe: Universe): FactType[] {
  const found = new Map<string, FactType>();
  const add = (predicate: string, types: readonly TypeName[]): void => {
    found.set(`${predicate} ${JSON.stringify(types.map((type) => type ?? null))}`, { predicate, types });
  };
  for (const rule of program.rules) {
    if (rule.implicit) continue;
    for (const call of callsOf(rule.body)) {
      const types = argumentTypes(rule, call, rule.body);
      for (const combination of product(types)) add(call.predicate, combination);
    }
  }
  for (const declaration of policy.declarations) {
    const types = declaration.types.map((type) => universe.concrete(type));
    for (const combination of product(types)) add(predicateKey(declaration.predicate, types.length), combination);
  }
  return [...found.values()];
}

/** True where a fact with these argument types is covered by the fact type. */
export function covers(accepted: readonly TypeName[], types: readonly TypeName[]): boolean {
  return (
    accepted.length === types.length &&
    accepted.every((type, position) => type === undefined || type === types[position])
  );
}

type Call = Extract<ProgramLiteral, { kind: "call" }>;

function callsOf(body: readonly ProgramLiteral[]): Call[] {
  return body.flatMap((literal) => {
    if (literal.kind === "call") return [literal];
    return literal.kind === "not" ? callsOf(literal.body) : [];
  });
}

function argumentTypes(
  rule: ProgramRule,
  call: Call,
  body: readonly ProgramLiteral[],
): (ReadonlySet<string> | undefined)[] {
  const local = localTypes(body);
  return call.args.map((arg) => {
    if (arg.kind === "var") return rule.types[arg.index] ?? local.get(arg.index);
    const type = termType(arg);
    return type === undefined ? undefined : new Set([type]);
  });
}

/** Types that `matches` gives to variables inside `not`. */
function localTypes(body: readonly ProgramLiteral[]): Map<number, ReadonlySet<string>> {
  const found = new Map<number, ReadonlySet<string>>();
  const visit = (literals: readonly ProgramLiteral[], inside: boolean): void => {
    for (const literal of literals) {
      if (literal.kind === "not") visit(literal.body, true);
      if (inside && literal.kind === "type" && literal.term.kind === "var")
        found.set(literal.term.index, literal.types);
    }
  };
  visit(body, false);
  return found;
}

function product(types: readonly (ReadonlySet<string> | undefined)[]): TypeName[][] {
  return types.reduce<TypeName[][]>(
    (rows, choices) => rows.flatMap((row) => (choices ? [...choices] : [undefined]).map((type) => [...row, type])),
    [[]],
  );
}
