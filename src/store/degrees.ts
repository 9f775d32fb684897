/**
 * How crowded tables are: for the columns that each order of a table begins with, the most rows with the same values in them. It bounds what a
 * join can come to before it is begun (degree constraints: Abo Khamis, Ngo and Suciu 2017, "What do Shannon-type inequalities, submodular width,
 * and disjunctive Datalog have to do with one another?"). Kept for each kind of row, since an owner of ten thousand repositories is in two teams.
 * Kept with each row in its transaction, at the cost of a look or two: few rows with the same values are counted each time, many now and then.
 */
import type { SqlDatabase } from "../runtime/sqlite.ts";
import { must } from "../util/assert.ts";
import { statement } from "./statements.ts";
import { rangeOf, typeOf } from "./symbols.ts";

/** Up to so many are counted with each row. */
const few = 128;
/** Of more, one row in `most / looked` is counted with: that they have grown by a quarter unseen is as likely as 1 in 10 million. */
const looked = 64;
const unseen = 1.25;

/** What a value is: the number of its type, or itself (ids are above all numbers of types), or `any`. */
type Kind = number;
const any: Kind = 0;

/** The ids from one to another, both included. */
interface IdRange {
  readonly low: number;
  readonly high: number;
}

export interface DegreeShape {
  /** The orders of the table's columns (numbers from 1) in which rows are found; the degrees are of what these begin with. */
  readonly orders: readonly (readonly number[])[];
  /** By column, the ids that are kinds of their own; all others are of the kind of their type. */
  readonly apart: ReadonlyMap<number, ReadonlySet<number>>;
}

/** The bounds of all tables, as the connection sees them. */
export class Degrees {
  readonly #tables = new Map<string, { rows: number; readonly degrees: Degree[] }>();

  constructor(database: SqlDatabase) {
    for (const row of statement(database, "SELECT table_name, columns, kinds, most FROM degree").values()) {
      const [table, columns, kinds] = row.map(String) as [string, string, string];
      const known = this.#tables.get(table) ?? { rows: 0, degrees: [] };
      this.#tables.set(table, known);
      const most = Number(row[3]);
      if (kinds === "bound") known.rows = most;
      else if (kinds !== "rows")
        known.degrees.push({ columns: new Set(numbersIn(columns)), kinds: numbersIn(kinds), most });
    }
  }

  /** How many rows all tables together may have. */
  get total(): number {
    return [...this.#tables.values()].reduce((sum, { rows }) => sum + rows, 0);
  }

  /** How many rows a table may have; infinite where that is not known. */
  rows(table: string): number {
    return this.#tables.get(table)?.rows ?? Number.POSITIVE_INFINITY;
  }

  /**
   * The most rows with the same values in the columns (numbers from 1, in any order). By column of the table, `within` says between which ids its
   * values are, one range or several; `undefined` where they may be any.
   */
  most(table: string, columns: readonly number[], within: readonly (readonly IdRange[] | undefined)[]): number {
    if (columns.length >= within.length) return 1;
    const known = this.#tables.get(table);
    if (!known || columns.length === 0) return this.rows(table);
    // Any set of fewer columns gives a bound; kinds of the same columns have different rows, so that their bounds add up.
    const sums = new Map<string, number>();
    const asked = new Set(columns);
    for (const { columns: same, kinds, most } of known.degrees) {
      if (!same.isSubsetOf(asked)) continue;
      const key = [...same].join();
      const meets = kinds.every(
        (kind, index) => within[index]?.some((range) => meet(rangeOfKind(kind), range)) ?? true,
      );
      sums.set(key, (sums.get(key) ?? 0) + (meets ? (most > few ? most * unseen : most) : 0));
    }
    return Math.min(known.rows, ...sums.values());
  }
}

interface Degree {
  readonly columns: ReadonlySet<number>;
  readonly kinds: readonly Kind[];
  readonly most: number;
}

/** Makes the degrees of a table be of this shape. They are counted where they can't be told from those that there are. */
export function keepDegrees(database: SqlDatabase, table: string, wanted: DegreeShape): void {
  const present = readShape(database, table);
  // Once apart, always apart: what is not asked for any more does no harm.
  const apart = new Map(
    [...new Set([...wanted.apart.keys(), ...(present?.apart.keys() ?? [])])].map((column) => [
      column,
      new Set([...(present?.apart.get(column) ?? []), ...(wanted.apart.get(column) ?? [])]),
    ]),
  );
  const { orders } = wanted;
  const isSame = present && JSON.stringify(present.orders) === JSON.stringify(orders);
  if (!isSame || [...apart].some(([column, ids]) => isAmong(database, table, column, ids, present)))
    countAll(database, table, { orders, apart });
  statement(
    database,
    "INSERT INTO degree_shape (table_name, orders, apart) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET orders = ?2, apart = ?3",
  ).run(table, JSON.stringify(orders), JSON.stringify([...apart].map(([column, ids]) => [column, [...ids]])));
  stampDegrees(database);
}

/** Whether ids that were not apart before may be among the rows that were counted by their type, or by nothing. */
function isAmong(
  database: SqlDatabase,
  table: string,
  column: number,
  ids: ReadonlySet<number>,
  { apart }: DegreeShape,
): boolean {
  const types = new Set([...ids].filter((id) => apart.get(column)?.has(id) !== true).map(typeOf));
  if (types.size === 0) return false;
  return statement(database, "SELECT DISTINCT kinds FROM degree WHERE table_name = ?1 AND columns <> '' AND most > 0")
    .values(table)
    .some(([kinds]) => types.has(must(numbersIn(String(kinds))[column - 1])));
}

/** To be called when a table has gone. */
export function dropDegrees(database: SqlDatabase, table: string): void {
  statement(database, "DELETE FROM degree WHERE table_name = ?1").run(table);
  statement(database, "DELETE FROM degree_shape WHERE table_name = ?1").run(table);
}

/** For those of tables that have lost most of their rows to be counted anew by `keepDegrees`: deletions leave them as they were. */
export function dropOutlivedDegrees(database: SqlDatabase): void {
  const sql = `SELECT b.table_name FROM degree AS b JOIN degree AS r ON r.table_name = b.table_name AND r.kinds = 'rows'
    WHERE b.kinds = 'bound' AND r.most * 4 < b.most`;
  for (const [table] of statement(database, sql).values()) dropDegrees(database, String(table));
}

/** To be called when all tables are empty. */
export function clearDegrees(database: SqlDatabase): void {
  statement(database, "UPDATE degree SET most = 0").run();
  stampDegrees(database);
}

/** What one transaction does to the degrees. */
export class DegreeChange {
  readonly #database: SqlDatabase;
  readonly #grown = new Map<string, number>();
  readonly #added = new Map<string, AddedRows>();

