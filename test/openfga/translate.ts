/**
 * A model of OpenFGA as a policy. Tuples are facts `has_relation(object, "relation", user)`. A subject with a relation to an object, by tuples or by
 * other relations, has the permission of that name:
 *
 *     type document
 *       relations
 *         define viewer: [user, group#member] but not blocked
 *
 *     has_permission(subject: Actor, "viewer", object: document) if
 *       ((subject matches user and has_relation(object, "viewer", subject)) or
 *         (v1 matches Userset::group::member and has_relation(object, "viewer", v1) and
 *           v2 matches group and userset_of(v1, v2) and has_permission(subject, "member", v2))) and
 *       not has_permission(subject, "blocked", object);
 *
 * A userset and everyone can be asked about as well, hence every type is an actor.
 */
import { must } from "../../src/util/assert.ts";
import type { Definition, Model, Restriction, Rewrite } from "./suite.ts";
import { name, typeOf } from "./tuples.ts";

export function translate(model: Model): string {
  return policy(model, [undefined]);
}

/** Estimates of each relation, by turns from above and from below, each with what it negates taken from the one before. */
const estimates = [0, 1, 2, 3, 4, 5, 6];

/**
 * A model whose relations depend on their own negations, which OpenFGA follows along the tuples and Polar refuses. Where the tuples don't go in
 * such a circle, the last two estimates, from below and from above, are the same, and the answer is what both say.
 */
export function translateByEstimates(model: Model): string {
  return policy(model, estimates);
}

/** The permissions that the last two estimates of a relation are. */
export function estimatesOf(relation: string): string[] {
  return estimates.slice(-2).map((estimate) => permissionName(relation, estimate));
}

/** The first estimate, from above, negates nothing. `undefined` in a policy without estimates. */
type Estimate = number | undefined;

function permissionName(relation: string, estimate: Estimate): string {
  return estimate === undefined ? name(relation) : `${name(relation)} ${estimate}`;
}

function policy({ type_definitions: definitions }: Model, all: readonly Estimate[]): string {
  const types = definitions.flatMap(typesOf).map((type) => `actor ${type} {}`);
  const rules = all.flatMap((estimate) =>
    definitions.flatMap((definition) =>
      relationsOf(definition).flatMap(([relation, rewrite]) => [
        memberOfItself(definition.type, relation, estimate),
        new Relation(definitions, definition, relation).rule(rewrite, estimate),
      ]),
    ),
  );
  return `${[...types, ...rules].join("\n")}\n`;
}

function typesOf(definition: Definition): string[] {
  const { type } = definition;
  const usersets = relationsOf(definition).map(([relation]) => typeOf({ type, relation }));
  return [typeOf({ type }), typeOf({ type, wildcard: {} }), ...usersets];
}

function relationsOf(definition: Definition): [string, Rewrite][] {
  return Object.entries(definition.relations ?? {});
}

/** Whatever the relation is made of, `group:eng#member` is a member of `group:eng`. */
function memberOfItself(type: string, relation: string, estimate: Estimate): string {
  const subject = `subject: ${typeOf({ type, relation })}`;
  const permission = permissionName(relation, estimate);
  return `has_permission(${subject}, "${permission}", object: ${name(type)}) if userset_of(subject, object);`;
}

/** One relation of one type. */
class Relation {
  readonly #definitions: readonly Definition[];
  readonly #definition: Definition;
  readonly #relation: string;
  #variables = 0;

  constructor(definitions: readonly Definition[], definition: Definition, relation: string) {
    this.#definitions = definitions;
    this.#definition = definition;
    this.#relation = relation;
  }

  rule(rewrite: Rewrite, estimate: Estimate): string {
    const permission = permissionName(this.#relation, estimate);
    const head = `has_permission(subject: Actor, "${permission}", object: ${name(this.#definition.type)})`;
    return `${head} if ${this.#condition(rewrite, estimate)};`;
  }

  #condition(rewrite: Rewrite, estimate: Estimate): string {
    const all = (children: readonly Rewrite[]): string[] => children.map((one) => this.#condition(one, estimate));
    if ("this" in rewrite) return anyOf(this.#restrictions(this.#relation).map((one) => this.#direct(one, estimate)));
    if ("computedUserset" in rewrite) return has(rewrite.computedUserset.relation, "object", estimate);
    if ("tupleToUserset" in rewrite) {
      const { tupleset, computedUserset } = rewrite.tupleToUserset;
      return this.#from(computedUserset.relation, tupleset.relation, estimate);
    }
    if ("union" in rewrite) return anyOf(all(rewrite.union.child));
    if ("intersection" in rewrite) return `(${all(rewrite.intersection.child).join(" and ")})`;
    const base = this.#condition(rewrite.difference.base, estimate);
    if (estimate === 0) return base;
    return `(${base} and not ${this.#condition(rewrite.difference.subtract, estimate && estimate - 1)})`;
  }

  /** A tuple names the subject itself, everyone of its type, or a userset that the subject is in. */
  #direct(restriction: Restriction, estimate: Estimate): string {
    const type = typeOf(restriction);
    const itself = `(subject matches ${type} and ${this.#tuple(this.#relation, "subject")})`;
    if (!("relation" in restriction || "wildcard" in restriction)) return itself;
    const user = this.#variable();
    const named = `${user} matches ${type} and ${this.#tuple(this.#relation, user)}`;
    if ("wildcard" in restriction) return `${itself} or (subject matches ${name(restriction.type)} and ${named})`;
    const owner = this.#variable();
    const owned = `${owner} matches ${name(restriction.type)} and userset_of(${user}, ${owner})`;
    return `(${named} and ${owned} and ${has(restriction.relation, owner, estimate)})`;
  }

  /** `relation from tupleset`: types that lack the relation give nothing. */
  #from(relation: string, tupleset: string, estimate: Estimate): string {
    const rewrite = must(this.#definition.relations?.[tupleset], `\`${tupleset}\` is a relation`);
    if (!("this" in rewrite)) throw new Error(`\`${tupleset}\` is more than tuples`);
    const ways = this.#restrictions(tupleset).map((restriction) => {
      if ("relation" in restriction || "wildcard" in restriction) throw new Error(`\`${tupleset}\` leads to no object`);
      if (!this.#hasRelation(restriction.type, relation)) return "false";
      const via = this.#variable();
      const step = `${via} matches ${name(restriction.type)} and ${this.#tuple(tupleset, via)}`;
      return `(${step} and ${has(relation, via, estimate)})`;
    });
    return anyOf(ways);
  }

  #hasRelation(type: string, relation: string): boolean {
    const definition = must(
      this.#definitions.find((one) => one.type === type),
      `\`${type}\` is a type of the model`,
    );
    return relationsOf(definition).some(([known]) => known === relation);
  }

  #restrictions(relation: string): readonly Restriction[] {
    return this.#definition.metadata?.relations?.[relation]?.directly_related_user_types ?? [];
  }

  #tuple(relation: string, user: string): string {
    return `has_relation(object, "${name(relation)}", ${user})`;
  }

  /** Conditions share no variables but the subject and the object. */
  #variable(): string {
    this.#variables += 1;
    return `v${this.#variables}`;
  }
}

function has(relation: string, object: string, estimate: Estimate): string {
  return `has_permission(subject, "${permissionName(relation, estimate)}", ${object})`;
}

function anyOf(conditions: readonly string[]): string {
  return `(${conditions.length === 0 ? "false" : conditions.join(" or ")})`;
}
