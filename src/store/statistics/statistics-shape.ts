/**
 * The shape of a table's statistics: the column prefixes and the kinds of rows that are counted. Rows that the policy
 * distinguishes are counted separately: an owner of ten thousand repositories may be a member of only two teams.
 */
import type { CatalogueKey, Connection } from "../connection/connection.ts";
import { must } from "../../util/assert.ts";
import { symbolRange, type SymbolRange, typeIdOf } from "../facts/symbols.ts";

/** Groups of up to so many rows are counted with each new row. */
export const exactRowsMax = 128;
/** By how much a larger group may grow before it is counted again. */
export const uncountedGrowth = 1.25;

/** The kind of a value: its type id, or its symbol (symbols are greater than all type ids), or `anyKind`. */
export type ValueKind = number;
export const anyKind: ValueKind = 0;

export interface StatisticsShape {
  /** The orders of columns (counted from 1) that the table has indexes for. Statistics are kept for their prefixes. */
  readonly orders: readonly (readonly number[])[];
  /** By column: the symbols that are kinds of their own. The kind of all others is their type. */
  readonly distinguished: ReadonlyMap<number, ReadonlySet<number>>;
}

/** The first columns of an order, and the columns after them. */
export interface ColumnPrefix {
  readonly columns: readonly number[];
  readonly rest: readonly number[];
}

export interface TypedPrefix extends ColumnPrefix {
  readonly kinds: readonly ValueKind[];
}

/** The prefixes of all orders, short ones first, each set of columns once. None is empty or has all columns. */
export function prefixesOf({ orders }: StatisticsShape): ColumnPrefix[] {
  const all = orders.flatMap((order) =>
    order.slice(1).map((_, index) => ({ columns: order.slice(0, index + 1), rest: order.slice(index + 1) })),
  );
  const distinct = new Map(all.map((prefix) => [columnsKey(prefix.columns), prefix]));
  return [...distinct.values()].sort((left, right) => left.columns.length - right.columns.length);
}

/** The kinds of the columns up to the first one after the prefix whose kind is a type; `anyKind` for the others. */
export function kindsOfPrefix({ columns, rest }: ColumnPrefix, kinds: readonly ValueKind[]): ValueKind[] {
  const last = rest.findIndex((column) => typeIdOf(must(kinds[column - 1])) === 0);
  const counted = new Set([...columns, ...(last < 0 ? rest : rest.slice(0, last + 1))]);
  return kinds.map((kind, index) => (counted.has(index + 1) ? kind : anyKind));
}

export function kindOf(id: number, distinguished: ReadonlySet<number> | undefined): ValueKind {
  return distinguished?.has(id) ? id : typeIdOf(id);
}

export function rangeOfKind(kind: ValueKind): SymbolRange {
  if (kind === anyKind) return { low: 0, high: Number.POSITIVE_INFINITY };
  return typeIdOf(kind) === 0 ? symbolRange(kind) : { low: kind, high: kind };
}

export function rangesOverlap(left: SymbolRange, right: SymbolRange): boolean {
  return left.low <= right.high && right.low <= left.high;
}

/** The canonical key of a set of columns. */
export function columnsKey(columns: readonly number[]): string {
  return [...columns].sort((left, right) => left - right).join();
}

export function numbersIn(text: string): number[] {
  return text.split(",").map(Number);
}

export function putShape(database: Connection, table: string, { orders, distinguished }: StatisticsShape): void {
  const sql = "INSERT OR REPLACE INTO degree_shape (table_name, orders, apart) VALUES (?1, ?2, ?3)";
  const lists = [...distinguished].map(([column, ids]) => [column, [...ids]]);
  database.statement(sql).run(table, JSON.stringify(orders), JSON.stringify(lists));
}

export function readShape(database: Connection, table: string): StatisticsShape | undefined {
  const [row] = database.statement("SELECT orders, apart FROM degree_shape WHERE table_name = ?1").values(table);
  if (!row) return undefined;
  const text = row.join(" ");
  const shapes = database.catalogue.get(parsedShapes) ?? new Map<string, ParsedShape>();
  database.catalogue.set(parsedShapes, shapes);
  const known = shapes.get(table);
  if (known?.text === text) return known.shape;
  const [orders, distinguished] = row.map((json) => JSON.parse(String(json))) as [number[][], [number, number[]][]];
  const shape = { orders, distinguished: new Map(distinguished.map(([column, ids]) => [column, new Set(ids)])) };
  shapes.set(table, { text, shape });
  return shape;
}

interface ParsedShape {
  readonly text: string;
  readonly shape: StatisticsShape;
}

/** The last shape of each table, which seldom changes. */
const parsedShapes: CatalogueKey<Map<string, ParsedShape>> = { name: "statistics shapes" };

export function putMaxRows(database: Connection, table: string, columns: string, kinds: string, most: number): void {
  database.writerCache?.maxRows.clear();
  const sql = "INSERT OR REPLACE INTO degree (table_name, columns, kinds, most) VALUES (?1, ?2, ?3, ?4)";
  database.statement(sql).run(table, columns, kinds, most);
}

/** From the commit of the transaction on, all connections read the statistics again. */
export function stampStatistics(database: Connection): void {
  // Random, not counted: a number that was rolled back must not occur again.
  database.statement("UPDATE state SET degree_stamp = 1 + abs(random() % 9007199254740990)").run();
}
