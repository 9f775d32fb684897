/**
 * Cardinality statistics of tables: for each prefix of each index, the most rows that share values in its columns. They
 * bound the result of a join before it runs (degree constraints: Abo Khamis, Ngo and Suciu 2017, "What do Shannon-type
 * inequalities, submodular width, and disjunctive Datalog have to do with one another?"). Each kind of row has its own
 * statistics (`statistics-shape.ts`). Each transaction updates them (`statistics-update.ts`).
 */
import { isDeepStrictEqual } from "node:util";
import type { Connection } from "../connection/connection.ts";
import { must } from "../../util/assert.ts";
import {
  anyKind,
  prefixesOf,
  type StatisticsShape,
  exactRowsMax,
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
import { type SymbolRange, typeIdOf } from "../facts/symbols.ts";

export class TableStatistics {
  /** An upper bound for the rows of all tables together. */
  readonly totalRows: number;
  readonly #tables = new Map<string, { rows: number; readonly prefixes: PrefixStatistic[] }>();

  constructor(database: Connection) {
    for (const row of database.statement("SELECT table_name, columns, kinds, most FROM degree").values()) {
      const [table, columns, kinds] = row.map(String) as [string, string, string];
      const known = this.#tables.get(table) ?? { rows: 0, prefixes: [] };
      this.#tables.set(table, known);
      const maxRows = Number(row[3]);
      if (kinds === "bound") known.rows = maxRows;
      else if (kinds !== "rows")
        known.prefixes.push({ columns: new Set(numbersIn(columns)), kinds: numbersIn(kinds), most: maxRows });
    }
    this.totalRows = [...this.#tables.values()].reduce((sum, { rows }) => sum + rows, 0);
  }

  /** An upper bound for the rows of a table; infinite for an unknown table. */
  rows(table: string): number {
    return this.#tables.get(table)?.rows ?? Number.POSITIVE_INFINITY;
  }

  /**
   * An upper bound for the rows that share values in the columns (counted from 1, in any order). `within` has for each
   * column of the table the ranges of its values, or undefined for any. The bound holds for all ranges together.
   */
  maxRows(table: string, columns: readonly number[], within: readonly (readonly SymbolRange[] | undefined)[]): number {
    if (columns.length >= within.length) return within.reduce((rows, ranges) => rows * (ranges?.length ?? 1), 1);
    const known = this.#tables.get(table);
    if (!known || columns.length === 0) return this.rows(table);
    // Each subset of the columns gives a bound. Kinds of the same columns have different rows, so their bounds add up.
    const sums = new Map<string, number>();
    const asked = new Set(columns);
    for (const statistic of known.prefixes) {
      if (!statistic.columns.isSubsetOf(asked)) continue;
      const key = [...statistic.columns].join();
      sums.set(key, (sums.get(key) ?? 0) + rowsWithin(statistic, within));
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
    // A range of another kind has no rows. Each of several values in the range may have the maximum.
    rows *= columns.has(index + 1) ? met : Math.min(met, 1);
  }
  return rows;
}

interface PrefixStatistic {
  readonly columns: ReadonlySet<number>;
  readonly kinds: readonly ValueKind[];
  readonly most: number;
}

/** Gives the statistics of a table this shape. Counts the rows if the present statistics do not tell. */
export function ensureStatistics(database: Connection, table: string, wanted: StatisticsShape): void {
  const present = readShape(database, table);
  // A symbol that was distinguished once stays so: an unneeded kind does no harm.
  const distinguished = new Map(present?.distinguished);
  for (const [column, ids] of wanted.distinguished)
    distinguished.set(column, (distinguished.get(column) ?? new Set<number>()).union(ids));
  const shape: StatisticsShape = { orders: wanted.orders, distinguished };
  const hasOrders = present !== undefined && isDeepStrictEqual(present.orders, wanted.orders);
  if (!hasOrders || [...distinguished].some(([column, ids]) => mayBeCounted(database, table, column, ids, present)))
    countAll(database, table, shape);
  else if (isDeepStrictEqual(distinguished, present.distinguished)) return;
  putShape(database, table, shape);
  stampStatistics(database);
}

/** Whether rows with a newly distinguished symbol may have been counted under their type, or under any kind. */
function mayBeCounted(
  database: Connection,
  table: string,
  column: number,
  ids: ReadonlySet<number>,
  { distinguished }: StatisticsShape,
): boolean {
  const types = new Set([...ids].filter((id) => distinguished.get(column)?.has(id) !== true).map(typeIdOf));
  if (types.size === 0) return false;
  const counted = "SELECT DISTINCT kinds FROM degree WHERE table_name = ?1 AND columns <> '' AND most > 0";
  const rows = database.statement(counted).values(table);
  return rows.some(([kinds]) => types.has(must(numbersIn(String(kinds))[column - 1])));
}

/** To be called after a table was dropped. */
export function dropStatistics(database: Connection, table: string): void {
  database.writerCache?.maxRows.clear();
  database.statement("DELETE FROM degree WHERE table_name = ?1").run(table);
  database.statement("DELETE FROM degree_shape WHERE table_name = ?1").run(table);
}

/** The number of facts, from the row counts in the statistics. */
export function countFacts(database: Connection): number {
  const sql = "SELECT total(most) FROM degree WHERE kinds = 'rows' AND table_name GLOB 'fact_*'";
  return must(database.number(sql));
}

/** The number of facts of each predicate that has some, sorted by name. */
export function countFactsByPredicate(database: Connection): Map<string, number> {
  const sql = `SELECT relation.predicate, sum(degree.most) FROM degree JOIN relation
    ON degree.table_name = 'fact_' || relation.id WHERE degree.kinds = 'rows' AND degree.most > 0
    GROUP BY relation.predicate ORDER BY relation.predicate`;
  const rows = database.statement(sql).values();
  return new Map(rows.map(([predicate, count]) => [String(predicate), Number(count)]));
}

/** Makes `ensureStatistics` count all tables again. */
export function dropAllStatistics(database: Connection): void {
  database.statement("DELETE FROM degree").run();
  database.statement("DELETE FROM degree_shape").run();
}

/** Makes `ensureStatistics` count tables again that have lost most rows: deletions do not lower the statistics. */
export function dropOutdatedStatistics(database: Connection): void {
  const sql = `SELECT b.table_name FROM degree AS b JOIN degree AS r ON r.table_name = b.table_name AND r.kinds = 'rows'
    WHERE b.kinds = 'bound' AND r.most * 4 < b.most`;
  for (const [table] of database.statement(sql).values()) dropStatistics(database, String(table));
}

/** To be called after all rows of all tables were deleted. */
export function clearStatistics(database: Connection): void {
  database.writerCache?.maxRows.clear();
  database.statement("UPDATE degree SET most = 0").run();
  stampStatistics(database);
}

function countAll(database: Connection, table: string, shape: StatisticsShape): void {
  database.writerCache?.maxRows.clear();
  database.statement("DELETE FROM degree WHERE table_name = ?1").run(table);
  // Not cached statements: a policy creates closure tables under ever new names.
  const [[rows] = []] = database.prepare(`SELECT count(*) FROM ${table}`).values();
  putMaxRows(database, table, "", "rows", Number(rows));
  putMaxRows(database, table, "", "bound", 2 * Number(rows));
  const names = must(shape.orders[0]).map((_, index) => `a${index + 1}`);
  const kinds = names.map((name, index) => {
    const ids = [...(shape.distinguished.get(index + 1) ?? [])];
    const type = `(${name} >> 32)`;
    return ids.length === 0 ? type : `iif(${name} IN (${ids.join(", ")}), ${name}, ${type})`;
  });
  const present = database.prepare(`SELECT DISTINCT ${kinds.join(", ")} FROM ${table}`).values() as number[][];
  for (const prefix of prefixesOf(shape)) {
    const same = prefix.columns.map((column) => `a${column}`).join(", ");
    const along = new Map(present.map((row) => kindsOfPrefix(prefix, row)).map((found) => [found.join(), found]));
    for (const [name, found] of along) {
      const conditions = found.flatMap((kind, index) => (kind === anyKind ? [] : [`${must(kinds[index])} = ${kind}`]));
      const groups = `SELECT count(*) AS n FROM ${table} WHERE ${conditions.join(" AND ")} GROUP BY ${same}`;
      const [[most] = []] = database.prepare(`SELECT max(n) FROM (${groups})`).values();
      putMaxRows(database, table, columnsKey(prefix.columns), name, Number(most));
    }
  }
}
