/**
 * The facts of one AuthZEN request: `has_property(subject, name, value)` for its subject and resource,
 * `has_property(action name, name, value)` for its action, and `has_context(name, value)` for its context. A policy opts
 * in by using these predicates. Other properties are ignored, so that a client can always send all that it knows.
 */
import type { FactUses } from "../../policy/fact-schema.ts";
import { AppError } from "../../util/app-error.ts";
import type { Fact } from "../../store/facts/fact.ts";
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

interface KnownFacts {
  readonly uses: FactUses;
  readonly holder: string;
  readonly facts: readonly Fact[] | AppError;
}

/** A request can have thousands of evaluations that inherit thousands of attributes: those are read once. */
const known = new WeakMap<readonly Attribute[], KnownFacts>();

function used(
  place: string,
  predicate: string,
  first: Value[],
  attributes: readonly Attribute[],
  uses: FactUses,
): readonly Fact[] {
  const holder = JSON.stringify([place, predicate, first]);
  const earlier = known.get(attributes);
  const isSame = earlier?.uses === uses && earlier.holder === holder;
  const facts = isSame ? earlier.facts : readAttributes(place, predicate, first, attributes, uses);
  if (!isSame) known.set(attributes, { uses, holder, facts });
  if (facts instanceof AppError) throw facts;
  return facts;
}

/** Returns the error of a value that the policy could use but that no fact can hold. */
function readAttributes(
  place: string,
  predicate: string,
  first: Value[],
  attributes: readonly Attribute[],
  uses: FactUses,
): Fact[] | AppError {
  const facts: Fact[] = [];
  for (const { name, type, id, problem } of attributes) {
    const types = [...first.map((value) => value.type), "String", type];
    if (!uses.has(predicate, types, first.length, name)) continue;
    if (problem !== undefined) return new AppError("invalid_request", `\`${place}.${name}\` in the body ${problem}`);
    facts.push({ predicate, args: [...first, { type: "String", id: name }, { type, id }] });
  }
  return facts;
}
