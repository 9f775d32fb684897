/**
 * Merges a clause about a value with the same clause about the values that a closure leads to: one scan of an actor's
 * roles, if these are few, finds a role on a folder or on one above it.
 */
import { planning } from "../../util/tuning.ts";
import { isClosurePredicate } from "../ir/closure.ts";
import { flatArgumentKey, relationKey, selectKey, typeKey } from "../ir/key.ts";
import { mapSelectTerms, type Relation, type Select, type SqlCatalogue } from "../ir/select.ts";
import { estimateBy } from "./estimate.ts";
import { bindSource } from "./join-order.ts";

/**
 * The clauses of a yes or no, without those that another one contains once its closure is reflexive. Their sources must
 * be in join order.
 */
export function mergeReflexiveClosures(selects: readonly Select[], catalogue: SqlCatalogue): Select[] {
  const clauses = new Map(selects.map((select) => [keyOf(select), select]));
  // The keys of clauses that are already merged, and so contain more than their keys say.
  const widened = new Set<string>();
  for (const [key, select] of clauses) {
    const found = reflexive(select, catalogue).find(
      ({ contained }) => contained !== key && clauses.has(contained) && !widened.has(contained),
    );
    if (!found) continue;
    clauses.delete(found.contained);
    clauses.set(key, found.select);
    widened.add(key);
  }
  return [...clauses.values()];
}

interface Reflexive {
  readonly select: Select;
  /** The key of the clause that the reflexive closure adds. */
  readonly contained: string;
}

/** The clause with one closure reflexive, for each of its closures that is looked up for a few values. */
function reflexive(select: Select, catalogue: SqlCatalogue): Reflexive[] {
  const estimate = estimateBy(catalogue);
  const { relations } = select;
  const bound = new Set<string>();
  const few = new Set<string>();
  return relations.flatMap((relation, position): Reflexive[] => {
    const { table, args } = relation;
    const open = args.flatMap((arg) => (arg.kind === "var" && !bound.has(`v${arg.id}`) ? [`v${arg.id}`] : []));
    if ((estimate(relation, bound) ?? Infinity) <= planning.scannedRowsMax)
      for (const variable of open) few.add(variable);
    bindSource(relation, bound);
    if (table.kind !== "fact" || !isClosurePredicate(table.predicate) || open.length > 0) return [];
    const [from, to] = args;
    const [inner, other] = to?.kind === "var" && few.has(`v${to.id}`) ? [to, from] : [from, to];
    if (inner?.kind !== "var" || !few.has(`v${inner.id}`)) return [];
    if ((other?.kind !== "var" && other?.kind !== "param") || other.type !== inner.type) return [];
    const rest = { ...select, relations: relations.toSpliced(position, 1) };
    const contained = keyOf(
      mapSelectTerms(rest, (term) => (term.kind === "var" && term.id === inner.id ? other : term)),
    );
    return [
      { contained, select: { ...select, relations: relations.with(position, { ...relation, isReflexive: true }) } },
    ];
  });
}

/** Equal for clauses that differ only in the names of their variables and, mostly, in the order of their sources. */
function keyOf({ relations, conditions, negations }: Select): string {
  const withoutNames = (relation: Relation): string =>
    relationKey(relation, (arg) => (arg.kind === "var" ? typeKey(arg.type) : flatArgumentKey(arg)));
  const sorted = relations
    .map((relation) => ({ relation, key: withoutNames(relation) }))
    .toSorted((left, right) => (left.key < right.key ? -1 : Number(left.key > right.key)));
  const numbers = new Map<number, number>();
  return selectKey({ head: [], relations: sorted.map(({ relation }) => relation), conditions, negations }, (arg) =>
    flatArgumentKey(arg.kind === "var" ? { ...arg, id: numbers.getOrInsertComputed(arg.id, () => numbers.size) } : arg),
  );
}
