/**
 * Questions about `allow` as shapes, each with a key that tells it from all others: the name under which its plan is kept. Those without context
 * facts are few and asked all the time, so they are kept; to put a key together would be a thirtieth of an answer.
 */
import type { FactType } from "../../datalog/analysis/fact-types.ts";
import { predicateKey } from "../../datalog/ir/program.ts";
import type { Fact, Value } from "../../store/facts/fact.ts";
import { factTypeKey, keyPart, sequenceKey, valueKey } from "../request/keys.ts";
import type { Shape, ShapeVariable } from "./plans.ts";

export interface KeyedShape {
  readonly key: string;
  readonly shape: Shape;
}

/** A question about `allow`, as far as its shape goes. */
export interface AllowQuestion {
  /** Whether it may, on which resources, or which actions. */
  readonly kind: "authorize" | "list" | "actions";
  readonly actorType: string;
  /** One that the policy mentions, which is part of the shape; `undefined` for any other, and where actions are asked for. */
  readonly action: string | undefined;
  readonly resourceType: string;
}

const allowCall = [{ predicate: "allow/3", variables: [0, 1, 2] }];

/** So few that types which nobody else asks about take no memory for long. */
const keptMax = 1000;

type ShapesByType = Map<string, Map<string, Map<string | undefined, KeyedShape>>>;

export class AllowShapes {
  readonly #kept: Readonly<Record<AllowQuestion["kind"], ShapesByType>> = {
    authorize: new Map(),
    list: new Map(),
    actions: new Map(),
  };
  #count = 0;

  of(question: AllowQuestion, context: readonly FactType[]): KeyedShape {
    if (context.length > 0) return allowShape(question, context);
    const { kind, actorType, action, resourceType } = question;
    return this.#kept[kind].get(actorType)?.get(resourceType)?.get(action) ?? this.#keep(question);
  }

  #keep(question: AllowQuestion): KeyedShape {
    if (this.#count >= keptMax) {
      for (const kept of Object.values(this.#kept)) kept.clear();
      this.#count = 0;
    }
    const shape = allowShape(question, []);
    const byResource = this.#kept[question.kind].getOrInsertComputed(question.actorType, () => new Map());
    byResource.getOrInsertComputed(question.resourceType, () => new Map()).set(question.action, shape);
    this.#count++;
    return shape;
  }
}

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

export function keyed(shape: Shape): KeyedShape {
  return { key: shapeKey(shape), shape };
}

export function given(type: string): ShapeVariable {
  return { type, mode: "one", constant: undefined };
}

export function free(type: string): ShapeVariable {
  return { type, mode: "free", constant: undefined };
}

/** A given String; one that the policy mentions is part of the shape. */
export function stringVariable(constant: string | undefined): ShapeVariable {
  if (constant === undefined) return given("String");
  return { type: "String", mode: "constant", constant: { type: "String", id: constant } };
}

/** What kinds of facts these are, in an order of their own. */
export function factTypesOf(facts: readonly Fact[]): FactType[] {
  const found = new Map<string, FactType>();
  for (const fact of facts) {
    const types = fact.args.map((arg: Value) => arg.type);
    const predicate = predicateKey(fact.predicate, types.length);
    const type = { predicate, types };
    found.set(factTypeKey(type), type);
  }
  return [...found].sort(([left], [right]) => (left < right ? -1 : 1)).map(([, type]) => type);
}

/** Equal for two shapes exactly if they are equal. */
function shapeKey({ calls, variables, context }: Shape): string {
  return (
    sequenceKey(calls, (call) => keyPart(call.predicate) + sequenceKey(call.variables, (index) => `${index},`)) +
    sequenceKey(variables, variableKey) +
    sequenceKey(context, factTypeKey)
  );
}

function variableKey({ type, mode, constant }: ShapeVariable): string {
  return keyPart(type) + keyPart(mode) + (constant === undefined ? "-" : valueKey(constant));
}
