/**
 * What a client that was made for one policy may store and ask, as tuples of argument types: the facts that some rule
 * body or `declare` takes (polar.md 6.4), and the heads of rules as queries. A value that the policy writes out narrows
 * its type, so `"admin"` and `"member"` are told from any String; where a variable stands in the same place, every
 * value will do.
 *
 * Bodies do not narrow a head's variables further: whatever a call in a body types as open, it makes storable as open.
 * Only the default `allow` rules are no use of `has_permission`, so what holds for that is copied.
 */
import { factArgumentsMax, type Policy } from "../../polar/policy.ts";
import { must } from "../../util/assert.ts";
import { type FactUse, factUses } from "../analysis/fact-types.ts";
import type { ArgumentPattern } from "../ir/argument-index.ts";
import { listKey, stringKey } from "../ir/key.ts";
import { argumentPattern, type DatalogProgram } from "../ir/program.ts";
import type { Universe } from "../ir/universe.ts";

export interface ClientTypes {
  readonly facts: readonly ClientTuple[];
  readonly queries: readonly ClientTuple[];
}

export interface ClientTuple {
  readonly predicate: string;
  readonly args: readonly ClientArgument[];
}

export interface ClientArgument {
  /** Any type where it is `undefined`. */
  readonly types: readonly string[] | undefined;
  /** Any value where it is `undefined`. */
  readonly ids: readonly string[] | undefined;
}

/**
 * Sorted, without duplicates and without tuples that another one covers. One tuple has one type in each place; a
 * predicate that would have more than `tuplesMax` of them (rules about any Resource, of many) keeps the sets of types
 * instead.
 */
export function clientTypes(
  policy: Policy,
  program: DatalogProgram,
  universe: Universe,
  tuplesMax: number,
): ClientTypes {
  const facts = [...factUses(policy, program, universe)];
  return { facts: tuplesOf(facts, tuplesMax), queries: tuplesOf(headUses(program, facts), tuplesMax) };
}

type Use = Pick<FactUse, "predicate" | "args">;

/** The heads of all rules. */
function headUses(program: DatalogProgram, facts: readonly Use[]): Use[] {
  const explicit = program.rules
    .filter((rule) => !rule.implicit)
    .map((rule) => ({ predicate: rule.predicate, args: rule.head.map((term) => argumentPattern(term, rule.types)) }));
  const implicit = program.rules
    .filter((rule) => rule.implicit)
    .flatMap(({ predicate, body }) => {
      const copied = must(body.find((literal) => literal.kind === "call"));
      return [...facts, ...explicit]
        .filter((use) => use.predicate === copied.predicate)
        .map(({ args }) => ({ predicate, args }));
    });
  return [...explicit, ...implicit];
}

function tuplesOf(uses: readonly Use[], tuplesMax: number): ClientTuple[] {
  const sets = createTypeSets();
  // Questions have as many arguments as facts; other predicates are the policy's own business.
  const byPredicate = Map.groupBy(
    uses.filter(({ args }) => args.length >= 1 && args.length <= factArgumentsMax),
    (use) => use.predicate,
  );
  return [...byPredicate]
    .flatMap(([key, group]) => {
      const rows = spread(distinct(group.flatMap(({ args }) => rowOf(args, sets))), tuplesMax, sets);
      const predicate = key.slice(0, key.lastIndexOf("/"));
      return merge(uncovered(rows)).map((args) => ({
        predicate,
        args: args.map(({ set, ids }) => ({ types: set.types, ids })),
      }));
    })
    .toSorted(compareTuples);
}

interface Place {
  readonly set: TypeSet;
  /** Sorted; `undefined` for any value. */
  readonly ids: readonly string[] | undefined;
}
type Row = readonly Place[];

/** No row where an argument can have no type at all. */
function rowOf(args: readonly ArgumentPattern[], sets: TypeSets): Row[] {
  if (args.some(({ types }) => types?.size === 0)) return [];
  return [args.map(({ types, id }) => ({ set: sets.of(types), ids: id === undefined ? undefined : [id] }))];
}

/** One row for each combination of types, as long as these are few enough. */
function spread(rows: readonly Row[], tuplesMax: number, sets: TypeSets): readonly Row[] {
  const sizeOf = (row: Row): number => row.reduce((size, { set }) => size * (set.types?.length ?? 1), 1);
  if (rows.reduce((sum, row) => sum + sizeOf(row), 0) > tuplesMax) return rows;
  const single = rows.flatMap((row) =>
    row.reduce<Row[]>(
      (begun, { set, ids }) => begun.flatMap((first) => sets.singles(set).map((one) => [...first, { set: one, ids }])),
      [[]],
    ),
  );
  return distinct(single);
}

