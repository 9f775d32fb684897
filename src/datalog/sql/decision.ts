/**
 * A yes or no over many clauses as one expression. Clauses that begin with the same sources share them: the folder of a
 * repository is looked up once, and what differs (a role on it, a team's role on it, an owner of its organization) is
 * asked behind it, the cheapest first. What all clauses of a place check without needing more than that place knows is
 * checked there, once: a banned user is denied by one probe.
 */
import type { FlatTerm } from "../ir/flat.ts";
import type { Relation } from "../ir/select.ts";
import type { DecisionNode, DecisionTest } from "./decision-tree.ts";
import { emitCondition, emitRelation, emitSelect, emitTerm, type SqlBindings, type SqlContext } from "./emit.ts";

/** The tree as an SQL expression, 1 or 0. */
export function emitDecision(root: DecisionNode, emission: SqlContext): string {
  return emitPlace(root, new Map(), emission);
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
