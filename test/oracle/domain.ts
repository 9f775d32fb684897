/**
 * The finite domain: for each concrete type every value with a name, and the fresh values that represent all others.
 */
import type { Expression, Policy, Term } from "../../src/polar/policy.ts";
import type { Fact, Value } from "../../src/store/facts/fact.ts";
import { must, unreachable } from "../../src/util/assert.ts";

/** A value of the domain. There is one object per value, so `===` is equality. */
export interface Ground extends Value {
  readonly key: string;
  /** True for a value that represents all values of its type without a name. */
  readonly fresh: boolean;
  /** True for a value against which every negation fails: it is an exception to everything. */
  readonly exceptional: boolean;
}

export interface Domain {
  readonly all: readonly Ground[];
  readonly now: Ground;
  ofType(type: string): readonly Ground[];
  /** Several for each type except Boolean; none in an ordinary domain. */
  exceptions(type: string): readonly Ground[];
  /** The domain's object for a value, which must be in it. */
  ground(value: Value): Ground;
  isSubtype(type: string, supertype: string): boolean;
}

/** Enough to distinguish the unknown values of one rule or question. */
const freshPerType = 3;

export function createDomain(
  policy: Policy,
  facts: readonly Fact[],
  values: readonly Value[],
  nowSeconds: number,
  withExceptions = false,
): Domain {
  const byKey = new Map<string, Ground>();
  const add = (type: string, id: string, kind?: "fresh" | "exceptional") => {
    const key = JSON.stringify(kind ? [type, id, kind] : [type, id]);
    const known = byKey.get(key);
    if (known !== undefined) return known;
    const ground = { type, id, key, fresh: kind === "fresh", exceptional: kind === "exceptional" };
    byKey.set(key, ground);
    return ground;
  };
  const now = add("Integer", String(nowSeconds));
  for (const value of [...values, ...facts.flatMap((fact) => fact.args), ...literalsOf(policy)])
    add(value.type, value.id);
  for (const type of concreteTypes(policy, [...byKey.values()])) {
    // Boolean is the only finite type: it has no other values.
    if (type === "Boolean") for (const id of ["true", "false"]) add(type, id);
    else {
      for (let n = 1; n <= freshPerType; n += 1) add(type, `*${n}`, "fresh");
      if (withExceptions) for (let n = 1; n <= freshPerType; n += 1) add(type, `!${n}`, "exceptional");
    }
  }
  const all = [...byKey.values()];
  const byType = Map.groupBy(all, (value) => value.type);
  return {
    all,
    now,
    ofType: (type) => byType.get(type) ?? [],
    exceptions: (type) => (byType.get(type) ?? []).filter(({ exceptional }) => exceptional),
    ground(value) {
      if ("key" in value) return value as Ground;
      return must(
        byKey.get(JSON.stringify([value.type, value.id])),
        `${value.type}:${value.id} is in the oracle's domain`,
      );
    },
    isSubtype: (type, supertype) => isSubtype(policy, type, supertype),
  };
}

/** Every actor is an Actor, every actor and resource is a Resource, and `extends` is transitive. */
function isSubtype(policy: Policy, type: string, supertype: string): boolean {
  if (type === supertype) return true;
  const declaration = policy.types.get(type);
  if (declaration === undefined) return false;
  if (supertype === "Resource") return true;
  if (supertype === "Actor" && declaration.kind === "actor") return true;
  return declaration.supertypes.some((parent) => isSubtype(policy, parent, supertype));
}

function concreteTypes(policy: Policy, values: readonly Value[]): Set<string> {
  const types = new Set(["String", "Integer", "Boolean", ...policy.types.keys(), ...values.map((value) => value.type)]);
  for (const rule of policy.rules) {
    for (const param of rule.params) if (param.type !== undefined) types.add(param.type);
    for (const expression of parts(rule.body)) if (expression.kind === "matches") types.add(expression.type);
  }
  for (const declaration of policy.declarations) for (const type of declaration.types) types.add(type);
  types.delete("Actor");
  types.delete("Resource");
  return types;
}

function literalsOf(policy: Policy): Value[] {
  const terms: Term[] = policy.rules.flatMap((rule) => [
    ...rule.params.map((param) => param.term),
    ...parts(rule.body).flatMap(termsOf),
  ]);
  const names = [...policy.types.values(), policy.global].flatMap((block) => [...block.roles, ...block.permissions]);
  return [...terms.filter((term) => term.kind === "literal"), ...names.map((id) => ({ type: "String", id }))];
}

/** The expression and all expressions inside it. */
function parts(expression: Expression | undefined): Expression[] {
  if (expression === undefined) return [];
  if (expression.kind === "and" || expression.kind === "or") return expression.operands.flatMap(parts);
  if (expression.kind === "not") return parts(expression.operand);
  return [expression];
}

function termsOf(expression: Expression): readonly Term[] {
  switch (expression.kind) {
    case "call":
      return expression.args;
    case "equal":
    case "compare":
      return [expression.left, expression.right];
    case "in":
      return [expression.term, ...expression.values];
    case "matches":
    case "boolean":
      return [];
    case "and":
    case "or":
    case "not":
      throw new Error("broken assumption: only simple expressions have terms");
    default:
      return unreachable(expression);
  }
}
