/**
 * Questions about `allow` as shapes, each with a key that tells it from all others: the name under which its plan is kept. Made with each question, so a
 * key is put together from lengths and texts, which takes a third of the time of JSON.
 */
import type { FactType } from "../datalog/fact-types.ts";
import { predicateKey } from "../datalog/program.ts";
import type { Fact, Value } from "../store/fact.ts";
import type { Shape, ShapeVariable } from "./plans.ts";

export interface KeyedShape {
  readonly key: string;
  readonly shape: Shape;
}

const allowCall = [{ predicate: "allow/3", variables: [0, 1, 2] }];

/** `kind` says which of the variables are given and which are asked for. */
export function allowShape(
  kind: "authorize" | "list" | "actions",
  actor: ShapeVariable,
  action: ShapeVariable,
  resource: ShapeVariable,
  context: readonly FactType[],
): KeyedShape {
  const brought = context.length === 0 ? "" : JSON.stringify(context);
  return {
    key: `${kind} ${nameOf(actor)} ${nameOf(action)} ${nameOf(resource)} ${brought}`,
    shape: { calls: allowCall, variables: [actor, action, resource], context },
  };
}

export function queryShape(shape: Shape): KeyedShape {
  return { key: `query ${JSON.stringify(shape)}`, shape };
}

export function given(type: string): ShapeVariable {
  return { type, mode: "one", constant: undefined };
}

export function free(type: string): ShapeVariable {
  return { type, mode: "free", constant: undefined };
}

/** A given String; one that the policy mentions is part of the shape. */
export function textVariable(constant: string | undefined): ShapeVariable {
  if (constant === undefined) return given("String");
  return { type: "String", mode: "constant", constant: { type: "String", id: constant } };
}

/** What kinds of facts these are, in an order of their own. */
export function factTypesOf(facts: readonly Fact[]): FactType[] {
  const found = new Map<string, FactType>();
  for (const fact of facts) {
    const types = fact.args.map((arg: Value) => arg.type);
    const predicate = predicateKey(fact.predicate, types.length);
    found.set(JSON.stringify([predicate, types]), { predicate, types });
  }
  return [...found].sort(([left], [right]) => (left < right ? -1 : 1)).map(([, type]) => type);
}

/** With lengths, since types and constants may hold any character. */
function nameOf({ type, constant }: ShapeVariable): string {
  return constant === undefined
    ? `${type.length} ${type}`
    : `${type.length} ${type}=${constant.id.length} ${constant.id}`;
}
