/** The roles on an object, asked with the query builder: once for each type of actor. */
import type { Suggestions } from "../facts/completion.ts";
import type { Value } from "../facts/fact-text.ts";
import { call } from "../state/session.ts";
import { holdersIn, type RoleHolder, type RoleRow } from "./role-holders.ts";

interface Metadata {
  readonly metadata: { readonly resources: Readonly<Record<string, { readonly roles: readonly string[] }>> };
}

/** `onRoles` is called before the first query if the type of the object has roles. Without a policy nobody has one. */
export async function queryRoles(value: Value, signal: AbortSignal, onRoles: () => void): Promise<RoleHolder[]> {
  const [{ metadata }, { actors }] = (await Promise.all([
    call("/api/policy_metadata", { signal }),
    call("/api/autocomplete_info", { signal }),
  ])) as [Metadata, Suggestions];
  if ((metadata.resources[value.type]?.roles ?? []).length === 0) return [];
  onRoles();
  const holders: RoleHolder[] = [];
  for (const { value: type } of actors) {
    const body = {
      predicate: ["has_role", ["actor", "role", "object"]],
      calls: [],
      constraints: {
        actor: { type, ids: null },
        role: { type: "String", ids: null },
        object: { type: value.type, ids: [value.id] },
      },
      context_facts: [],
    };
    const answer = await call("/api/evaluate_query", { method: "POST", body, signal });
    holders.push(...holdersIn(type, (answer as { readonly results: readonly RoleRow[] }).results));
  }
  return holders;
}
