/**
 * Unused facts: stored facts whose types the previous policy used and a new policy does not use. They stay in the
 * store, are ignored, and count again as soon as a policy uses them. The warning tells the person who changes the
 * policy.
 */
import { isCovered } from "../../datalog/analysis/fact-types.ts";
import { splitKey } from "../../datalog/ir/program.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { countByTypes } from "../../store/facts/fact-tables.ts";
import type { ActivePolicy } from "./active-policy.ts";
import { formatFactType } from "./fact-schema.ts";

export interface UnusedFacts {
  /** `has_role(User, String, Repository)` */
  readonly signature: string;
  readonly count: number;
}

/** The unused facts by type, sorted. Reads all facts of the predicates in question, and only those. */
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

/** One sentence for the person who loads the policy. */
export function describeUnusedFacts(unused: readonly UnusedFacts[]): string {
  const list = unused.map(({ signature, count }) => `${count} \`${signature}\``).join(", ");
  return `the policy no longer uses stored facts: ${list}; they stay, and are ignored until a policy uses them again`;
}
