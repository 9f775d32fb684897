/**
 * Updates the statistics of tables in the transaction that inserts rows, with one or two lookups for each new row. A
 * small group of rows with the same values is counted each time, a large one only for a sample of its new rows.
 */
import type { Connection, WriterCache } from "../connection/connection.ts";
import { must } from "../../util/assert.ts";
import {
  anyKind,
  prefixesOf,
  type StatisticsShape,
  exactRowsMax,
  type ValueKind,
  type TypedPrefix,
  kindOf,
  kindsOfPrefix,
  columnsKey,
  putMaxRows,
  rangeOfKind,
  readShape,
  stampStatistics,
  uncountedGrowth,
} from "./statistics-shape.ts";
import { typeIdOf } from "../facts/symbols.ts";

/**
 * Of a group with more than `exactRowsMax` rows, one new row in `maxRows / sampleRate` causes a count. The probability
 * that a group grows by a quarter without a count is 1 in 10 million.
 */
const sampleRate = 64;

/** Stands for more than `exactRowsMax` rows that were not all counted. */
const notCounted = Number.POSITIVE_INFINITY;

export class StatisticsUpdate {
  readonly #database: Connection;
  /** The last symbol of each type before the transaction. */
  readonly #lastIds: ReadonlyMap<number, number>;
  readonly #grown = new Map<string, number>();
  readonly #added = new Map<string, AddedRows>();

  constructor(database: Connection) {
    this.#database = database;
    this.#lastIds = new Map(database.writerCache?.lastIds);
  }

  /** Notes by how many rows a table has grown. */
  addRowCount(table: string, rows: number): void {
    this.#grown.set(table, (this.#grown.get(table) ?? 0) + rows);
  }

  /** Notes a new row of a fact table: the symbols in its columns. Must be called for each new row. */
  addRow(table: string, row: readonly number[]): void {
    this.#addedTo(table, true).add(row);
  }

  /** Notes a new row of another table. A sample is enough that has rows of the largest groups. */
  sampleRow(table: string, row: readonly number[]): void {
    this.#addedTo(table, false).add(row);
  }

