/**
 * The ways of a decision as a tree: a place is what is known once some sources were joined, and clauses that begin with
 * the same sources go through the same places. Which source comes first is chosen with that in mind, so that an owner's
 * organizations are looked up once for all that hangs on them.
 */
import { mapConditionTerms, type FlatArgument } from "../ir/flat.ts";
import { must } from "../../util/assert.ts";
import { isClosurePredicate } from "../ir/closure.ts";
import { conditionTerms, type FlatCondition, type FlatTerm } from "../ir/flat.ts";
import { flatArgumentKey, flatConditionKey, listKey, numberKey, relationKey, selectKey, typeKey } from "../ir/key.ts";
import { mapSelectTerms, type Relation, renameRelation, type Select, type SqlCatalogue } from "../ir/select.ts";
import { estimateBy } from "../rewrite/estimate.ts";
import { bindSource, isKnown, joinOrder, bindingName } from "../rewrite/join-order.ts";

export type DecisionTest =
  { readonly kind: "condition"; readonly condition: FlatCondition } | { readonly kind: "none"; readonly body: Select };

export function testKey(test: DecisionTest): string {
  return test.kind === "condition" ? flatConditionKey(test.condition) : selectKey(test.body);
}

/**
 * What is known once `relation` and those before it were joined, what must hold then, and the ways to go on; none where
 * nothing is left to ask.
 */
export interface DecisionNode {
  readonly relation: Relation | undefined;
  tests: DecisionTest[];
  readonly branches: Map<string, DecisionNode>;
}

export function decisionNode(relation?: Relation, tests: DecisionTest[] = []): DecisionNode {
  return { relation, tests, branches: new Map() };
}

/**
 * The place behind a source, made where no clause went there before. Adds to `names` the variables that the source is
 * the first to bind: they get those of the place, or `fresh` numbers.
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

/** The key of a source up to the names of the variables that it is the first to bind. */
function keyOf(relation: Relation, names: ReadonlyMap<number, FlatTerm>): string {
  const fresh = new Map<number, number>();
  return relationKey(relation, (arg) => {
    if (arg.kind !== "var") return flatArgumentKey(arg);
    const known = names.get(arg.id);
    if (known) return flatArgumentKey(known);
    const number = fresh.getOrInsertComputed(arg.id, () => fresh.size);
    return listKey([numberKey(number), typeKey(arg.type)]);
  });
}

/**
 * The tree for clauses whose sources are in join order; the cheapest clauses come first. `units` are sources without
 * columns, which need no join.
 */
export function decisionTree(selects: readonly Select[], units: ReadonlySet<string>): DecisionNode {
  const root = decisionNode();
  let variables = 0;
  const cheapFirst = selects.toSorted((left, right) => costOf(left) - costOf(right));
  for (const select of cheapFirst) insert(root, select, units, () => variables++);
  hoist(root);
  return root;
}

/** Few lookups first; a closure's is the last of its clause and mostly a single one. */
function costOf({ relations }: Select): number {
  return relations.reduce((sum, { computed, table }) => {
    if (computed) return sum + 100;
    return sum + (table.kind === "fact" && isClosurePredicate(table.predicate) ? 0.5 : 1);
  }, 0);
}

/**
 * Walks down the places that the clause shares with those before it, and adds the rest. Variables get numbers of the
 * places that bind them: clauses that come from one may mean different things by the same number.
 */
function insert(root: DecisionNode, select: Select, units: ReadonlySet<string>, fresh: () => number): void {
  const names = new Map<number, FlatTerm>();
  const rename = (term: FlatTerm): FlatTerm => (term.kind === "var" ? must(names.get(term.id)) : term);
  let place = root;
  for (const relation of select.relations) {
    if (relation.table.kind === "tagged" && units.has(relation.table.name)) continue;
    place = childFor(place, relation, names, fresh);
  }
  const known = new Set(names.keys());
  const tests = [
    ...select.conditions.map((one): DecisionTest => ({ kind: "condition", condition: mapConditionTerms(one, rename) })),
    ...select.negations.flat().map((body) => negationTest(body, known, rename)),
  ];
  place.branches.set(listKey(tests.map(testKey)), decisionNode(undefined, tests));
}

/**
 * Moves up what every way on checks, where it needs nothing of the way. A way without checks lets everything behind it
 * pass.
 */
function hoist(place: DecisionNode, above: ReadonlySet<string> = new Set()): void {
  const known = new Set([...above, ...(place.relation?.args ?? []).flatMap((arg) => bindingName(arg) ?? [])]);
  const ways = [...place.branches.values()];
  for (const way of ways) hoist(way, known);
  const [first, ...others] = ways;
  if (!first) return;
  for (const test of first.tests) {
    const key = testKey(test);
    const isShared = others.every((way) => way.tests.some((other) => testKey(other) === key));
    if (!isShared || !needs(test).every((name) => known.has(name))) continue;
    place.tests.push(test);
    for (const way of ways) way.tests = way.tests.filter((other) => testKey(other) !== key);
  }
}

/** The variables, and demanded values, that a test takes from around it. */
function needs(test: DecisionTest): string[] {
  const terms = test.kind === "condition" ? conditionTerms(test.condition) : termsOf(test.body);
  return terms.flatMap((term) => (isOuter(term) ? (bindingName(term) ?? []) : []));
}

function isOuter(term: FlatArgument): boolean {
  return term.kind === "var" ? term.id < firstInner : term.kind === "param" && term.name.startsWith("@");
}

function termsOf(select: Select): FlatArgument[] {
  return [
    ...select.relations.flatMap(({ args }) => args),
    ...select.conditions.flatMap(conditionTerms),
    ...select.negations.flat().flatMap(termsOf),
  ];
}

/** Variables that only a negation has are numbered from here, so that equal negations look equal. */
const firstInner = 1_000_000_000;

function negationTest(body: Select, known: ReadonlySet<number>, rename: (term: FlatTerm) => FlatTerm): DecisionTest {
  const inner = new Map<number, number>();
  return {
    kind: "none",
    body: mapSelectTerms(body, (term) => {
      if (term.kind !== "var" || known.has(term.id)) return rename(term);
      if (!inner.has(term.id)) inner.set(term.id, firstInner + inner.size);
      return { ...term, id: inner.get(term.id) ?? term.id };
    }),
  };
}

/** What takes many sources has the most to share. */
function dearFirst(left: Select, right: Select): number {
  return costOf(right) - costOf(left);
}

/**
 * The clauses with their sources in join order, except that one of few rows which an earlier clause reads at the same
 * place comes before others.
 */
export function orderWithSharedPrefixes(selects: readonly Select[], names: SqlCatalogue): Select[] {
  const root = decisionNode();
  let variables = 0;
  return selects
    .toSorted(dearFirst)
    .map((select) => ({ ...select, relations: shareFrom(root, select, names, () => variables++) }));
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
