/**
 * How crowded tables are: for the columns that each order of a table begins with, the most rows with the same values in them. It bounds what a
 * join can come to before it is begun (degree constraints: Abo Khamis, Ngo and Suciu 2017, "What do Shannon-type inequalities, submodular width,
 * and disjunctive Datalog have to do with one another?"). Kept for each kind of row, since an owner of ten thousand repositories is in two teams.
 * Kept with each row in its transaction, at the cost of a look or two: few rows with the same values are counted each time, many now and then.
 */
import type { Connection } from "../connection/connection.ts";
import { must } from "../../util/assert.ts";
import {
  anyKind,
  prefixesOf,
  type StatisticsShape,
  exactRowsMax,
  type SymbolRange,
  type ValueKind,
  kindsOfPrefix,
  rangesOverlap,
  columnsKey,
  numbersIn,
  putMaxRows,
  putShape,
  rangeOfKind,
  readShape,
  stampStatistics,
  uncountedGrowth,
} from "./statistics-shape.ts";
import { typeIdOf } from "../facts/symbols.ts";

/** The bounds of all tables, as the connection sees them. */
export class TableStatistics {
  /** How many rows all tables together may have. */
  readonly totalRows: number;
  readonly #tables = new Map<string, { rows: number; readonly degrees: PrefixStatistic[] }>();