  #addedTo(table: string, isAll: boolean): AddedRows {
    let added = this.#added.get(table);
    if (!added) this.#added.set(table, (added = new AddedRows(this.#database, table, isAll, this.#lastIds)));
    return added;
  }

  /** Writes the statistics. To be called once after all changes. */
  finish(): void {
    let isRaised = false;
    for (const [table, grown] of this.#grown) {
      const counted =
        "UPDATE degree SET most = most + ?2 WHERE table_name = ?1 AND columns = '' AND kinds = 'rows' RETURNING most";
      const rows = this.#database.number(counted, table, grown) ?? 0;
      // Twice as many as needed, so that the bound seldom changes.
      const raised =
        "UPDATE degree SET most = 2 * ?2 WHERE table_name = ?1 AND columns = '' AND kinds = 'bound' AND most < ?2";
      if (this.#database.statement(raised).run(table, rows) > 0) isRaised = true;
    }
    for (const added of this.#added.values()) if (added.finish()) isRaised = true;
    if (isRaised) stampStatistics(this.#database);
  }
}

/** The new rows of one table. They are evaluated together at the end, because many have the same values. */
class AddedRows {
  readonly #database: Connection;
  readonly #table: string;
  readonly #shape: StatisticsShape | undefined;
  readonly #lastIds: ReadonlyMap<number, number>;
  /** Only if every new row is noted here: then the row counts in the cache can be kept up to date. */
  readonly #writerCache: WriterCache | undefined;
  /** New rows by the kinds of their values. */
  readonly #rows = new Map<string, { readonly kinds: readonly ValueKind[]; readonly rows: (readonly number[])[] }>();
  /** Used without a writer cache. */
  readonly #maxRows = new Map<string, number>();
  readonly #counted = new Map<string, Map<number | string, number>>();
  #isRaised = false;

  constructor(database: Connection, table: string, isAll: boolean, lastIds: ReadonlyMap<number, number>) {
    this.#database = database;
    this.#table = table;
    this.#shape = readShape(database, table);
    this.#lastIds = lastIds;
    this.#writerCache = isAll ? database.writerCache : undefined;
  }

  add(row: readonly number[]): void {
    if (!this.#shape) return;
    const { distinguished } = this.#shape;
    const kinds = row.map((id, index) => kindOf(id, distinguished.get(index + 1)));
    const key = kinds.join();
    const known = this.#rows.get(key);
    if (known) known.rows.push(row);
    else this.#rows.set(key, { kinds, rows: [row] });
  }

  /** Returns whether a statistic was raised. */
  finish(): boolean {
    const groups = [...this.#rows.values()].map(({ kinds, rows }) => ({
      rows,
      statistics: cachedRowStatistics(must(this.#shape), kinds, this.#table),
    }));
    // First the cached counts: rows of several kinds may be in one group, and the counts below include all of them.
    if (this.#writerCache !== undefined)
      for (const { rows, statistics } of groups)
        for (const statistic of statistics) this.#addToCache(this.#writerCache, statistic, rows);
    for (const { rows, statistics } of groups) for (const row of rows) this.#update(row, statistics);
    return this.#isRaised;
  }

  #update(row: readonly number[], statistics: readonly RowStatistic[]): void {
    const bounds: number[] = [];
    for (const statistic of statistics) {
      const maxRows = this.#maxRowsOf(statistic);
      // A group that shares more values has no more rows.
      let rows = statistic.isSingle ? 1 : Number.POSITIVE_INFINITY;
      for (const index of statistic.coarser) rows = Math.min(rows, must(bounds[index]));
      if (rows > maxRows) rows = this.#count(row, statistic, maxRows);
      bounds.push(Math.min(rows, maxRows));
      if (rows <= maxRows) continue;
      const raised = rows < exactRowsMax ? rows : Math.ceil(rows * uncountedGrowth);
      this.#raise(statistic, raised);
      bounds[statistic.index] = raised;
    }
  }

  #maxRowsOf({ columns, kinds, key }: RowStatistic): number {
    const cache = this.#writerCache?.maxRows ?? this.#maxRows;
    const name = `${this.#table} ${key}`;
    const known = cache.get(name);
    if (known !== undefined) return known;
    const sql = "SELECT most FROM degree WHERE table_name = ?1 AND columns = ?2 AND kinds = ?3";
    const maxRows = this.#database.number(sql, this.#table, columns, kinds) ?? 0;
    cache.set(name, maxRows);
    return maxRows;
  }

  #raise({ columns, kinds, key }: RowStatistic, maxRows: number): void {
    this.#maxRows.set(`${this.#table} ${key}`, maxRows);
    putMaxRows(this.#database, this.#table, columns, kinds, maxRows);
    this.#isRaised = true;
  }

  /** Adds new rows to the cached counts of their groups. A group with a new symbol consists of these rows only. */
  #addToCache(cache: WriterCache, { same, counts }: RowStatistic, rows: readonly (readonly number[])[]): void {
    const added = new Map<number | string, { readonly row: readonly number[]; rows: number }>();
    for (const row of rows) {
      const key = keyOf(row, same);
      const group = added.get(key);
      if (group) group.rows++;
      else added.set(key, { row, rows: 1 });
    }
    let known = cache.rowCounts.get(counts);
    if (!known) cache.rowCounts.set(counts, (known = new Map()));
    for (const [key, { row, rows: more }] of added) {
      const before = known.get(key);
      if (before === undefined && !same.some((column) => this.#isNew(must(row[column - 1])))) continue;
      if (before === undefined) cache.entries++;
      known.set(key, (before ?? 0) + more);
    }
  }

  #isNew(id: number): boolean {
    const last = this.#lastIds.get(typeIdOf(id));
    return last !== undefined && id > last;
  }

  /** The number of rows in the group of a row; `maxRows` for a large group that is not counted this time. */
  #count(row: readonly number[], { same, sql, ranges, counts }: RowStatistic, maxRows: number): number {
    const key = keyOf(row, same);
    const rowCounts = this.#writerCache?.rowCounts.get(counts);
    const before = rowCounts?.get(key);
    if (before !== undefined && before !== notCounted) return before;
    let counted = this.#counted.get(counts);
    if (!counted) this.#counted.set(counts, (counted = new Map()));
    const known = counted.get(key);
    if (known !== undefined) return known;
    const ids = same.map((column) => must(row[column - 1]));
    const upTo = (limit: number): number =>
      must(this.#database.number(`SELECT count(*) FROM (${sql})`, ...ids, ...ranges, limit));
    let rows = before ?? upTo(exactRowsMax + 1);
    if (rows > exactRowsMax)
      rows = maxRows < exactRowsMax || hashFraction(row) * maxRows < sampleRate ? upTo(-1) : notCounted;
    if (rowCounts !== undefined) {
      if (before === undefined) must(this.#writerCache).entries++;
      // A complete count stays right: `#addToCache` keeps it up to date.
      rowCounts.set(key, rows);
    }
    if (rows === notCounted) rows = maxRows;
    counted.set(key, rows);
    return rows;
  }
}

function keyOf(row: readonly number[], columns: readonly number[]): number | string {
  return columns.length === 1 ? must(row[must(columns[0]) - 1]) : columns.map((column) => row[column - 1]).join();
}

/** A statistic that a row of certain kinds belongs to. Its group: the rows that share the values of its columns. */
interface RowStatistic {
  readonly index: number;
  readonly columns: string;
  readonly kinds: string;
  /** Columns and kinds. */
  readonly key: string;
  /** The columns whose values their kind does not determine. */
  readonly same: readonly number[];
  /** Whether a group has only one row. */
  readonly isSingle: boolean;
  /** Selects the rows of a group: its parameters are the symbols in `same`, then `ranges`, then the limit. */
  readonly sql: string;
  readonly ranges: readonly number[];
  /** The key of the row counts in the caches: the same for statistics that count the same groups. */
  readonly counts: string;
  /** The indexes of the statistics before this one whose groups contain its groups. */
  readonly coarser: readonly number[];
}

/** A shape is the same object for as long as a policy is active, so its statistics are cached with it. */
const statisticsByShape = new WeakMap<StatisticsShape, Map<string, RowStatistic[]>>();

function cachedRowStatistics(shape: StatisticsShape, kinds: readonly ValueKind[], table: string): RowStatistic[] {
  let cached = statisticsByShape.get(shape);
  if (!cached) statisticsByShape.set(shape, (cached = new Map()));
  const name = `${table} ${kinds.join()}`;
  let statistics = cached.get(name);
  if (!statistics) cached.set(name, (statistics = rowStatisticsOf(shape, kinds, table)));
  return statistics;
}

function rowStatisticsOf(shape: StatisticsShape, kinds: readonly ValueKind[], table: string): RowStatistic[] {
  const isGiven = (column: number): boolean => typeIdOf(must(kinds[column - 1])) !== 0;
  const all = prefixesOf(shape).map((prefix) => ({ ...prefix, kinds: kindsOfPrefix(prefix, kinds) }));
  return all.map((prefix, index): RowStatistic => {
    const { columns, rest } = prefix;
    const same = columns.filter((column) => !isGiven(column));
    const conditions = same.map((column, position) => `a${column} = ?${position + 1}`);
    const ranges: number[] = [];
    for (const column of [...columns.filter(isGiven), ...rest]) {
      const kind = must(prefix.kinds[column - 1]);
      if (kind === anyKind) continue;
      const { low, high } = rangeOfKind(kind);
      const next = same.length + ranges.length + 1;
      conditions.push(low === high ? `a${column} = ?${next}` : `a${column} BETWEEN ?${next} AND ?${next + 1}`);
      ranges.push(...(low === high ? [low] : [low, high]));
    }
    const limit = `LIMIT ?${same.length + ranges.length + 1}`;
    const coarser = all.flatMap((other, before) => (before < index && contains(other, prefix) ? [before] : []));
    const sql = `SELECT 1 FROM ${table} WHERE ${conditions.join(" AND ")} ${limit}`;
    const named = { columns: columnsKey(columns), kinds: prefix.kinds.join() };
    return {
      index,
      ...named,
      key: `${named.columns} ${named.kinds}`,
      same,
      isSingle: kinds.every((_, position) => columns.includes(position + 1) || isGiven(position + 1)),
      sql,
      ranges,
      counts: `${sql} ${ranges.join()}`,
      coarser,
    };
  });
}

/** Whether each group of `other` is part of a group of `prefix`. */
function contains(prefix: TypedPrefix, other: TypedPrefix): boolean {
  return (
    prefix.columns.every((column) => other.columns.includes(column)) &&
    prefix.kinds.every((kind, index) => kind === anyKind || kind === other.kinds[index])
  );
}

/** A hash of a row, from 0 to 1. */
function hashFraction(row: readonly number[]): number {
  let hash = 0;
  for (const id of row) hash = Math.imul(hash ^ id ^ typeIdOf(id), 0x9e37_79b1) >>> 0;
  return ((hash ^ (hash >>> 15)) >>> 0) / 0x1_0000_0000;
}
