/**
 * Tuples as facts. Each of the three things that can be the user of a tuple is a value of a type of its own, so that the types of facts say
 * what OpenFGA's type restrictions say:
 *
 *     user:anne            user{"anne"}
 *     group:eng#member     Userset::group::member{"eng"}
 *     user:*               Everyone::user{"all"}
 */
import type { Fact, Value } from "../../src/store/facts/fact.ts";
import { must } from "../../src/util/assert.ts";
import type { Restriction, Tuple } from "./suite.ts";

/** The Polar type of what a restriction admits. The number of parts tells the three apart, whatever types and relations are called. */
export function typeOf(restriction: Restriction): string {
  const type = name(restriction.type);
  if ("relation" in restriction) return `Userset::${type}::${name(restriction.relation)}`;
  return "wildcard" in restriction ? `Everyone::${type}` : type;
}

/** Names that are none in Polar would have to be rewritten, and two of them could become one. */
export function name(text: string): string {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/u.test(text)) throw new Error(`\`${text}\` is no name in Polar`);
  return text;
}

interface Subject {
  readonly value: Value;
  /** Of a userset: the object whose relation it is. */
  readonly object: Value | undefined;
}

function parse(text: string): Subject {
  const [, type, id, relation] = must(
    /^([^:#]+):([^:#]+)(?:#([^:#]+))?$/u.exec(text),
    `\`${text}\` is an object or a userset`,
  );
  const [ofType, withId] = [must(type), must(id)];
  if (withId === "*") return { value: { type: typeOf({ type: ofType, wildcard: {} }), id: "all" }, object: undefined };
  const object = { type: typeOf({ type: ofType }), id: withId };
  if (relation === undefined) return { value: object, object: undefined };
  return { value: { type: typeOf({ type: ofType, relation }), id: withId }, object };
}

export function valueOf(text: string): Value {
  return parse(text).value;
}

/** What the rules must know of a user that tuples or questions name: of a userset, whose it is. */
export function factsAbout(user: string): Fact[] {
  const { value, object } = parse(user);
  return object === undefined ? [] : [{ predicate: "userset_of", args: [value, object] }];
}

export function factsOf({ object, relation, user }: Tuple): Fact[] {
  const args = [valueOf(object), { type: "String", id: relation }, valueOf(user)];
  return [{ predicate: "has_relation", args }, ...factsAbout(user)];
}
