/**
 * The types for a client of one policy, as tuples of argument types: facts that a body of a rule or a `declare` uses,
 * and heads of rules as queries. A constant restricts its argument, so a client can distinguish `"admin"` from other
 * strings, unless another rule has a variable there. Bodies do not restrict heads further, except for actions that
 * `allow` passes on (`passed-actions.ts`). The default `allow` copies the tuples of `has_permission`.
 */
import { factArgumentsMax, type Policy } from "../../polar/policy.ts";
import { must } from "../../util/assert.ts";
import { type FactUse, factUses } from "../analysis/fact-types.ts";
import type { ArgumentPattern } from "../ir/argument-index.ts";
import { listKey, stringKey } from "../ir/key.ts";
import { type DatalogProgram, headPatterns } from "../ir/program.ts";
import type { Universe } from "../ir/universe.ts";
import { passedCall, passedHeads, withKnownActions } from "./passed-actions.ts";

export interface ClientTypes {
  readonly facts: readonly ClientTuple[];
  readonly queries: readonly ClientTuple[];
}

export interface ClientTuple {
  readonly predicate: string;
  readonly args: readonly ClientArgument[];
}

export interface ClientArgument {
  /** `undefined` for any type. */
  readonly types: readonly string[] | undefined;
  /** `undefined` for any value. */
  readonly ids: readonly string[] | undefined;
}

/**
 * Sorted, without duplicates and without tuples that another one covers. A tuple has one type for each argument, or
 * sets of types if the predicate would have more than `tuplesMax` tuples (rules about any of many resources).
 */
export function clientTypes(
  policy: Policy,
  program: DatalogProgram,
  universe: Universe,
  tuplesMax: number,
): ClientTypes {
  const facts = withKnownActions([...factUses(policy, program, universe)], policy, program);
  return { facts: tuplesOf(facts, tuplesMax), queries: tuplesOf(headUses(program, facts), tuplesMax) };
}

/** Only the facts of `clientTypes`. */
export function clientFacts(
  policy: Policy,
  program: DatalogProgram,
  universe: Universe,
  tuplesMax: number,
): readonly ClientTuple[] {
  return tuplesOf(withKnownActions([...factUses(policy, program, universe)], policy, program), tuplesMax);
}

type Use = Pick<FactUse, "predicate" | "args">;

/** The heads of all rules. */
function headUses(program: DatalogProgram, facts: readonly Use[]): Use[] {
  const written = program.rules.filter((rule) => !rule.implicit);
  const own = written
    .filter((rule) => passedCall(rule) === undefined)
    .map((rule) => ({ predicate: rule.predicate, args: headPatterns(rule) }));
  const sources = [...facts, ...own];
  const passed = written.flatMap((rule) => {
    const call = passedCall(rule);
    return call === undefined ? [] : passedHeads(rule, call, sources);
  });
  const explicit = [...own, ...passed];
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
  const sets = new TypeSets();
  // Clients can only ask for predicates with as many arguments as a fact may have.
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

/** The possible values of one argument. */
interface ArgumentValues {
  readonly set: TypeSet;
  /** Sorted; `undefined` for any value. */
  readonly ids: readonly string[] | undefined;
}
type Row = readonly ArgumentValues[];

/** None if an argument has no possible type. */
function rowOf(args: readonly ArgumentPattern[], sets: TypeSets): Row[] {
  if (args.some(({ types }) => types?.size === 0)) return [];
  return [args.map(({ types, id }) => ({ set: sets.of(types), ids: id === undefined ? undefined : [id] }))];
}

/** One row for each combination of types, if there are at most `tuplesMax`. */
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

/** The rows that no more general row covers. Each row still has at most one value for an argument. */
function uncovered(rows: readonly Row[]): Row[] {
  const known = new Set(rows.map(keyOf));
  const shapes = [...new Map(rows.map((row) => [shapeOf(row).join(""), shapeOf(row)])).values()];
  return rows.filter((row) => {
    const shape = shapeOf(row);
    return !shapes.some((wider) => {
      const isWider = wider.every((generality, position) => generality >= must(shape[position]));
      if (!isWider || wider.join("") === shape.join("")) return false;
      return known.has(keyOf(row.map((position, index) => widen(position, must(wider[index])))));
    });
  });
}

/** How general an argument is: one value, any value of its types, any value. */
type Generality = 0 | 1 | 2;

function shapeOf(row: Row): Generality[] {
  return row.map(({ set, ids }) => (set.types === undefined ? 2 : ids === undefined ? 1 : 0));
}

function widen({ set, ids }: ArgumentValues, generality: Generality): ArgumentValues {
  if (generality === 2) return { set: { types: undefined, key: "" }, ids: undefined };
  return { set, ids: generality === 1 ? undefined : ids };
}

/** Merges rows that differ only in the values of one argument. */
function merge(rows: readonly Row[]): readonly Row[] {
  const positions = rows[0]?.map((_, position) => position) ?? [];
  return positions.reduce<readonly Row[]>((merged, position) => {
    const groups = Map.groupBy(merged, (row) => keyOf(row.with(position, widen(must(row[position]), 1))));
    return [...groups.values()].map((group) => {
      const first = must(group[0]);
      const ids = group.map((row) => must(row[position]).ids);
      const open = ids.some((values) => values === undefined);
      const all = open ? undefined : [...new Set(ids.flatMap((values) => values ?? []))].sort();
      return first.with(position, { set: must(first[position]).set, ids: all });
    });
  }, rows);
}

function distinct(rows: readonly Row[]): Row[] {
  return [...new Map(rows.map((row) => [keyOf(row), row])).values()];
}

function keyOf(row: Row): string {
  return row.map(({ set, ids }) => `${set.key}${ids === undefined ? "" : listKey(ids.map(stringKey))}`).join();
}

/** By predicate, then by the types and values of each argument. Any type and any value come first. */
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

/** Sets of types by content: rules about any resource share a large set, so each is sorted once and has a short key. */
interface TypeSet {
  /** Sorted; `undefined` for any type. */
  readonly types: readonly string[] | undefined;
  /** Equal for equal sets only. */
  readonly key: string;
}

class TypeSets {
  readonly #byIdentity = new Map<ReadonlySet<string>, TypeSet>();
  readonly #byContent = new Map<string, TypeSet>();

  of(types: ReadonlySet<string> | undefined): TypeSet {
    if (types === undefined) return { types: undefined, key: "" };
    return this.#byIdentity.getOrInsertComputed(types, () => this.#intern([...types].sort()));
  }

  /** One set for each type of the set. */
  singles(set: TypeSet): readonly TypeSet[] {
    return set.types?.map((type) => this.#intern([type])) ?? [set];
  }

  #intern(types: readonly string[]): TypeSet {
    const content = listKey(types.map(stringKey));
    return this.#byContent.getOrInsertComputed(content, () => ({ types, key: `#${this.#byContent.size}` }));
  }
}
