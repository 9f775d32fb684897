/**
 * Query shapes: the part of a question that repeats from request to request. A shape holds the calls, the types of the
 * variables, which of them are given, constants of the policy, and the fact types of the context facts. The key of a
 * shape identifies its plan.
 */
import type { FactType } from "../../datalog/analysis/fact-types.ts";
import { listKey, numberKey, stringKey } from "../../datalog/ir/key.ts";
import { type Constant, predicateKey } from "../../datalog/ir/program.ts";
import type { Fact, Value } from "../../store/facts/fact.ts";
import { factTypeKey, valueKey } from "../../policy/keys.ts";

export interface Shape {
  /** Predicate keys and the indexes of their variables. */
  readonly calls: readonly { readonly predicate: string; readonly variables: readonly number[] }[];
  readonly variables: readonly ShapeVariable[];
  readonly context: readonly FactType[];
}

/** A variable: a constant of the policy, which the shape holds, one given value, a list of values, or free. */
export interface ShapeVariable {
  readonly type: string;
  readonly mode: "constant" | "one" | "several" | "free";
  readonly constant?: Constant | undefined;
}

export interface KeyedShape {
  readonly key: string;
  readonly shape: Shape;
}

/** Two shapes have the same key exactly if they are equal. */
export function keyed(shape: Shape): KeyedShape {
  const { calls, variables, context } = shape;
  const callKeys = calls.map((call) => stringKey(call.predicate) + listKey(call.variables.map(numberKey)));
  const key = listKey(callKeys) + listKey(variables.map(variableKey)) + listKey(context.map(factTypeKey));
  return { key, shape };
}

function variableKey({ type, mode, constant }: ShapeVariable): string {
  return stringKey(type) + stringKey(mode) + (constant === undefined ? "-" : valueKey(constant));
}

/** `authorize` asks for a decision, `list` for resources, `actions` for actions. */
type AllowKind = "authorize" | "list" | "actions";

/** Few enough that types which only one client asks for use no memory for long. */
const shapesMax = 1000;

/** By actor type, resource type and action. */
type ShapeCache = Map<string, Map<string, Map<string | undefined, KeyedShape>>>;

/**
 * The shapes of questions about `allow` under one policy. They are few, and making a key takes a thirtieth of the time
 * of an answer. One string key instead of nested maps would take 80 ns more. Types come from clients, so the number of
 * all shapes together is bounded.
 */
export class AllowShapes {
  readonly #shapes: Readonly<Record<AllowKind, ShapeCache>> = {
    authorize: new Map(),
    list: new Map(),
    actions: new Map(),
  };
  #size = 0;

  /** `action` is a constant of the policy; `undefined` for any other action, and if actions are asked for. */
  of(
    kind: AllowKind,
    actorType: string,
    action: string | undefined,
    resourceType: string,
    context: readonly FactType[],
  ): KeyedShape {
    if (context.length > 0) return allowShape(kind, actorType, action, resourceType, context);
    const cached = this.#shapes[kind].get(actorType)?.get(resourceType)?.get(action);
    return cached ?? this.#add(kind, actorType, action, resourceType);
  }

  #add(kind: AllowKind, actorType: string, action: string | undefined, resourceType: string): KeyedShape {
    if (this.#size >= shapesMax) {
      // Making the shapes in use again costs less than to record the use of each.
      for (const cached of Object.values(this.#shapes)) cached.clear();
      this.#size = 0;
    }
    const shape = allowShape(kind, actorType, action, resourceType, []);
    const byResource = this.#shapes[kind].getOrInsertComputed(actorType, () => new Map());
    byResource.getOrInsertComputed(resourceType, () => new Map()).set(action, shape);
    this.#size++;
    return shape;
  }
}

export const allowCall = [{ predicate: "allow/3", variables: [0, 1, 2] }];

export function allowShape(
  kind: AllowKind,
  actorType: string,
  action: string | undefined,
  resourceType: string,
  context: readonly FactType[],
): KeyedShape {
  const variables = [
    given(actorType),
    kind === "actions" ? free("String") : stringVariable(action),
    kind === "list" ? free(resourceType) : given(resourceType),
  ];
  return keyed({ calls: allowCall, variables, context });
}

export function given(type: string): ShapeVariable {
  return { type, mode: "one", constant: undefined };
}

export function free(type: string): ShapeVariable {
  return { type, mode: "free", constant: undefined };
}

/** A given String. A constant of the policy becomes part of the shape. */
export function stringVariable(constant: string | undefined): ShapeVariable {
  if (constant === undefined) return given("String");
  return { type: "String", mode: "constant", constant: { type: "String", id: constant } };
}

const noTypes: readonly FactType[] = [];

/** The distinct fact types of the facts, in canonical order. */
export function factTypesOf(facts: readonly Fact[]): readonly FactType[] {
  if (facts.length === 0) return noTypes;
  const found = new Map<string, FactType>();
  for (const fact of facts) {
    const types = fact.args.map((arg: Value) => arg.type);
    const type = { predicate: predicateKey(fact.predicate, types.length), types };
    found.set(factTypeKey(type), type);
  }
  return [...found].sort(([left], [right]) => (left < right ? -1 : 1)).map(([, type]) => type);
}
