/**
 * What degrees are kept of: the columns that each order of a table begins with, and the kinds of its rows. An owner of ten thousand repositories is
 * in two teams, so rows that a policy tells apart are counted apart.
 */
import type { CatalogueKey, Connection } from "../connection/connection.ts";
import { must } from "../../util/assert.ts";
import { symbolRange, typeIdOf } from "../facts/symbols.ts";

/** Up to so many rows with the same values are counted with each new one. */
export const exactRowsMax = 128;
/** By how much more may have grown before somebody counted them again. */
export const uncountedGrowth = 1.25;

/** What a value is: the number of its type, or itself (ids are above all numbers of types), or `any`. */
export type ValueKind = number;
export const anyKind: ValueKind = 0;

/** The ids from one to another, both included. */
export interface SymbolRange {
  readonly low: number;
  readonly high: number;
}

export interface StatisticsShape {
  /** The orders of the table's columns (numbers from 1) in which rows are found; the degrees are of what these begin with. */
  readonly orders: readonly (readonly number[])[];
  /** By column, the ids that are kinds of their own; all others are of the kind of their type. */
  readonly distinguished: ReadonlyMap<number, ReadonlySet<number>>;
}

/** Columns that an order begins with, and those that come after them. */
export interface ColumnPrefix {
  readonly columns: readonly number[];
  readonly rest: readonly number[];
}

export interface TypedPrefix extends ColumnPrefix {
  readonly kinds: readonly ValueKind[];
}

/** Of any order, the fewest columns first; neither none of them nor all, and the same ones once. */
export function prefixesOf({ orders }: StatisticsShape): ColumnPrefix[] {
  const all = orders.flatMap((order) =>
    order.slice(1).map((_, index) => ({ columns: order.slice(0, index + 1), rest: order.slice(index + 1) })),
  );
  const distinct = new Map(all.map((beginning) => [columnsKey(beginning.columns), beginning]));
  return [...distinct.values()].sort((left, right) => left.columns.length - right.columns.length);
}

/** As far as the order finds rows of these kinds in one place: up to the first column after the beginning of which only the type is known. */
export function kindsOfPrefix({ columns, rest }: ColumnPrefix, kinds: readonly ValueKind[]): ValueKind[] {
  const last = rest.findIndex((column) => typeIdOf(must(kinds[column - 1])) === 0);
  const told = new Set([...columns, ...(last < 0 ? rest : rest.slice(0, last + 1))]);
  return kinds.map((kind, index) => (told.has(index + 1) ? kind : anyKind));
}

export function kindOf(id: number, apart: ReadonlySet<number> | undefined): ValueKind {
  return apart?.has(id) ? id : typeIdOf(id);
}

export function rangeOfKind(kind: ValueKind): SymbolRange {
  if (kind === anyKind) return { low: 0, high: Number.POSITIVE_INFINITY };
  return typeIdOf(kind) === 0 ? symbolRange(kind) : { low: kind, high: kind };
}

export function rangesOverlap(left: SymbolRange, right: SymbolRange): boolean {
  return left.low <= right.high && right.low <= left.high;
}

/** Whichever order they come in: the same columns have the same degree. */
export function columnsKey(columns: readonly number[]): string {
  return [...columns].sort((left, right) => left - right).join();
}

export function numbersIn(text: string): number[] {
  return text.split(",").map(Number);
}

export function putShape(database: Connection, table: string, { orders, distinguished: apart }: StatisticsShape): void {
  database
    .statement(
      "INSERT INTO degree_shape (table_name, orders, apart) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET orders = ?2, apart = ?3",
    )
    .run(table, JSON.stringify(orders), JSON.stringify([...apart].map(([column, ids]) => [column, [...ids]])));
}

export function readShape(database: Connection, table: string): StatisticsShape | undefined {
  const [row] = database.statement("SELECT orders, apart FROM degree_shape WHERE table_name = ?1").values(table);
  if (!row) return undefined;
  const text = row.join(" ");
  const shapes = database.catalogue.get(parsedShapes) ?? new Map<string, ParsedShape>();
  database.catalogue.set(parsedShapes, shapes);
  const known = shapes.get(table);
  if (known?.text === text) return known.shape;
  const apart = JSON.parse(String(row[1])) as [number, number[]][];
  const shape = {
    orders: JSON.parse(String(row[0])) as number[][],
    distinguished: new Map(apart.map(([column, ids]) => [column, new Set(ids)])),
  };
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
  database
    .statement(
      "INSERT INTO degree (table_name, columns, kinds, most) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET most = ?4",
    )
    .run(table, columns, kinds, most);
}

/** Makes every bound be computed anew, on all connections, from the commit of the present transaction on. */
export function stampStatistics(database: Connection): void {
  // By chance, not by counting: a number that was rolled back must not come again.
  database.statement("UPDATE state SET degree_stamp = 1 + abs(random() % 9007199254740990)").run();
}