/**
 * Without the rows that another one covers by being open where they are not. Each row still has at most one value in a
 * place.
 */
function uncovered(rows: readonly Row[]): Row[] {
  const known = new Set(rows.map(keyOf));
  const shapes = [...new Map(rows.map((row) => [shapeOf(row).join(""), shapeOf(row)])).values()];
  return rows.filter((row) => {
    const shape = shapeOf(row);
    return !shapes.some((wider) => {
      const isWider = wider.every((openness, place) => openness >= must(shape[place]));
      if (!isWider || wider.join("") === shape.join("")) return false;
      return known.has(keyOf(row.map((place, index) => widen(place, must(wider[index])))));
    });
  });
}

/** How open a place is: one value, any value of its types, anything. */
type Openness = 0 | 1 | 2;

function shapeOf(row: Row): Openness[] {
  return row.map(({ set, ids }) => (set.types === undefined ? 2 : ids === undefined ? 1 : 0));
}

function widen({ set, ids }: Place, openness: Openness): Place {
  if (openness === 2) return { set: { types: undefined, key: "" }, ids: undefined };
  return { set, ids: openness === 1 ? undefined : ids };
}

/** Rows that differ in the values of one place alone become one row with all these values. */
function merge(rows: readonly Row[]): readonly Row[] {
  const places = rows[0]?.map((_, place) => place) ?? [];
  return places.reduce<readonly Row[]>((merged, place) => {
    const groups = Map.groupBy(merged, (row) => keyOf(row.with(place, widen(must(row[place]), 1))));
    return [...groups.values()].map((group) => {
      const first = must(group[0]);
      const ids = group.map((row) => must(row[place]).ids);
      const open = ids.some((values) => values === undefined);
      const all = open ? undefined : [...new Set(ids.flatMap((values) => values ?? []))].sort();
      return first.with(place, { set: must(first[place]).set, ids: all });
    });
  }, rows);
}

function distinct(rows: readonly Row[]): Row[] {
  return [...new Map(rows.map((row) => [keyOf(row), row])).values()];
}

function keyOf(row: Row): string {
  return row.map(({ set, ids }) => `${set.key}${ids === undefined ? "" : listKey(ids.map(stringKey))}`).join();
}

/** By predicate, then place by place: by types, then by values; what is open comes first. */
function compareTuples(one: ClientTuple, other: ClientTuple): number {
  if (one.predicate !== other.predicate) return one.predicate < other.predicate ? -1 : 1;
  for (const [index, left] of one.args.entries()) {
    const right = other.args[index];
    if (right === undefined) return 1;
    const order = compareLists(left.types, right.types) || compareLists(left.ids, right.ids);
    if (order !== 0) return order;
  }
  return one.args.length - other.args.length;
}

function compareLists(one: readonly string[] | undefined, other: readonly string[] | undefined): number {
  if (one === undefined || other === undefined) return Number(one !== undefined) - Number(other !== undefined);
  for (const [index, left] of one.entries()) {
    const right = other[index];
    if (right === undefined) return 1;
    if (left !== right) return left < right ? -1 : 1;
  }
  return one.length - other.length;
}

export interface TypeSet {
  /** Sorted; `undefined` for any type. */
  readonly types: readonly string[] | undefined;
  /** The same for equal sets, and for no other. */
  readonly key: string;
}

export interface TypeSets {
  of(types: ReadonlySet<string> | undefined): TypeSet;
  /** The set, one type at a time. */
  singles(set: TypeSet): readonly TypeSet[];
}

export function createTypeSets(): TypeSets {
  const any: TypeSet = { types: undefined, key: "" };
  const byIdentity = new Map<ReadonlySet<string>, TypeSet>();
  const byContent = new Map<string, TypeSet>();
  const intern = (types: readonly string[]): TypeSet => {
    const content = listKey(types.map(stringKey));
    const known = byContent.get(content) ?? { types, key: `#${byContent.size}` };
    byContent.set(content, known);
    return known;
  };
  return {
    of(types) {
      if (types === undefined) return any;
      const known = byIdentity.get(types) ?? intern([...types].sort());
      byIdentity.set(types, known);
      return known;
    },
    singles: (set) => set.types?.map((type) => intern([type])) ?? [set],
  };
}
