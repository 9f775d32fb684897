/**
 * The facts of one AuthZEN request: `has_property(subject, name, value)` for its subject and resource,
 * `has_property(action name, name, value)` for its action, and `has_context(name, value)` for its context. A policy opts
 * in by using these predicates. Other properties are ignored, so that a client can always send all that it knows.
 */
import type { FactUses } from "../../engine/policy/fact-schema.ts";
import type { Fact } from "../../engine/state/event.ts";
import { AppError } from "../../util/app-error.ts";
import type { Attribute, Evaluation } from "./authzen-schemas.ts";

type Value = Fact["args"][number];

/** In a search, the entity that is searched for is absent. */
type AskedParts = Partial<Evaluation> & Pick<Evaluation, "context">;

/**
 * Throws AppError `too_large` for more than `contextFactsMax` facts, and `invalid_request` for a value that the policy
 * could use but that no fact can hold: without it, a rule with `not` could allow too much.
 */
export function factsOf(parts: AskedParts, uses: FactUses, { contextFactsMax }: { contextFactsMax: number }): Fact[] {
  const { subject, action, resource, context } = parts;
  const facts = [
    ...propertyFacts("subject", subject, subject?.properties, uses),
    ...propertyFacts("action", action && { type: "String", id: action.name }, action?.properties, uses),
    ...propertyFacts("resource", resource, resource?.properties, uses),
    ...used("context", "has_context", [], context, uses),
  ];
  if (facts.length > contextFactsMax)
    throw new AppError(
      "too_large",
      `the policy uses ${facts.length} properties of this request, at most ${contextFactsMax} are allowed`,
    );
  return facts;
}

function propertyFacts(place: string, owner: Value | undefined, given: readonly Attribute[] = [], uses: FactUses) {
  if (owner === undefined) return [];
  return used(`${place}.properties`, "has_property", [{ type: owner.type, id: owner.id }], given, uses);
}

function used(place: string, predicate: string, first: Value[], attributes: readonly Attribute[], uses: FactUses) {
  return attributes.flatMap(({ name, type, id, problem }): Fact[] => {
    const types = [...first.map((value) => value.type), "String", type];
    if (!uses.has(predicate, types, first.length, name)) return [];
    if (problem !== undefined) throw new AppError("invalid_request", `\`${place}.${name}\` in the body ${problem}`);
    return [{ predicate, args: [...first, { type: "String", id: name }, { type, id }] }];
  });
}
