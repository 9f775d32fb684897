/**
 * Which facts may be stored (polar.md 6.4): the argument types with which rule bodies use a predicate, and the declared ones. A predicate
 * that is only ever a head is derived, not stored. The implicit `allow` rules count as no use.
 */
import type { Policy } from "../polar/policy.ts";
import { predicateKey, type Program, type ProgramLiteral } from "./program.ts";
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
    for (const { predicate, types } of uses(rule.body, rule.types)) {
      for (const combination of product(types)) add(predicate, combination);
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

type Allowed = readonly (ReadonlySet<string> | undefined)[];

/** The calls of a body, also under `not`, with the types that each argument may have there. `matches` inside `not` counts inside alone. */
function uses(body: readonly ProgramLiteral[], around: Allowed): { predicate: string; types: Allowed }[] {
  const allowed = [...around];
  for (const literal of body) {
    if (literal.kind !== "type" || literal.term.kind !== "var") continue;
    const { index } = literal.term;
    const before = allowed[index];
    allowed[index] = before ? new Set([...before].filter((type) => literal.types.has(type))) : literal.types;
  }
  return body.flatMap((literal) => {
    if (literal.kind === "not") return uses(literal.body, allowed);
    if (literal.kind !== "call") return [];
    const types = literal.args.map((arg) => {
      if (arg.kind === "var") return allowed[arg.index];
      const type = termType(arg);
      return type === undefined ? undefined : new Set([type]);
    });
    return [{ predicate: literal.predicate, types }];
  });
}

function product(types: Allowed): TypeName[][] {
  return types.reduce<TypeName[][]>(
    (rows, choices) => rows.flatMap((row) => (choices ? [...choices] : [undefined]).map((type) => [...row, type])),
    [[]],
  );
}
