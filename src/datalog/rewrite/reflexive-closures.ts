/**
 * What holds of a value, and what holds of those that a closure leads to from it, as one clause: a role on the folder
 * or on one above it is found by one look at all that somebody has, where that is little.
 */
import { isClosurePredicate } from "../ir/closure.ts";
import { flatArgumentKey, relationKey, selectKey, typeKey } from "../ir/key.ts";
import { mapSelectTerms, type Relation, type Select, type SqlCatalogue } from "../ir/select.ts";
import { estimateBy } from "./estimate.ts";
import { bindSource } from "./join-order.ts";

/** To look at so many rows for the one that is looked for takes no longer than to look for that one alone. */
const fewRows = 32;

/**
 * The clauses of a yes or no, their sources in join order, without those that another contains once a closure in it
 * also leads from a value to itself.
 */
export function mergeReflexiveClosures(selects: readonly Select[], names: SqlCatalogue): Select[] {
  const clauses = new Map(selects.map((select) => [keyOf(select), select]));
  // Those that hold more than their keys say.
  const widened = new Set<string>();
  for (const [key, select] of clauses) {
    const found = reflexive(select, names).find(
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
  /** The key of what this has besides. */
  readonly contained: string;
}

/** The clause with one of its closures reflexive, for each that is looked up once for each of a few values. */
function reflexive(select: Select, names: SqlCatalogue): Reflexive[] {
  const estimate = estimateBy(names);
  const { relations } = select;
  const bound = new Set<string>();
  const few = new Set<string>();
  return relations.flatMap((relation, place): Reflexive[] => {
    const { table, args } = relation;
    const open = args.flatMap((arg) => (arg.kind === "var" && !bound.has(`v${arg.id}`) ? [`v${arg.id}`] : []));
    if ((estimate(relation, bound) ?? Infinity) <= fewRows) for (const variable of open) few.add(variable);
    bindSource(relation, bound);
    if (table.kind !== "fact" || !isClosurePredicate(table.predicate) || open.length > 0) return [];
    const [from, to] = args;
    const [inner, other] = to?.kind === "var" && few.has(`v${to.id}`) ? [to, from] : [from, to];
    if (inner?.kind !== "var" || !few.has(`v${inner.id}`)) return [];
    if ((other?.kind !== "var" && other?.kind !== "param") || other.type !== inner.type) return [];
    const rest = { ...select, relations: relations.toSpliced(place, 1) };
    const contained = keyOf(
      mapSelectTerms(rest, (term) => (term.kind === "var" && term.id === inner.id ? other : term)),
    );
    return [{ contained, select: { ...select, relations: relations.with(place, { ...relation, isReflexive: true }) } }];
  });
}

/**
 * Equal for clauses that differ only in the names of their variables and, in most cases, in the order of their sources.
 */
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
