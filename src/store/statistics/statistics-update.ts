/**
 * How degrees follow the rows of a transaction: at the cost of a look or two for each new one. Few rows with the same values are counted each time,
 * many of them now and then.
 */
import type { Connection } from "../connection/connection.ts";
import type { WriterCache } from "../connection/writer-cache.ts";
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

/** Of more than `few`, one row in `most / looked` is counted with: that they have grown by a quarter unseen is as likely as 1 in 10 million. */
const sampleRate = 64;

/** Stands for more than `few` rows that nobody has counted to the end. */
const notCounted = Number.POSITIVE_INFINITY;

/** What one transaction does to the degrees. */
export class StatisticsUpdate {
  readonly #database: Connection;
  /** The last id of each type before it. */
  readonly #lastIds: ReadonlyMap<number, number>;
  readonly #grown = new Map<string, number>();
  readonly #added = new Map<string, AddedRows>();

  constructor(database: Connection) {
    this.#database = database;
    this.#lastIds = new Map(database.writerCache?.lastIds);
  }

  /** To be told by how many rows a table has grown. */
  addRowCount(table: string, rows: number): void {
    this.#grown.set(table, (this.#grown.get(table) ?? 0) + rows);
  }

  /** To be told of each row that is new in a fact table, with the ids in its columns. */
  addRow(table: string, row: readonly number[]): void {
    this.#addedTo(table, true).add(row);
  }

  /** To be told of rows that are new in another table: some of them, among which those of which there are most the same. */
  sampleRow(table: string, row: readonly number[]): void {
    this.#addedTo(table, false).add(row);
  }

