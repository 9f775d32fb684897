/**
 * The calls of a condition, each with what the conjunctions around it say of its variables. Another alternative of an `or`, and what stands below
 * another `not`, say nothing of them.
 */
import type { Call, Expression, Head, Scalar } from "../syntax.ts";
import type { SaidType } from "./owners.ts";

/** What is said where an expression stands: by the conjunction of which it is a part, and by those further out. */
export interface Scope {
  readonly types: ReadonlyMap<string, readonly SaidType[]>;
  /** The strings that a variable may be, by `=` or `in`. */
  readonly strings: ReadonlyMap<string, readonly Scalar[]>;
  readonly outer: Scope | undefined;
}

export interface ScopedCall {
  readonly call: Call;
  readonly scope: Scope;
  /** It stands below a `not`, or below three of them. */
  readonly isNegated: boolean;
}

/** What the types of a head's parameters say. */
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

/** The scope of all that the condition demands without an alternative. */
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

/** `undefined` where nothing says which strings it may be. */
export function stringsSaidOf(variable: string, scope: Scope): readonly Scalar[] | undefined {
  for (let at: Scope | undefined = scope; at; at = at.outer) {
    const found = at.strings.get(variable);
    if (found) return found;
  }
  return undefined;
}

/** `a and (b and c)` as its three parts; anything but an `and` is the one part of itself. */
function conjunctsOf(expression: Expression): Expression[] {
  return expression.kind === "and" ? expression.operands.flatMap(conjunctsOf) : [expression];
}

/** Each is looked at for every call: more of them than people write are left out. */
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
