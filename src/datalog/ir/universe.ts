/** The type hierarchy of a policy. The number of types is finite, so specialisation by types ends. */
import type { Policy } from "../../polar/policy.ts";

export interface Universe {
  /**
   * The concrete types of a type name: the type and its subtypes; for `Actor` all actors, for `Resource` all actors and
   * resources.
   */
  concrete(type: string): ReadonlySet<string>;
}

export function createUniverse(policy: Policy): Universe {
  const below = new Map<string, Set<string>>();
  const add = (type: string, concrete: string): void => {
    const known = below.get(type);
    if (known) known.add(concrete);
    else below.set(type, new Set([concrete]));
  };
  for (const declaration of policy.types.values()) {
    for (const type of withSupertypes(policy, declaration.name)) add(type, declaration.name);
    if (declaration.kind === "actor") add("Actor", declaration.name);
    add("Resource", declaration.name);
  }
  const none: ReadonlySet<string> = new Set();
  return {
    concrete: (type) => below.get(type) ?? (type === "Actor" || type === "Resource" ? none : new Set([type])),
  };
}

function withSupertypes(policy: Policy, type: string): Set<string> {
  const found = new Set<string>();
  const visit = (name: string): void => {
    if (found.has(name)) return;
    found.add(name);
    for (const supertype of policy.types.get(name)?.supertypes ?? []) visit(supertype);
  };
  visit(type);
  return found;
}