  #addedTo(table: string, isAll: boolean): AddedRows {
    let added = this.#added.get(table);
    if (!added) this.#added.set(table, (added = new AddedRows(this.#database, table, isAll, this.#lastIds)));
    return added;
  }

  /** To be called once after all changes. */
  finish(): void {
    let isRaised = false;
    for (const [table, grown] of this.#grown) {
      const counted =
        "UPDATE degree SET most = most + ?2 WHERE table_name = ?1 AND columns = '' AND kinds = 'rows' RETURNING most";
      const rows = Number(this.#database.statement(counted).values(table, grown)[0]?.[0] ?? 0);
      // Twice as many, so that the bound stays the same for long.
      const raised =
        "UPDATE degree SET most = 2 * ?2 WHERE table_name = ?1 AND columns = '' AND kinds = 'bound' AND most < ?2";
      if (this.#database.statement(raised).run(table, rows) > 0) isRaised = true;
    }
    for (const added of this.#added.values()) if (added.finish()) isRaised = true;
    if (isRaised) stampStatistics(this.#database);
  }
}

/** New rows of one table, which are looked at once all of them are there: many have the same values. */
class AddedRows {
  readonly #database: Connection;
  readonly #table: string;
  readonly #shape: StatisticsShape | undefined;
  readonly #lastIds: ReadonlyMap<number, number>;
  /** Where all rows that come are seen, what is known of how many are the same stays known. */
  readonly #writerCache: WriterCache | undefined;
  /** By the kinds of their values. */
  readonly #rows = new Map<string, { readonly kinds: readonly ValueKind[]; readonly rows: (readonly number[])[] }>();
  readonly #most = new Map<string, number>();
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
    const { distinguished: apart } = this.#shape;
    const kinds = row.map((id, index) => kindOf(id, apart.get(index + 1)));
    const key = kinds.join();
    const known = this.#rows.get(key);
    if (known) known.rows.push(row);
    else this.#rows.set(key, { kinds, rows: [row] });
  }

  /** Whether a bound had to be raised. */
  finish(): boolean {
    const groups = [...this.#rows.values()].map(({ kinds, rows }) => ({
      rows,
      degrees: cachedRowStatistics(must(this.#shape), kinds, this.#table),
    }));
    // First all that is known: rows of several kinds may count as the same, and what is counted below has all of them.
    if (this.#writerCache !== undefined)
      for (const { rows, degrees } of groups)
        for (const degree of degrees) this.#recount(this.#writerCache, degree, rows);
    for (const { rows, degrees } of groups) for (const row of rows) this.#look(row, degrees);
    return this.#isRaised;
  }

  #look(row: readonly number[], degrees: readonly RowStatistic[]): void {
    const bounds: number[] = [];
    for (const degree of degrees) {
      const most = this.#mostOf(degree);
      // With more values the same there are no more rows.
      let rows = degree.isSingle ? 1 : Number.POSITIVE_INFINITY;
      for (const place of degree.fewer) rows = Math.min(rows, must(bounds[place]));
      if (rows > most) rows = this.#count(row, degree, most);
      bounds.push(Math.min(rows, most));
      if (rows <= most) continue;
      const raised = rows < exactRowsMax ? rows : Math.ceil(rows * uncountedGrowth);
      this.#raise(degree, raised);
      bounds[degree.place] = raised;
    }
  }

  #mostOf({ columns, kinds, key }: RowStatistic): number {
    const kept = this.#writerCache?.maxRows ?? this.#most;
    const name = `${this.#table} ${key}`;
    const known = kept.get(name);
    if (known !== undefined) return known;
    const sql = "SELECT most FROM degree WHERE table_name = ?1 AND columns = ?2 AND kinds = ?3";
    const most = Number(this.#database.statement(sql).values(this.#table, columns, kinds)[0]?.[0] ?? 0);
    kept.set(name, most);
    return most;
  }

  #raise({ columns, kinds, key }: RowStatistic, most: number): void {
    this.#most.set(`${this.#table} ${key}`, most);
    putMaxRows(this.#database, this.#table, columns, kinds, most);
    this.#isRaised = true;
  }

  /** Brings what is known up to date: there are more of the same now, and of a value that is new there are only these. */
  #recount(cache: WriterCache, { same, counts }: RowStatistic, rows: readonly (readonly number[])[]): void {
    const added = new Map<number | string, { readonly row: readonly number[]; rows: number }>();
    for (const row of rows) {
      const key = keyOf(row, same);
      const more = added.get(key);
      if (more) more.rows++;
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

  /** How many rows have the same values, or `most` where they are no more, as far as is looked. */
  #count(row: readonly number[], { same, sql, ranges, counts }: RowStatistic, most: number): number {
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
      Number(this.#database.statement(`SELECT count(*) FROM (${sql})`).values(...ids, ...ranges, limit)[0]?.[0]);
    let rows = before ?? upTo(exactRowsMax + 1);
    if (rows > exactRowsMax)
      rows = most < exactRowsMax || hashFraction(row) * most < sampleRate ? upTo(-1) : notCounted;
    if (rowCounts !== undefined) {
      if (before === undefined) must(this.#writerCache).entries++;
      // Once they are all counted they need never be again.
      rowCounts.set(key, rows);
    }
    if (rows === notCounted) rows = most;
    counted.set(key, rows);
    return rows;
  }
}

function keyOf(row: readonly number[], columns: readonly number[]): number | string {
  return columns.length === 1 ? must(row[must(columns[0]) - 1]) : columns.map((column) => row[column - 1]).join();
}

/** One of the degrees that a row of certain kinds belongs to. */
interface RowStatistic {
  readonly place: number;
  readonly columns: string;
  readonly kinds: string;
  /** Of both. */
  readonly key: string;
  /** The columns whose values are not given by their kind. */
  readonly same: readonly number[];
  /** Whether only one row can have the same values. */
  readonly isSingle: boolean;
  /** Gives those rows that have the ids in `same` and are within these bounds, as many as its last parameter says. */
  readonly sql: string;
  readonly ranges: readonly number[];
  /** The same where the same is counted. */
  readonly counts: string;
  /** Those before it that are of at least as many rows. */
  readonly fewer: readonly number[];
}

/** Shapes are read once a transaction, and are the same for as long as a policy is active: what follows from one is kept with it. */
const statisticsByShape = new WeakMap<StatisticsShape, Map<string, RowStatistic[]>>();

function cachedRowStatistics(shape: StatisticsShape, kinds: readonly ValueKind[], table: string): RowStatistic[] {
  let made = statisticsByShape.get(shape);
  if (!made) statisticsByShape.set(shape, (made = new Map()));
  const name = `${table} ${kinds.join()}`;
  let degrees = made.get(name);
  if (!degrees) made.set(name, (degrees = rowStatisticsOf(shape, kinds, table)));
  return degrees;
}

function rowStatisticsOf(shape: StatisticsShape, kinds: readonly ValueKind[], table: string): RowStatistic[] {
  const isGiven = (column: number): boolean => typeIdOf(must(kinds[column - 1])) !== 0;
  const all = prefixesOf(shape).map((beginning) => ({ ...beginning, kinds: kindsOfPrefix(beginning, kinds) }));
  return all.map((beginning, place): RowStatistic => {
    const { columns, rest } = beginning;
    const same = columns.filter((column) => !isGiven(column));
    const conditions = same.map((column, index) => `a${column} = ?${index + 1}`);
    const ranges: number[] = [];
    for (const column of [...columns.filter(isGiven), ...rest]) {
      const kind = must(beginning.kinds[column - 1]);
      if (kind === anyKind) continue;
      const { low, high } = rangeOfKind(kind);
      const next = same.length + ranges.length + 1;
      conditions.push(low === high ? `a${column} = ?${next}` : `a${column} BETWEEN ?${next} AND ?${next + 1}`);
      ranges.push(...(low === high ? [low] : [low, high]));
    }
    const after = `LIMIT ?${same.length + ranges.length + 1}`;
    const fewer = all.flatMap((one, before) => (before < place && countsAsMany(one, beginning) ? [before] : []));
    const sql = `SELECT 1 FROM ${table} WHERE ${conditions.join(" AND ")} ${after}`;
    const named = { columns: columnsKey(columns), kinds: beginning.kinds.join() };
    return {
      place,
      ...named,
      key: `${named.columns} ${named.kinds}`,
      same,
      isSingle: kinds.every((_, index) => columns.includes(index + 1) || isGiven(index + 1)),
      sql,
      ranges,
      counts: `${sql} ${ranges.join()}`,
      fewer,
    };
  });
}

function countsAsMany(one: TypedPrefix, other: TypedPrefix): boolean {
  return (
    one.columns.every((column) => other.columns.includes(column)) &&
    one.kinds.every((kind, index) => kind === anyKind || kind === other.kinds[index])
  );
}

/** A number from 0 to 1 that rows have by chance: the same for the same row. */
function hashFraction(row: readonly number[]): number {
  let hash = 0;
  for (const id of row) hash = Math.imul(hash ^ id ^ typeIdOf(id), 0x9e37_79b1) >>> 0;
  return ((hash ^ (hash >>> 15)) >>> 0) / 0x1_0000_0000;
}
