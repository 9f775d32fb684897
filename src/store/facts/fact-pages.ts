/**
 * Reads facts in pages, in an order that only the facts decide: by predicate, number of arguments, and then the type and
 * id of each argument. So a page can be continued on every node.
 */
import type { SqlValue } from "../../runtime/sqlite.ts";
import type { Connection } from "../connection/connection.ts";
import type { Fact } from "./fact.ts";
import { tableOf } from "./fact-tables.ts";
import { type FactPageBounds, FactWalker, type FoundFilter, rangeOf, type ValueFilter } from "./fact-walk.ts";
import type { SymbolRange } from "./symbols.ts";

export interface FactFilter {
  /** Null for all predicates. */
  readonly predicate: string | null;
  /** By argument; null matches every value. Facts with more arguments match too. */
  readonly args: readonly (ValueFilter | null)[];
  /** What at least one argument has to be. */
  readonly contains: ValueFilter | null;
}

/** A position in the order of all facts: behind the facts of a predicate whose texts begin with these. */
export interface FactPosition {
  readonly predicate: string;
  readonly arity: number;
  /** Type and id of the first argument, type and id of the second, and so on; all, some or none of them. */
  readonly texts: readonly string[];
}

export interface FactPage {
  readonly facts: readonly Fact[];
  /** Where the next page begins; null after the last one. */
  readonly next: FactPosition | null;
}

/** The next facts after `after`, or the first ones. The caller has begun a transaction. */
export function readFactPage(
  database: Connection,
  filter: FactFilter,
  after: FactPosition | undefined,
  bounds: FactPageBounds,
): FactPage {
  const filters = filter.args.map((arg) => arg && foundFilter(database, arg));
  const contains = filter.contains && rangeOf(database, filter.contains);
  if (filters.includes(undefined) || contains === undefined) return { facts: [], next: null };
  const walker = new FactWalker(database, bounds);
  try {
    const next = walkTables(
      database,
      walker,
      filter,
      { filters: filters.map((found) => found ?? null), contains },
      after,
    );
    return { facts: walker.facts, next };
  } finally {
    walker.close();
  }
}

interface Selection {
  readonly filters: readonly (FoundFilter | null)[];
  readonly contains: SymbolRange | null;
}

/** Returns where the next page begins. */
function walkTables(
  database: Connection,
  walker: FactWalker,
  filter: FactFilter,
  { filters, contains }: Selection,
  after: FactPosition | undefined,
): FactPosition | null {
  for (let position = after; ;) {
    const found = nextTable(database, filter, position);
    if (found === undefined) return null;
    if (walker.isSpent && position !== undefined) return position;
    const { predicate, arity } = found;
    const order = Array.from({ length: arity }, (_, column) => column);
    const anyOf = contains && { columns: order, range: contains };
    const isBegun = position?.predicate === predicate && position.arity === arity;
    const walk = { ...found, order, index: null, filters, anyOf, noneOf: null };
    const isWhole = walker.walk(walk, isBegun ? position?.texts : undefined);
    if (walker.reached !== undefined) position = { predicate, arity, texts: walker.reached };
    if (!isWhole) return position ?? null;
  }
}

function nextTable(
  database: Connection,
  { predicate, args }: FactFilter,
  after: FactPosition | undefined,
): { readonly table: string; readonly predicate: string; readonly arity: number } | undefined {
  const conditions = ["arity >= ?"];
  const parameters: SqlValue[] = [Math.max(1, args.length)];
  if (predicate !== null) {
    conditions.push("predicate = ?");
    parameters.push(predicate);
  }
  if (after !== undefined) {
    conditions.push(`(predicate, arity) ${after.texts.length === 0 ? ">" : ">="} (?, ?)`);
    parameters.push(after.predicate, after.arity);
  }
  const sql = `SELECT id, predicate, arity FROM relation WHERE ${conditions.join(" AND ")} ORDER BY predicate, arity LIMIT 1`;
  const [row] = database.statement(sql).values(...parameters);
  return row && { table: tableOf(Number(row[0])), predicate: String(row[1]), arity: Number(row[2]) };
}

function foundFilter(database: Connection, filter: ValueFilter): FoundFilter | undefined {
  const range = rangeOf(database, filter);
  return range && { ...filter, range };
}
