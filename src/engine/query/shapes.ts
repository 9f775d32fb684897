/**
 * Query shapes: the part of a question that repeats from request to request. A shape holds the calls, which variables
 * are given, their types, the constants of the policy among their values, and the fact types of the context facts. The
 * key of a shape identifies its plan.
 */
import type { FactType } from "../../datalog/analysis/fact-types.ts";
import { listKey, numberKey, stringKey } from "../../datalog/ir/key.ts";
import { type Constant, predicateKey } from "../../datalog/ir/program.ts";
import type { Fact, Value } from "../../store/facts/fact.ts";
import { factTypeKey, valueKey } from "../request/keys.ts";

export interface Shape {
  /** Predicate keys and the indexes of their variables. */
  readonly calls: readonly { readonly predicate: string; readonly variables: readonly number[] }[];
  readonly variables: readonly ShapeVariable[];
  readonly context: readonly FactType[];
}

/**
 * A variable of a question: one given value, a list of values, or free. The shape itself holds a constant of the
 * policy.
 */
export interface ShapeVariable {
  readonly type: string;
  readonly mode: "constant" | "one" | "several" | "free";
  readonly constant: Constant | undefined;
}

export interface KeyedShape {
  readonly key: string;
  readonly shape: Shape;
}

export function keyed(shape: Shape): KeyedShape {
  return { key: shapeKey(shape), shape };
}

/** Two shapes have the same key exactly if they are equal. */
function shapeKey({ calls, variables, context }: Shape): string {
  const callKeys = calls.map((call) => stringKey(call.predicate) + listKey(call.variables.map(numberKey)));
  return listKey(callKeys) + listKey(variables.map(variableKey)) + listKey(context.map(factTypeKey));
}

function variableKey({ type, mode, constant }: ShapeVariable): string {
  return stringKey(type) + stringKey(mode) + (constant === undefined ? "-" : valueKey(constant));
}

/** The parts of a question about `allow` that determine its shape. */
export interface AllowQuestion {
  /** `authorize` asks for a decision, `list` for resources, `actions` for actions. */
  readonly kind: "authorize" | "list" | "actions";
  readonly actorType: string;
  /**
   * A constant of the policy, which is part of the shape; `undefined` for any other action, and if actions are asked
   * for.
   */
  readonly action: string | undefined;
  readonly resourceType: string;
}

/** Few enough that types which only one client asks for use no memory for long. */
const shapesMax = 1000;

/** By actor type, resource type and action. */
type ShapeCache = Map<string, Map<string, Map<string | undefined, KeyedShape>>>;

/**
 * The shapes of questions about `allow` under one policy. They are few and needed for every request, and making a key
 * takes a thirtieth of the time of an answer. The nested maps need no key for a lookup: one string key would take 80 ns
 * more. Types come from clients, so the number of all shapes together is bounded.
 */
export class AllowShapes {
  readonly #shapes: Readonly<Record<AllowQuestion["kind"], ShapeCache>> = {
    authorize: new Map(),
    list: new Map(),
    actions: new Map(),
  };
  #size = 0;

  of(question: AllowQuestion, context: readonly FactType[]): KeyedShape {
    if (context.length > 0) return allowShape(question, context);
    const { kind, actorType, action, resourceType } = question;
    return this.#shapes[kind].get(actorType)?.get(resourceType)?.get(action) ?? this.#add(question);
  }

  #add(question: AllowQuestion): KeyedShape {
    if (this.#size >= shapesMax) this.#clear();
    const { kind, actorType, action, resourceType } = question;
    const shape = allowShape(question, []);
    const byResource = this.#shapes[kind].getOrInsertComputed(actorType, () => new Map());
    byResource.getOrInsertComputed(resourceType, () => new Map()).set(action, shape);
    this.#size++;
    return shape;
  }

  /** Making the shapes in use again costs less than to record the use of each. */
  #clear(): void {
    for (const cached of Object.values(this.#shapes)) cached.clear();
    this.#size = 0;
  }
}

const allowCall = [{ predicate: "allow/3", variables: [0, 1, 2] }];

export function allowShape(
  { kind, actorType, action, resourceType }: AllowQuestion,
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

/** The distinct fact types of the facts, in canonical order. */
export function factTypesOf(facts: readonly Fact[]): FactType[] {
  const found = new Map<string, FactType>();
  for (const fact of facts) {
    const types = fact.args.map((arg: Value) => arg.type);
    const type = { predicate: predicateKey(fact.predicate, types.length), types };
    found.set(factTypeKey(type), type);
  }
  return [...found].sort(([left], [right]) => (left < right ? -1 : 1)).map(([, type]) => type);
}
