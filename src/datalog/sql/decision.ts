/**
 * A yes or no over many clauses as one expression. Clauses that begin with the same sources share them: the folder of a repository is looked up
 * once, and what differs (a role on it, a team's role on it, an owner of its organization) is asked behind it, the cheapest first. What all
 * clauses of a place check without needing more than that place knows is checked there, once: a banned user is denied by one probe.
 */
import { must } from "../../util/assert.ts";
import { isClosurePredicate } from "../ir/closure.ts";
import { conditionTerms, type FlatArgument, type FlatTerm, mapConditionTerms } from "../ir/flat.ts";
import { mapSelectTerms, type Relation, type Select } from "../ir/select.ts";
import { expandConstantLists } from "../rewrite/constant-lists.ts";
import { termKey } from "../rewrite/join-order.ts";
import { mergeReflexiveClosures } from "../rewrite/reflexive-closures.ts";
import {
  childFor,
  decisionNode,
  type DecisionNode,
  type DecisionTest,
  orderWithSharedPrefixes,
} from "./decision-tree.ts";
import { emitCondition, emitRelation, emitSelect, emitTerm, type SqlBindings, type SqlContext } from "./emit.ts";

/** An SQL expression, 1 or 0. The heads of the clauses are not looked at. */
export function emitDecision(selects: readonly Select[], emission: SqlContext): string {
  if (selects.length === 0) return "0";
  const root = decisionNode();
  let variables = 0;
  const ordered = orderWithSharedPrefixes(selects.toSorted(dearFirst), emission.catalogue);
  const cheapFirst = mergeReflexiveClosures(ordered, emission.catalogue)
    .flatMap((select) => expandConstantLists(select, emission.catalogue))
    .sort((left, right) => costOf(left) - costOf(right));
  for (const select of cheapFirst) insert(root, select, emission, () => variables++);
  hoist(root);
  return emitPlace(root, new Map(), emission);
}

/** What takes many sources has the most to share. */
function dearFirst(left: Select, right: Select): number {
  return costOf(right) - costOf(left);
}

/** Few lookups first; a closure's is the last of its clause and mostly a single one. */
function costOf({ relations }: Select): number {
  return relations.reduce((sum, { computed, table }) => {
    if (computed) return sum + 100;
    return sum + (table.kind === "fact" && isClosurePredicate(table.predicate) ? 0.5 : 1);
  }, 0);
}

/**
 * Walks down the places that the clause shares with those before it, and adds the rest. Variables get numbers of the places that bind them:
 * clauses that come from one may mean different things by the same number.
 */
function insert(root: DecisionNode, select: Select, emission: SqlContext, fresh: () => number): void {
  const names = new Map<number, FlatTerm>();
  const rename = (term: FlatTerm): FlatTerm => (term.kind === "var" ? must(names.get(term.id)) : term);
  let place = root;
  for (const relation of select.relations) {
    if (relation.table.kind === "tagged" && emission.units.has(relation.table.name)) continue;
    place = childFor(place, relation, names, fresh);
  }
  const known = new Set(names.keys());
  const tests = [
    ...select.conditions.map((one): DecisionTest => ({ kind: "condition", condition: mapConditionTerms(one, rename) })),
    ...select.negations.flat().map((body) => negationTest(body, known, rename)),
  ];
  place.branches.set(JSON.stringify(tests), decisionNode(undefined, tests));
}

/** Moves up what every way on checks, where it needs nothing of the way. A way without checks lets everything behind it pass. */
function hoist(place: DecisionNode, above: ReadonlySet<string> = new Set()): void {
  const known = new Set([...above, ...(place.relation?.args ?? []).flatMap((arg) => termKey(arg) ?? [])]);
  const ways = [...place.branches.values()];
  for (const way of ways) hoist(way, known);
  const [first, ...others] = ways;
  if (!first) return;
  for (const test of first.tests) {
    const text = JSON.stringify(test);
    const isShared = others.every((way) => way.tests.some((other) => JSON.stringify(other) === text));
    if (!isShared || !needs(test).every((key) => known.has(key))) continue;
    place.tests.push(test);
    for (const way of ways) way.tests = way.tests.filter((other) => JSON.stringify(other) !== text);
  }
}

/** The variables, and demanded values, that a test takes from around it. */
function needs(test: DecisionTest): string[] {
  const terms = test.kind === "condition" ? conditionTerms(test.condition) : termsOf(test.body);
  return terms.flatMap((term) => (isOuter(term) ? (termKey(term) ?? []) : []));
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

/** What has to hold at a place whose source was joined, or needs no join. */
function emitPlace(place: DecisionNode, bindings: SqlBindings, emission: SqlContext): string {
  const tests = emitTests(place, bindings, emission);
  return [...tests, ...emitWays(place, bindings, emission)].join(" AND ") || "1";
}

/** Nothing where some way needs nothing more. */
function emitWays({ branches: next }: DecisionNode, bindings: SqlBindings, emission: SqlContext): string[] {
  const ways = [...next.values()];
  if (ways.length === 0 || ways.some(({ relation, tests }) => !relation && tests.length === 0)) return [];
  const cases = ways.map((way) =>
    way.relation && way.relation.isReflexive !== true
      ? emitExists(way, bindings, emission)
      : emitPlace(way, bindings, emission),
  );
  return [cases.length === 1 ? String(cases[0]) : `(${cases.join(" OR ")})`];
}

/** A row of the place's source for which one of its ways holds. Where there is but one way, both are one join. */
function emitExists(start: DecisionNode, outer: SqlBindings, emission: SqlContext): string {
  const bindings = new Map(outer);
  const from: string[] = [];
  const where: string[] = [];
  let place: DecisionNode | undefined = start;
  let last = start;
  while (place?.relation) {
    if (place.relation.isReflexive !== true) from.push(emitRelation(place.relation, bindings, where, emission));
    where.push(...emitTests(place, bindings, emission));
    last = place;
    const [only, ...others]: DecisionNode[] = [...place.branches.values()];
    place = others.length === 0 ? only : undefined;
  }
  const rest = [...where, ...emitWays(last, bindings, emission)];
  return `EXISTS (SELECT 1 FROM ${from.join(" CROSS JOIN ")}${rest.length > 0 ? ` WHERE ${rest.join(" AND ")}` : ""})`;
}

function emitTests({ relation, tests }: DecisionNode, bindings: SqlBindings, emission: SqlContext): string[] {
  const same = relation?.isReflexive === true ? [emitSameOr(relation, bindings, emission)] : [];
  return [...same, ...tests.map((test) => emitTest(test, bindings, emission))];
}

function emitSameOr(closure: Relation, bindings: SqlBindings, emission: SqlContext): string {
  const where: string[] = [];
  const table = emitRelation(closure, new Map(bindings), where, emission);
  const [from, to] = closure.args.map((arg) => emitTerm(arg as FlatTerm, bindings, emission));
  return `(+${from} = +${to} OR EXISTS (SELECT 1 FROM ${table} WHERE ${where.join(" AND ")}))`;
}

function emitTest(test: DecisionTest, bindings: SqlBindings, emission: SqlContext): string {
  if (test.kind === "condition") return emitCondition(test.condition, bindings, emission);
  return `NOT EXISTS (${emitSelect(test.body, () => "1", emission, bindings)})`;
}
