/**
 * Reads all facts that mention a value, in pages, whichever argument it is. The facts that an index finds come first: by
 * predicate, number of arguments and argument, each as a range of the primary key or of an index of the policy. Then
 * follow those that only a scan finds, because no rule joins facts by that argument; a page examines a bounded number of
 * rows for them. Each fact is read once, also if it mentions the value several times.
 */
import { createHash } from "node:crypto";
import type { Connection } from "../connection/connection.ts";
import type { Fact, Value } from "./fact.ts";
import { factTables, indexesOf } from "./fact-tables.ts";
import { type FactPageBounds, type FactWalk, FactWalker, rangeOf } from "./fact-walk.ts";
import type { SymbolRange } from "./symbols.ts";

/** Behind which fact a page begins. */
export interface ObjectFactPosition {
  readonly predicate: string;
  readonly arity: number;
  /** From 0; null for the scan of the arguments without an index. */
  readonly argument: number | null;
  /** As `FactPosition.texts`, in the order of the index. */
  readonly texts: readonly string[];
  /** Of the indexes by which the facts are ordered. */
  readonly digest: string;
}

export interface ObjectFactPage {
  readonly facts: readonly Fact[];
  /** Where the next page begins; null after the last one. */
  readonly next: ObjectFactPosition | null;
}

/**
 * The next facts after `after`, or the first ones; undefined if the indexes have changed since the page of `after`. The
 * caller has begun a transaction.
 */
export function readObjectFacts(
  database: Connection,
  value: Value,
  after: ObjectFactPosition | undefined,
  bounds: FactPageBounds,
): ObjectFactPage | undefined {
  const range = rangeOf(database, value);
  if (range === undefined) return { facts: [], next: null };
  const tables = factTables(database).map((table) => ({ ...table, indexes: indexesOf(database, table.table) }));
  const digest = digestOf(tables);
  if (after !== undefined && after.digest !== digest) return undefined;
  const walks = [
    ...tables.flatMap((table) => indexedWalks(table, value, range)),
    ...tables.flatMap((table) => scanOf(table, range)),
  ];
  const walker = new FactWalker(database, bounds);
  try {
    let next = after;
    for (const { argument, ...walk } of walks.slice(after === undefined ? 0 : firstFrom(walks, after))) {
      if (walker.isSpent && next !== undefined) return { facts: walker.facts, next };
      const { predicate, arity } = walk;
      const isBegun = next !== undefined && isAt(next, { predicate, arity, argument });
      const isWhole = walker.walk(walk, isBegun ? next?.texts : undefined);
      const texts = walker.reached;
      if (texts !== undefined) next = { predicate, arity, argument, texts, digest };
      if (!isWhole) return { facts: walker.facts, next: next ?? null };
    }
    return { facts: walker.facts, next: null };
  } finally {
    walker.close();
  }
}

interface IndexedTable {
  readonly table: string;
  readonly predicate: string;
  readonly arity: number;
  readonly indexes: readonly FactIndex[];
}

type FactIndex = ReturnType<typeof indexesOf>[number];

interface ObjectWalk extends FactWalk {
  readonly argument: number | null;
}

type WalkKey = Pick<ObjectFactPosition, "predicate" | "arity" | "argument">;

/** One walk for each argument that leads an index, without the facts of the earlier ones. */
function indexedWalks(table: IndexedTable, { type, id }: Value, range: SymbolRange): ObjectWalk[] {
  const columns = columnsOf(table);
  const leading = columns.filter((column) => isIndexed(table, column));
  return leading.map((argument, position) => {
    // The primary key has the order of the arguments.
    const index = argument === 0 ? undefined : table.indexes.find(({ order }) => order[0] === argument);
    return {
      ...table,
      argument,
      order: index?.order ?? columns,
      index: index?.name ?? null,
      filters: columns.map((column) => (column === argument ? { type, id, range } : null)),
      anyOf: null,
      noneOf: { columns: leading.slice(0, position), range },
    };
  });
}

/** One walk for all arguments without an index, without the facts that an index finds. */
function scanOf(table: IndexedTable, range: SymbolRange): ObjectWalk[] {
  const order = columnsOf(table);
  const [found, scanned] = [true, false].map((indexed) =>
    order.filter((column) => isIndexed(table, column) === indexed),
  );
  if (found === undefined || scanned === undefined || scanned.length === 0) return [];
  const anyOf = { columns: scanned, range };
  return [{ ...table, argument: null, order, index: null, filters: [], anyOf, noneOf: { columns: found, range } }];
}

function columnsOf({ arity }: IndexedTable): number[] {
  return Array.from({ length: arity }, (_, column) => column);
}

function isIndexed({ indexes }: IndexedTable, column: number): boolean {
  return column === 0 || indexes.some(({ order }) => order[0] === column);
}

/** The first walk that is not before a position, nor at its end. */
function firstFrom(walks: readonly ObjectWalk[], after: ObjectFactPosition): number {
  const at = walks.findIndex((walk) => isAt(walk, after));
  // Its table had no facts, and is gone.
  if (at === -1) return walks.length;
  return after.texts.length === 0 ? at + 1 : at;
}

function isAt(walk: WalkKey, { predicate, arity, argument }: WalkKey): boolean {
  return walk.predicate === predicate && walk.arity === arity && walk.argument === argument;
}

/** The tables and indexes by name and arity: their numbers differ between nodes. */
function digestOf(tables: readonly IndexedTable[]): string {
  const parts = tables
    .filter(({ indexes }) => indexes.length > 0)
    .map(({ predicate, arity, indexes }) => [predicate, arity, indexes.map(({ order }) => order)]);
  return createHash("sha256").update(JSON.stringify(parts)).digest("base64url").slice(0, 16);
}