  constructor(database: Connection) {
    for (const row of database.statement("SELECT table_name, columns, kinds, most FROM degree").values()) {
      const [table, columns, kinds] = row.map(String) as [string, string, string];
      const known = this.#tables.get(table) ?? { rows: 0, degrees: [] };
      this.#tables.set(table, known);
      const maxRows = Number(row[3]);
      if (kinds === "bound") known.rows = maxRows;
      else if (kinds !== "rows")
        known.degrees.push({ columns: new Set(numbersIn(columns)), kinds: numbersIn(kinds), most: maxRows });
    }
    this.totalRows = [...this.#tables.values()].reduce((sum, { rows }) => sum + rows, 0);
  }

  /** How many rows a table may have; infinite where that is not known. */
  rows(table: string): number {
    return this.#tables.get(table)?.rows ?? Number.POSITIVE_INFINITY;
  }

  /**
   * The most rows with the same values in the columns (numbers from 1, in any order), or with one of several where `within` lists them. By column
   * of the table that says between which ids its values are, one range or several; `undefined` where they may be any.
   */
  most(table: string, columns: readonly number[], within: readonly (readonly SymbolRange[] | undefined)[]): number {
    if (columns.length >= within.length) return within.reduce((rows, ranges) => rows * (ranges?.length ?? 1), 1);
    const known = this.#tables.get(table);
    if (!known || columns.length === 0) return this.rows(table);
    // Any set of fewer columns gives a bound; kinds of the same columns have different rows, so that their bounds add up.
    const sums = new Map<string, number>();
    const asked = new Set(columns);
    for (const degree of known.degrees) {
      if (!degree.columns.isSubsetOf(asked)) continue;
      const key = [...degree.columns].join();
      sums.set(key, (sums.get(key) ?? 0) + rowsWithin(degree, within));
    }
    return Math.min(known.rows, ...sums.values());
  }
}

function rowsWithin(
  { columns, kinds, most }: PrefixStatistic,
  within: readonly (readonly SymbolRange[] | undefined)[],
): number {
  let rows = most > exactRowsMax ? most * uncountedGrowth : most;
  for (const [index, kind] of kinds.entries()) {
    const met = within[index]?.filter((range) => rangesOverlap(rangeOfKind(kind), range)).length ?? 1;
    // Of another kind there are none; of this one, as many with each of several values.
    rows *= columns.has(index + 1) ? met : Math.min(met, 1);
  }
  return rows;
}

interface PrefixStatistic {
  readonly columns: ReadonlySet<number>;
  readonly kinds: readonly ValueKind[];
  readonly most: number;
}

/** Makes the degrees of a table be of this shape. They are counted where they can't be told from those that there are. */
export function ensureStatistics(database: Connection, table: string, wanted: StatisticsShape): void {
  const present = readShape(database, table);
  // Once apart, always apart: what is not asked for any more does no harm.
  const apart = new Map(
    [...new Set([...wanted.distinguished.keys(), ...(present?.distinguished.keys() ?? [])])].map((column) => [
      column,
      new Set([...(present?.distinguished.get(column) ?? []), ...(wanted.distinguished.get(column) ?? [])]),
    ]),
  );
  const { orders } = wanted;
  const shape: StatisticsShape = { orders, distinguished: apart };
  const isSame = present && JSON.stringify(present.orders) === JSON.stringify(orders);
  if (!isSame || [...apart].some(([column, ids]) => isAmong(database, table, column, ids, present)))
    countAll(database, table, shape);
  else if (isEqual(apart, present.distinguished)) return;
  putShape(database, table, shape);
  stampStatistics(database);
}

function isEqual(some: StatisticsShape["distinguished"], others: StatisticsShape["distinguished"]): boolean {
  return [...some].every(([column, ids]) => ids.size === others.get(column)?.size);
}

/** Whether ids that were not apart before may be among the rows that were counted by their type, or by nothing. */
function isAmong(
  database: Connection,
  table: string,
  column: number,
  ids: ReadonlySet<number>,
  { distinguished: apart }: StatisticsShape,
): boolean {
  const types = new Set([...ids].filter((id) => apart.get(column)?.has(id) !== true).map(typeIdOf));
  if (types.size === 0) return false;
  return database
    .statement("SELECT DISTINCT kinds FROM degree WHERE table_name = ?1 AND columns <> '' AND most > 0")
    .values(table)
    .some(([kinds]) => types.has(must(numbersIn(String(kinds))[column - 1])));
}

/** To be called when a table has gone. */
export function dropStatistics(database: Connection, table: string): void {
  database.writerCache?.maxRows.clear();
  database.statement("DELETE FROM degree WHERE table_name = ?1").run(table);
  database.statement("DELETE FROM degree_shape WHERE table_name = ?1").run(table);
}

/** The number of facts, as each transaction has kept it. */
export function countFacts(database: Connection): number {
  const sql = "SELECT total(most) FROM degree WHERE kinds = 'rows' AND table_name GLOB 'fact_*'";
  return Number(database.statement(sql).values()[0]?.[0]);
}

/** For all of them to be counted anew by `ensureStatistics`. */
export function dropAllStatistics(database: Connection): void {
  database.statement("DELETE FROM degree").run();
  database.statement("DELETE FROM degree_shape").run();
}

/** For those of tables that have lost most of their rows to be counted anew by `ensureStatistics`: deletions leave them as they were. */
export function dropOutdatedStatistics(database: Connection): void {
  const sql = `SELECT b.table_name FROM degree AS b JOIN degree AS r ON r.table_name = b.table_name AND r.kinds = 'rows'
    WHERE b.kinds = 'bound' AND r.most * 4 < b.most`;
  for (const [table] of database.statement(sql).values()) dropStatistics(database, String(table));
}

/** To be called when all tables are empty. */
export function clearDegrees(database: Connection): void {
  database.writerCache?.maxRows.clear();
  database.statement("UPDATE degree SET most = 0").run();
  stampStatistics(database);
}

function countAll(database: Connection, table: string, shape: StatisticsShape): void {
  database.writerCache?.maxRows.clear();
  database.statement("DELETE FROM degree WHERE table_name = ?1").run(table);
  const count = (sql: string) => database.prepare(sql).values();
  const rows = Number(count(`SELECT count(*) FROM ${table}`)[0]?.[0]);
  putMaxRows(database, table, "", "rows", rows);
  putMaxRows(database, table, "", "bound", 2 * rows);
  const names = must(shape.orders[0]).map((_, index) => `a${index + 1}`);
  const kinds = names.map((name, index) => {
    const ids = [...(shape.distinguished.get(index + 1) ?? [])];
    const type = `(${name} >> 32)`;
    return ids.length === 0 ? type : `iif(${name} IN (${ids.join(", ")}), ${name}, ${type})`;
  });
  const present = count(`SELECT DISTINCT ${kinds.join(", ")} FROM ${table}`).map((row) => row.map(Number));
  for (const beginning of prefixesOf(shape)) {
    const same = beginning.columns.map((column) => `a${column}`).join(", ");
    const along = new Map(present.map((row) => kindsOfPrefix(beginning, row)).map((found) => [found.join(), found]));
    for (const [name, found] of along) {
      const conditions = found.flatMap((kind, index) => (kind === anyKind ? [] : [`${must(kinds[index])} = ${kind}`]));
      const groups = `SELECT count(*) AS n FROM ${table} WHERE ${conditions.join(" AND ")} GROUP BY ${same}`;
      putMaxRows(
        database,
        table,
        columnsKey(beginning.columns),
        name,
        Number(count(`SELECT max(n) FROM (${groups})`)[0]?.[0]),
      );
    }
  }
}
