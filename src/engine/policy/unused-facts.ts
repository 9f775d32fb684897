/**
 * Facts that a new policy leaves without a use: the policy before looked at facts of their types, the new one does not. They stay, are ignored,
 * and count again as soon as a policy uses them. Whoever changes a policy should hear of it.
 */
import { isCovered } from "../../datalog/analysis/fact-types.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { countByTypes } from "../../store/facts/fact-tables.ts";
import { formatFactType } from "./fact-schema.ts";
import type { ActivePolicy } from "./active-policy.ts";
import { splitKey } from "../../datalog/ir/program.ts";

export interface UnusedFacts {
  /** `has_role(User, String, Repository)` */
  readonly signature: string;
  readonly count: number;
}

/** By type, sorted; empty where nothing is left behind. Reads all facts of the predicates in question, and only those. */
export function findUnusedFacts(
  database: Connection,
  before: ActivePolicy | undefined,
  after: ActivePolicy,
): readonly UnusedFacts[] {
  if (!before) return [];
  const accepts = ({ factTypes }: ActivePolicy, predicate: string, types: readonly (string | undefined)[]): boolean =>
    isCovered(factTypes, predicate, types);
  const given = before.factTypes.filter(({ predicate, types }) => !accepts(after, predicate, types));
  return [...new Set(given.map(({ predicate }) => predicate))]
    .flatMap((predicate) =>
      countByTypes(database, ...splitKey(predicate))
        .filter(({ types }) => accepts(before, predicate, types) && !accepts(after, predicate, types))
        .map(({ types, count }) => ({ signature: formatFactType({ predicate, types }), count })),
    )
    .toSorted((one, other) => (one.signature < other.signature ? -1 : 1));
}

/** As a sentence for whoever loads the policy. */
export function describeUnusedFacts(orphans: readonly UnusedFacts[]): string {
  const list = orphans.map(({ signature, count }) => `${count} \`${signature}\``).join(", ");
  return `the policy no longer uses stored facts: ${list}; they stay, and are ignored until a policy uses them again`;
}
