/** The `resources` of the policy's metadata: every block, actors too, and always `global`, with sorted names. */
import type { Policy } from "./policy.ts";

export interface ResourceMetadata {
  readonly roles: string[];
  readonly permissions: string[];
  readonly relations: Record<string, string>;
}

export function policyMetadata(policy: Policy): Record<string, ResourceMetadata> {
  const global: [string, ResourceMetadata] = ["global", metadata(policy.global, new Map())];
  const types = [...policy.types].map(([name, type]): [string, ResourceMetadata] => [
    name,
    metadata(type, type.relations),
  ]);
  return Object.fromEntries([...types, global].toSorted(byName));
}

function metadata(names: Policy["global"], relations: ReadonlyMap<string, string>): ResourceMetadata {
  return {
    roles: names.roles.toSorted(),
    permissions: names.permissions.toSorted(),
    relations: Object.fromEntries([...relations].toSorted(byName)),
  };
}

function byName([one]: readonly [string, unknown], [other]: readonly [string, unknown]): number {
  return one < other ? -1 : 1;
}
