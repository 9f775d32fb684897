/**
 * Head facts: stored facts whose argument types only heads of rules have, such as `has_permission(User, String, Org)`
 * under a policy that derives permissions from roles. Most stores have none, so that plans read such facts only if the
 * statistics say that there are some. A fact of another type changes the statistics in its own transaction, and then
 * questions are planned again.
 */
import { factHeads, type FactType, headFactType, isCovered } from "../../datalog/analysis/fact-types.ts";
import { splitKey } from "../../datalog/ir/program.ts";
import type { Signatures } from "../../datalog/ir/signature.ts";
import { contextSignatures } from "../../datalog/pipeline.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { countByTypes, relationId, tableOf } from "../../store/facts/fact-tables.ts";
import { typeName } from "../../store/facts/symbols.ts";
import type { TableStatistics } from "../../store/statistics/table-statistics.ts";
import { factTypeKey } from "../request/keys.ts";
import { acceptedPolicyLimits, type ActivePolicy } from "./active-policy.ts";

/** What answers under a policy read from one state of the store. */
export interface ReadFactTypes {
  readonly active: ActivePolicy;
  /** The fact types of the policy, and those of head facts that are stored. */
  readonly factTypes: readonly FactType[];
  /** The argument types with which each predicate can hold then, without context facts. */
  readonly signatures: Signatures;
  /** Equal for equal head facts: plans of one policy stay valid while this stays the same. */
  readonly key: string;
}

/** Whether answers under the policy read stored facts with these argument types. `predicate` is a key. */
export function isRead({ program, factTypes }: ActivePolicy, predicate: string, types: FactType["types"]): boolean {
  return isCovered(factTypes, predicate, types) || headFactType(program, predicate, types) !== undefined;
}

export function readFactTypes(database: Connection, active: ActivePolicy, statistics: TableStatistics): ReadFactTypes {
  const found = new Map<string, FactType>();
  for (const predicate of active.program.heads.keys()) {
    for (const type of headFactTypes(database, active, statistics, predicate)) found.set(factTypeKey(type), type);
  }
  if (found.size === 0) return { active, factTypes: active.factTypes, signatures: active.signatures, key: "" };
  const heads = [...found].sort(([left], [right]) => (left < right ? -1 : 1));
  const types = heads.map(([, type]) => type);
  return {
    active,
    factTypes: [...active.factTypes, ...types],
    signatures: contextSignatures(active, types, acceptedPolicyLimits.policyTypingsMax),
    key: heads.map(([key]) => key).join(" "),
  };
}

/** The types of the stored head facts of a predicate, and perhaps some whose facts were all deleted. */
function headFactTypes(
  database: Connection,
  { program, factTypes }: ActivePolicy,
  statistics: TableStatistics,
  predicate: string,
): readonly FactType[] {
  const [name, arity] = splitKey(predicate);
  const relation = relationId(database, name, arity);
  if (relation === undefined) return [];
  const table = tableOf(relation);
  // Of a table with one column the statistics only say how many rows it has.
  if (arity === 1) {
    const heads = statistics.rows(table) > 0 ? factHeads(program, predicate, [undefined]) : [];
    return heads.flatMap(([arg]) => [...(arg?.types ?? [undefined])].map((type) => ({ predicate, types: [type] })));
  }
  const combinations =
    statistics.typesOfRows(table, arity)?.map((ids) => ids.map((id) => typeName(database, id))) ??
    countByTypes(database, name, arity).map(({ types }) => types);
  return combinations.flatMap((types) =>
    isCovered(factTypes, predicate, types) ? [] : (headFactType(program, predicate, types) ?? []),
  );
}