  constructor(database: SqlDatabase) {
    this.#database = database;
  }

  /** To be told by how many rows a table has grown. */
  grow(table: string, rows: number): void {
    this.#grown.set(table, (this.#grown.get(table) ?? 0) + rows);
  }

  /** To be told of each row that is new, with the ids in its columns. */
  look(table: string, row: readonly number[]): void {
    let added = this.#added.get(table);
    if (!added) this.#added.set(table, (added = new AddedRows(this.#database, table)));
    added.add(row);
  }

  /** To be called once after all changes. */
  finish(): void {
    let isRaised = false;
    for (const [table, grown] of this.#grown) {
      const counted = "UPDATE degree SET most = most + ?2 WHERE table_name = ?1 AND kinds = 'rows' RETURNING most";
      const rows = Number(statement(this.#database, counted).values(table, grown)[0]?.[0] ?? 0);
      // Twice as many, so that the bound stays the same for long.
      const raised = "UPDATE degree SET most = 2 * ?2 WHERE table_name = ?1 AND kinds = 'bound' AND most < ?2";
      if (statement(this.#database, raised).run(table, rows) > 0) isRaised = true;
    }
    for (const added of this.#added.values()) if (added.finish()) isRaised = true;
    if (isRaised) stampDegrees(this.#database);
  }
}

/** New rows of one table, which are looked at once all of them are there: many have the same values. */
class AddedRows {
  readonly #database: SqlDatabase;
  readonly #table: string;
  readonly #shape: DegreeShape | undefined;
  /** By the kinds of their values. */
  readonly #rows = new Map<string, { readonly kinds: readonly Kind[]; readonly rows: (readonly number[])[] }>();
  readonly #most = new Map<string, number>();
  readonly #counted = new Map<string, Map<number | string, number>>();
  #isRaised = false;

  constructor(database: SqlDatabase, table: string) {
    this.#database = database;
    this.#table = table;
    this.#shape = readShape(database, table);
  }

  add(row: readonly number[]): void {
    if (!this.#shape) return;
    const { apart } = this.#shape;
    const kinds = row.map((id, index) => kindOf(id, apart.get(index + 1)));
    const key = kinds.join();
    const known = this.#rows.get(key);
    if (known) known.rows.push(row);
    else this.#rows.set(key, { kinds, rows: [row] });
  }

  /** Whether a bound had to be raised. */
  finish(): boolean {
    for (const { kinds, rows } of this.#rows.values()) {
      const degrees = degreesOf(must(this.#shape), kinds, this.#table);
      for (const row of rows) this.#look(row, degrees);
    }
    return this.#isRaised;
  }

  #look(row: readonly number[], degrees: readonly RowDegree[]): void {
    const bounds: number[] = [];
    for (const degree of degrees) {
      const most = this.#mostOf(degree);
      // With more values the same there are no more rows.
      let rows = degree.isSingle ? 1 : Number.POSITIVE_INFINITY;
      for (const place of degree.fewer) rows = Math.min(rows, must(bounds[place]));
      if (rows > most) rows = this.#count(row, degree, most);
      bounds.push(Math.min(rows, most));
      if (rows <= most) continue;
      const raised = rows < few ? rows : Math.ceil(rows * unseen);
      this.#raise(degree, raised);
      bounds[degree.place] = raised;
    }
  }

  #mostOf({ columns, kinds, key }: RowDegree): number {
    const known = this.#most.get(key);
    if (known !== undefined) return known;
    const sql = "SELECT most FROM degree WHERE table_name = ?1 AND columns = ?2 AND kinds = ?3";
    const most = Number(statement(this.#database, sql).values(this.#table, columns, kinds)[0]?.[0] ?? 0);
    this.#most.set(key, most);
    return most;
  }

  #raise({ columns, kinds, key }: RowDegree, most: number): void {
    this.#most.set(key, most);
    putMost(this.#database, this.#table, columns, kinds, most);
    this.#isRaised = true;
  }

  /** How many rows have the same values, or `most` where they are no more, as far as is looked. */
  #count(row: readonly number[], { same, sql, ranges, counts }: RowDegree, most: number): number {
    const ids = same.map((column) => must(row[column - 1]));
    const key = ids.length === 1 ? must(ids[0]) : ids.join();
    let counted = this.#counted.get(counts);
    if (!counted) this.#counted.set(counts, (counted = new Map()));
    const known = counted.get(key);
    if (known !== undefined) return known;
    const isMore = (rows: number): boolean => statement(this.#database, sql).values(...ids, ...ranges, rows).length > 0;
    let rows = most;
    if (isMore(Math.min(most, few)) && (most < few || scattered(row) * most < looked))
      rows = Number(
        statement(this.#database, sql.replace("SELECT 1", "SELECT count(*)")).values(...ids, ...ranges, 0)[0]?.[0],
      );
    counted.set(key, rows);
    return rows;
  }
}

/** One of the degrees that a row of certain kinds belongs to. */
interface RowDegree {
  readonly place: number;
  readonly columns: string;
  readonly kinds: string;
  /** Of both. */
  readonly key: string;
  /** The columns whose values are not given by their kind. */
  readonly same: readonly number[];
  /** Whether only one row can have the same values. */
  readonly isSingle: boolean;
  /** Gives a row where more than so many, its last parameter, have the ids in `same` and are within these bounds. */
  readonly sql: string;
  readonly ranges: readonly number[];
  /** The same where the same is counted. */
  readonly counts: string;
  /** Those before it that are of at least as many rows. */
  readonly fewer: readonly number[];
}

function degreesOf(shape: DegreeShape, kinds: readonly Kind[], table: string): RowDegree[] {
  const isGiven = (column: number): boolean => typeOf(must(kinds[column - 1])) !== 0;
  const all = beginnings(shape).map((beginning) => ({ ...beginning, kinds: kindsAlong(beginning, kinds) }));
  return all.map((beginning, place): RowDegree => {
    const { columns, rest } = beginning;
    const same = columns.filter((column) => !isGiven(column));
    const conditions = same.map((column, index) => `a${column} = ?${index + 1}`);
    const ranges: number[] = [];
    for (const column of [...columns.filter(isGiven), ...rest]) {
      const kind = must(beginning.kinds[column - 1]);
      if (kind === any) continue;
      const { low, high } = rangeOfKind(kind);
      const next = same.length + ranges.length + 1;
      conditions.push(low === high ? `a${column} = ?${next}` : `a${column} BETWEEN ?${next} AND ?${next + 1}`);
      ranges.push(...(low === high ? [low] : [low, high]));
    }
    const after = `LIMIT 1 OFFSET ?${same.length + ranges.length + 1}`;
    const fewer = all.flatMap((one, before) => (before < place && countsAsMany(one, beginning) ? [before] : []));
    const sql = `SELECT 1 FROM ${table} WHERE ${conditions.join(" AND ")} ${after}`;
    const named = { columns: nameOf(columns), kinds: beginning.kinds.join() };
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

/** Columns that an order begins with, and those that come after them. */
interface Beginning {
  readonly columns: readonly number[];
  readonly rest: readonly number[];
}

interface KindBeginning extends Beginning {
  readonly kinds: readonly Kind[];
}

/** Of any order, the fewest columns first; neither none of them nor all, and the same ones once. */
function beginnings({ orders }: DegreeShape): Beginning[] {
  const all = orders.flatMap((order) =>
    order.slice(1).map((_, index) => ({ columns: order.slice(0, index + 1), rest: order.slice(index + 1) })),
  );
  const distinct = new Map(all.map((beginning) => [nameOf(beginning.columns), beginning]));
  return [...distinct.values()].sort((left, right) => left.columns.length - right.columns.length);
}

/** As far as the order finds rows of these kinds in one place: up to the first column after the beginning of which only the type is known. */
function kindsAlong({ columns, rest }: Beginning, kinds: readonly Kind[]): Kind[] {
  const last = rest.findIndex((column) => typeOf(must(kinds[column - 1])) === 0);
  const told = new Set([...columns, ...(last < 0 ? rest : rest.slice(0, last + 1))]);
  return kinds.map((kind, index) => (told.has(index + 1) ? kind : any));
}

function countsAsMany(one: KindBeginning, other: KindBeginning): boolean {
  return (
    one.columns.every((column) => other.columns.includes(column)) &&
    one.kinds.every((kind, index) => kind === any || kind === other.kinds[index])
  );
}

/** Makes every bound be computed anew, on all connections, from the commit of the present transaction on. */
function stampDegrees(database: SqlDatabase): void {
  // By chance, not by counting: a number that was rolled back must not come again.
  statement(database, "UPDATE state SET degree_stamp = 1 + abs(random() % 9007199254740990)").run();
}

function putMost(database: SqlDatabase, table: string, columns: string, kinds: string, most: number): void {
  statement(
    database,
    "INSERT INTO degree (table_name, columns, kinds, most) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET most = ?4",
  ).run(table, columns, kinds, most);
}

function readShape(database: SqlDatabase, table: string): DegreeShape | undefined {
  const [row] = statement(database, "SELECT orders, apart FROM degree_shape WHERE table_name = ?1").values(table);
  if (!row) return undefined;
  const apart = JSON.parse(String(row[1])) as [number, number[]][];
  return {
    orders: JSON.parse(String(row[0])) as number[][],
    apart: new Map(apart.map(([column, ids]) => [column, new Set(ids)])),
  };
}

function countAll(database: SqlDatabase, table: string, shape: DegreeShape): void {
  statement(database, "DELETE FROM degree WHERE table_name = ?1").run(table);
  const count = (sql: string) => database.prepare(sql).values();
  const rows = Number(count(`SELECT count(*) FROM ${table}`)[0]?.[0]);
  putMost(database, table, "", "rows", rows);
  putMost(database, table, "", "bound", 2 * rows);
  const names = must(shape.orders[0]).map((_, index) => `a${index + 1}`);
  const kinds = names.map((name, index) => {
    const ids = [...(shape.apart.get(index + 1) ?? [])];
    const type = `(${name} >> 32)`;
    return ids.length === 0 ? type : `iif(${name} IN (${ids.join(", ")}), ${name}, ${type})`;
  });
  const present = count(`SELECT DISTINCT ${kinds.join(", ")} FROM ${table}`).map((row) => row.map(Number));
  for (const beginning of beginnings(shape)) {
    const same = beginning.columns.map((column) => `a${column}`).join(", ");
    const along = new Map(present.map((row) => kindsAlong(beginning, row)).map((found) => [found.join(), found]));
    for (const [name, found] of along) {
      const conditions = found.flatMap((kind, index) => (kind === any ? [] : [`${must(kinds[index])} = ${kind}`]));
      const groups = `SELECT count(*) AS n FROM ${table} WHERE ${conditions.join(" AND ")} GROUP BY ${same}`;
      putMost(
        database,
        table,
        nameOf(beginning.columns),
        name,
        Number(count(`SELECT max(n) FROM (${groups})`)[0]?.[0]),
      );
    }
  }
}

function kindOf(id: number, apart: ReadonlySet<number> | undefined): Kind {
  return apart?.has(id) ? id : typeOf(id);
}

function rangeOfKind(kind: Kind): IdRange {
  if (kind === any) return { low: 0, high: Number.POSITIVE_INFINITY };
  return typeOf(kind) === 0 ? rangeOf(kind) : { low: kind, high: kind };
}

function meet(left: IdRange, right: IdRange): boolean {
  return left.low <= right.high && right.low <= left.high;
}

/** Whichever order they come in: the same columns have the same degree. */
function nameOf(columns: readonly number[]): string {
  return [...columns].sort((left, right) => left - right).join();
}

function numbersIn(text: string): number[] {
  return text.split(",").map(Number);
}

/** A number from 0 to 1 that rows have by chance: the same for the same row, so that copies of a history are equal. */
function scattered(row: readonly number[]): number {
  let hash = 0;
  for (const id of row) hash = Math.imul(hash ^ id ^ typeOf(id), 0x9e37_79b1) >>> 0;
  return ((hash ^ (hash >>> 15)) >>> 0) / 0x1_0000_0000;
}
