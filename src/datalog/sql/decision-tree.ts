/**
 * The ways of a decision as a tree: a place is what is known once some sources were joined, and clauses that begin with the same sources go
 * through the same places. Which source comes first is chosen with that in mind, so that an owner's organizations are looked up once for all that
 * hangs on them.
 */
import { must } from "../../util/assert.ts";
import type { FlatArgument, FlatCondition, FlatTerm } from "../ir/flat.ts";
import { type Relation, renameRelation, type Select, type SqlCatalogue } from "../ir/select.ts";
import { estimateBy } from "../rewrite/estimate.ts";
import { bindSource, isKnown, joinOrder } from "../rewrite/join-order.ts";

export type DecisionTest =
  { readonly kind: "condition"; readonly condition: FlatCondition } | { readonly kind: "none"; readonly body: Select };

/** What is known once `relation` and those before it were joined, what must hold then, and the ways to go on; none where nothing is left to ask. */
export interface DecisionNode {
  readonly relation: Relation | undefined;
  tests: DecisionTest[];
  readonly branches: Map<string, DecisionNode>;
}

export function decisionNode(relation?: Relation, tests: DecisionTest[] = []): DecisionNode {
  return { relation, tests, branches: new Map() };
}

/**
 * The place behind a source, made where no clause went there before. Adds to `names` the variables that the source is the first to bind: they get
 * those of the place, or `fresh` numbers.
 */
export function childFor(
  place: DecisionNode,
  relation: Relation,
  names: Map<number, FlatTerm>,
  fresh: () => number,
): DecisionNode {
  const key = keyOf(relation, names);
  const known = place.branches.get(key);
  relation.args.forEach((arg, position) => {
    if (arg.kind !== "var" || names.has(arg.id)) return;
    const same = known?.relation?.args[position];
    names.set(arg.id, same?.kind === "var" ? same : { ...arg, id: fresh() });
  });
  if (known) return known;
  const made = decisionNode(
    renameRelation(relation, (term) => (term.kind === "var" ? must(names.get(term.id)) : term)),
  );
  place.branches.set(key, made);
  return made;
}

/** A source up to the names of the variables that it is the first to bind. */
function keyOf({ table, args, isReflexive: orSame }: Relation, names: ReadonlyMap<number, FlatTerm>): string {
  const fresh = new Map<number, number>();
  const describe = (arg: FlatArgument): unknown => {
    if (arg.kind !== "var") return arg;
    const known = names.get(arg.id);
    if (known) return known;
    if (!fresh.has(arg.id)) fresh.set(arg.id, fresh.size);
    return ["new", fresh.get(arg.id), arg.type ?? null];
  };
  return JSON.stringify([table, args.map(describe), orSame]);
}

/** The clauses with their sources in join order, except that one of few rows which an earlier clause reads at the same place comes before others. */
export function orderWithSharedPrefixes(selects: readonly Select[], names: SqlCatalogue): Select[] {
  const root = decisionNode();
  let variables = 0;
  return selects.map((select) => ({ ...select, relations: shareFrom(root, select, names, () => variables++) }));
}

function shareFrom(root: DecisionNode, { relations }: Select, names: SqlCatalogue, fresh: () => number): Relation[] {
  const estimate = estimateBy(names);
  const bound = new Set<string>();
  const isFew = (relation: Relation): boolean => (estimate(relation, bound) ?? Infinity) <= sharedRowsMax;
  const renamed = new Map<number, FlatTerm>();
  const ordered: Relation[] = [];
  let place = root;
  let left: readonly Relation[] = joinOrder(relations, new Set(), estimate);
  while (left.length > 0) {
    const first = must(left[0]);
    // One that only has to be looked up comes first, whoever shares it.
    const isWhole = first.args.every((arg) => isKnown(arg, bound));
    const shared = isWhole ? undefined : left.find((one) => isFew(one) && place.branches.has(keyOf(one, renamed)));
    const next = shared ?? first;
    ordered.push(next);
    bindSource(next, bound);
    place = childFor(place, next, renamed, fresh);
    const others = left.filter((one) => one !== next);
    left = shared ? joinOrder(others, new Set(bound), estimate) : others;
  }
  return ordered;
}

/** To look something up for each of so many takes no longer than what is spared. */
const sharedRowsMax = 4;
