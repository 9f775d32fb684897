/**
 * Head facts: stored facts whose argument types only heads of rules have, such as `has_permission(User, String, Org)`
 * under a policy that derives permissions from roles. Most stores have none, so that plans read such facts only if the
 * statistics say that there are some. A fact of another type changes the statistics in its own transaction, and then
 * questions are planned again.
 */
import { factHeads, type FactType, headFactType, isCovered } from "../datalog/analysis/fact-types.ts";
import { predicateKey } from "../datalog/ir/program.ts";
import type { Signatures } from "../datalog/ir/signature.ts";
import { contextSignatures } from "../datalog/pipeline.ts";
import type { Connection } from "../store/connection/connection.ts";
import { countByTypes, tableOf } from "../store/facts/fact-tables.ts";
import { typeName } from "../store/facts/symbols.ts";
import type { TableStatistics } from "../store/statistics/table-statistics.ts";
import { factTypeKey } from "./keys.ts";
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
  const names = new Map<number, string>();
  const nameOf = (id: number): string => names.getOrInsertComputed(id, () => typeName(database, id));
  for (const row of database.statement("SELECT id, predicate, arity FROM relation").values()) {
    const [id, name, arity] = [Number(row[0]), String(row[1]), Number(row[2])];
    const predicate = predicateKey(name, arity);
    if (!active.program.heads.has(predicate)) continue;
    const types =
      arity === 1
        ? unaryTypes(active, predicate, statistics.rows(tableOf(id)))
        : (statistics.typesOfRows(tableOf(id), arity)?.map((ids) => ids.map(nameOf)) ??
          countByTypes(database, name, arity).map((counted) => counted.types));
    for (const each of types) {
      const type = isCovered(active.factTypes, predicate, each)
        ? undefined
        : headFactType(active.program, predicate, each);
      if (type) found.set(factTypeKey(type), type);
    }
  }
  if (found.size === 0) return { active, factTypes: active.factTypes, signatures: active.signatures, key: "" };
  const heads = [...found].sort(([left], [right]) => (left < right ? -1 : 1));
  const key = heads.map(([name]) => name).join(" ");
  const known = lastWithHeads.get(active);
  if (known?.key === key) return known;
  const types = heads.map(([, type]) => type);
  const factTypes = [...active.factTypes, ...types];
  const signatures = contextSignatures(active, types, acceptedPolicyLimits.policyTypingsMax);
  const current = { active, factTypes, signatures, key };
  lastWithHeads.set(active, current);
  return current;
}

/** Each change of the statistics asks again, and a large policy takes long to infer signatures. */
const lastWithHeads = new WeakMap<ActivePolicy, ReadFactTypes>();

/** The types that heads give the only argument. Of a table with one column the statistics only say if it has rows. */
function unaryTypes({ program }: ActivePolicy, predicate: string, rows: number): FactType["types"][] {
  const heads = rows > 0 ? factHeads(program, predicate, [undefined]) : [];
  return heads.flatMap(([arg]) => [...(arg?.types ?? [undefined])].map((type) => [type]));
}
