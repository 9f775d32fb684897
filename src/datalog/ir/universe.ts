/** The type hierarchy of a policy. The number of types is finite, so specialisation by types ends. */
import type { Policy } from "../../polar/policy.ts";

export interface Universe {
  /** The type and its subtypes; for `Actor` all actors, for `Resource` all actors and resources. */
  concrete(type: string): ReadonlySet<string>;
}

export function createUniverse(policy: Policy): Universe {
  const below = new Map([
    ["Actor", new Set<string>()],
    ["Resource", new Set<string>()],
  ]);
  for (const { name, kind } of policy.types.values()) {
    const above = new Set([name, "Resource", ...(kind === "actor" ? ["Actor"] : [])]);
    for (const type of above) for (const supertype of policy.types.get(type)?.supertypes ?? []) above.add(supertype);
    for (const type of above) below.getOrInsertComputed(type, () => new Set()).add(name);
  }
  return { concrete: (type) => below.get(type) ?? new Set([type]) };
}
