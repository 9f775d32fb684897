/**
 * The calls of a condition, with the restrictions that the enclosing conjunctions put on its variables. Other
 * alternatives of an `or`, and other negations, do not restrict them.
 */
import type { Call, Expression, Head, Scalar } from "../syntax.ts";
import type { SaidType } from "./owners.ts";

/** The restrictions at an expression: those of its own conjunction, and of the enclosing ones. */
export interface Scope {
  readonly types: ReadonlyMap<string, readonly SaidType[]>;
  /** The strings that `=` or `in` allow for a variable. */
  readonly strings: ReadonlyMap<string, readonly Scalar[]>;
  readonly outer: Scope | undefined;
}

export interface ScopedCall {
  readonly call: Call;
  readonly scope: Scope;
  /** True inside an odd number of negations. */
  readonly isNegated: boolean;
}

/** The restrictions by the types of a head's parameters. */
export function scopeOfHead({ params }: Head): Scope {
  const typed = params.flatMap(({ term, type }) =>
    term.kind === "variable" && term.name !== "_" && type ? [[term.name, type.text] as const] : [],
  );
  const types = Map.groupBy(typed, ([name]) => name);
  return scopeOfTypes([...types].map(([name, said]) => [name, said.map(([, type]) => ({ type, exact: false }))]));
}

export function scopeOfTypes(types: readonly (readonly [string, readonly SaidType[]])[]): Scope {
  return { types: new Map(types), strings: new Map(), outer: undefined };
}

/** The restrictions by the parts of the body that are not alternatives. */
export function scopeOfBody(body: Expression | undefined, outer: Scope): Scope {
  return body === undefined ? outer : narrowed(conjunctsOf(body), outer);
}

export function* scopedCalls(expression: Expression, outer: Scope, isNegated = false): Generator<ScopedCall> {
  const conjuncts = conjunctsOf(expression);
  const scope = narrowed(conjuncts, outer);
  for (const part of conjuncts) {
    if (part.kind === "call") yield { call: part, scope, isNegated };
    if (part.kind === "not") yield* scopedCalls(part.operand, scope, !isNegated);
    if (part.kind === "or") for (const operand of part.operands) yield* scopedCalls(operand, scope, isNegated);
  }
}

export function typesSaidOf(variable: string, scope: Scope): SaidType[] {
  const found: SaidType[] = [];
  // Each `_` is a variable of its own.
  if (variable === "_") return found;
  for (let at: Scope | undefined = scope; at; at = at.outer) found.push(...(at.types.get(variable) ?? []));
  return found;
}

/** `undefined` if nothing restricts the variable to certain strings. */
export function stringsSaidOf(variable: string, scope: Scope): readonly Scalar[] | undefined {
  for (let at: Scope | undefined = scope; at; at = at.outer) {
    const found = at.strings.get(variable);
    if (found) return found;
  }
  return undefined;
}

/** `a and (b and c)` as its three parts. Any other expression is its only part. */
function conjunctsOf(expression: Expression): Expression[] {
  return expression.kind === "and" ? expression.operands.flatMap(conjunctsOf) : [expression];
}

/** Every call reads all of them, so further ones are ignored. People write fewer. */
const typesMax = 8;
const stringsMax = 32;

function narrowed(conjuncts: readonly Expression[], outer: Scope): Scope {
  const types = new Map<string, SaidType[]>();
  const strings = new Map<string, readonly Scalar[]>();
  const say = (variable: string, said: SaidType): void => {
    const known = types.getOrInsertComputed(variable, () => []);
    if (known.length < typesMax) known.push(said);
  };
  for (const part of conjuncts) {
    if (part.kind === "matches") {
      say(part.variable.name, { type: part.type.text, exact: part.exact });
    } else if (part.kind === "in" && part.term.kind === "variable") {
      const items = part.list.items.flatMap((item) => (item.kind === "string" ? [item] : []));
      if (items.length === part.list.items.length && items.length <= stringsMax) strings.set(part.term.name, items);
    } else if (part.kind === "equal") {
      for (const [side, other] of [
        [part.left, part.right],
        [part.right, part.left],
      ] as const) {
        if (side.kind !== "variable") continue;
        if (other.kind === "string") strings.set(side.name, [other]);
        if (other.kind === "typed") say(side.name, { type: other.type.text, exact: true });
      }
    }
  }
  return { types, strings, outer };
}
