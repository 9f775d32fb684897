/**
 * The decision tree of a yes or no: a prefix trie of joins. A path from the root joins the sources of a clause, and
 * clauses that begin with equal sources share nodes. The join order prefers sources that other clauses have at the same
 * node, so that an owner's organizations are looked up once for all clauses about them.
 */
import { must } from "../../util/assert.ts";
import { planning } from "../../util/tuning.ts";
import { isClosurePredicate } from "../ir/closure.ts";
import type { FlatArgument, FlatCondition, FlatTerm } from "../ir/flat.ts";
import { flatArgumentKey, flatConditionKey, listKey, numberKey, relationKey, selectKey, typeKey } from "../ir/key.ts";
import { conditionTerms, mapCondition } from "../ir/program.ts";
import { mapSelectTerms, type Relation, renameRelation, type Select, type SqlCatalogue } from "../ir/select.ts";
import { estimateBy } from "../rewrite/estimate.ts";
import { bindSource, isKnown, joinOrder, bindingName } from "../rewrite/join-order.ts";

export type DecisionTest =
  { readonly kind: "condition"; readonly condition: FlatCondition } | { readonly kind: "none"; readonly body: Select };

function testKey(test: DecisionTest): string {
  return test.kind === "condition" ? flatConditionKey(test.condition) : selectKey(test.body);
}

/** A node joins `relation`, requires all `tests`, and then at least one of `branches`. A leaf has no branches. */
export interface DecisionNode {
  readonly relation: Relation | undefined;
  tests: DecisionTest[];
  readonly branches: Map<string, DecisionNode>;
}

function decisionNode(relation?: Relation, tests: DecisionTest[] = []): DecisionNode {
  return { relation, tests, branches: new Map() };
}

/**
 * The child for a source, created if no clause has it yet. `names` gets the variables that it binds first: those of the
 * child, or with `fresh` numbers.
 */
function childFor(
  node: DecisionNode,
  relation: Relation,
  names: Map<number, FlatTerm>,
  fresh: () => number,
): DecisionNode {
  const key = keyOf(relation, names);
  const known = node.branches.get(key);
  relation.args.forEach((arg, position) => {
    if (arg.kind !== "var" || names.has(arg.id)) return;
    const same = known?.relation?.args[position];
    names.set(arg.id, same?.kind === "var" ? same : { ...arg, id: fresh() });
  });
  if (known) return known;
  const made = decisionNode(
    renameRelation(relation, (term) => (term.kind === "var" ? must(names.get(term.id)) : term)),
  );
  node.branches.set(key, made);
  return made;
}

/** The key of a source up to the names of the variables that it binds first. */
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

/** The tree of clauses with sources in join order, cheapest first. `units` have no columns and need no join. */
export function decisionTree(selects: readonly Select[], units: ReadonlySet<string>): DecisionNode {
  const root = decisionNode();
  let variables = 0;
  for (const select of selects.toSorted((left, right) => costOf(left) - costOf(right)))
    insert(root, select, units, () => variables++);
  hoist(root);
  return root;
}

/** The number of lookups. A closure counts half: usually it is the last source of its clause, and a single lookup. */
function costOf({ relations }: Select): number {
  return relations.reduce((sum, { computed, table }) => {
    if (computed) return sum + 100;
    return sum + (table.kind === "fact" && isClosurePredicate(table.predicate) ? 0.5 : 1);
  }, 0);
}

/**
 * Adds a clause to the tree. Variables get the numbers of the nodes that bind them, because clauses that come from one
 * clause may use the same number for different variables.
 */
function insert(root: DecisionNode, select: Select, units: ReadonlySet<string>, fresh: () => number): void {
  const names = new Map<number, FlatTerm>();
  const rename = (term: FlatTerm): FlatTerm => (term.kind === "var" ? must(names.get(term.id)) : term);
  let node = root;
  for (const relation of select.relations) {
    if (relation.table.kind === "tagged" && units.has(relation.table.name)) continue;
    node = childFor(node, relation, names, fresh);
  }
  const known = new Set(names.keys());
  const tests = [
    ...select.conditions.map((one): DecisionTest => ({ kind: "condition", condition: mapCondition(one, rename) })),
    ...select.negations.flat().map((body) => negationTest(body, known, rename)),
  ];
  node.branches.set(listKey(tests.map(testKey)), decisionNode(undefined, tests));
}

/** Moves a test of all branches to their parent, if its variables are known there: one lookup denies a banned user. */
function hoist(node: DecisionNode, above: ReadonlySet<string> = new Set()): void {
  const known = new Set([...above, ...(node.relation?.args ?? []).flatMap((arg) => bindingName(arg) ?? [])]);
  const branches = [...node.branches.values()];
  for (const branch of branches) hoist(branch, known);
  const [first, ...others] = branches;
  if (!first) return;
  for (const test of first.tests) {
    const key = testKey(test);
    const isShared = others.every((branch) => branch.tests.some((other) => testKey(other) === key));
    if (!isShared || !needs(test).every((name) => known.has(name))) continue;
    node.tests.push(test);
    for (const branch of branches) branch.tests = branch.tests.filter((other) => testKey(other) !== key);
  }
}

/** The names of the outer variables and demanded values that a test uses. */
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

/** The first number for variables of a negation, so that equal negations have equal keys. */
const firstInner = 1_000_000_000;

function negationTest(body: Select, known: ReadonlySet<number>, rename: (term: FlatTerm) => FlatTerm): DecisionTest {
  const inner = new Map<number, number>();
  return {
    kind: "none",
    body: mapSelectTerms(body, (term) => {
      if (term.kind !== "var" || known.has(term.id)) return rename(term);
      return { ...term, id: inner.getOrInsertComputed(term.id, () => firstInner + inner.size) };
    }),
  };
}

/** The clauses in join order. A source with few rows that an earlier clause has at the same node comes first. */
export function orderWithSharedPrefixes(selects: readonly Select[], catalogue: SqlCatalogue): Select[] {
  const root = decisionNode();
  let variables = 0;
  // Expensive clauses come first: they have the most sources to share.
  return selects
    .toSorted((left, right) => costOf(right) - costOf(left))
    .map((select) => ({ ...select, relations: orderFrom(root, select, catalogue, () => variables++) }));
}

function orderFrom(
  root: DecisionNode,
  { relations }: Select,
  catalogue: SqlCatalogue,
  fresh: () => number,
): Relation[] {
  const estimate = estimateBy(catalogue);
  const bound = new Set<string>();
  const isFew = (relation: Relation): boolean => (estimate(relation, bound) ?? Infinity) <= planning.sharedRowsMax;
  const renamed = new Map<number, FlatTerm>();
  const ordered: Relation[] = [];
  let node = root;
  let left: readonly Relation[] = joinOrder(relations, new Set(), estimate);
  while (left.length > 0) {
    const first = must(left[0]);
    // A source whose arguments are all known comes first, also if no other clause shares it.
    const isWhole = first.args.every((arg) => isKnown(arg, bound));
    const shared = isWhole ? undefined : left.find((one) => isFew(one) && node.branches.has(keyOf(one, renamed)));
    const next = shared ?? first;
    ordered.push(next);
    bindSource(next, bound);
    node = childFor(node, next, renamed, fresh);
    const others = left.filter((one) => one !== next);
    left = shared ? joinOrder(others, new Set(bound), estimate) : others;
  }
  return ordered;
}
