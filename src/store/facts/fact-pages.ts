/**
 * Reads facts in pages, in an order that only the facts decide: by predicate, number of arguments, and then the type and
 * id of each argument. So a page can be continued on every node, whatever symbols it has given to the values. Each page
 * begins after the last fact of the page before (keyset pagination) and examines a bounded number of rows, so it may be
 * shorter than wanted, or empty, although more facts follow.
 *
 * Rows are stored in the order of their symbols, not of their texts. So a part of a table with few rows is sorted as a
 * whole. A larger part is divided by the next type or id, and those are read in the order of their texts, which have an
 * index.
 */
import type { SqlStatement, SqlValue } from "../../runtime/sqlite.ts";
import { must } from "../../util/assert.ts";
import type { Connection } from "../connection/connection.ts";
import type { Fact, Value } from "./fact.ts";
import { tableOf } from "./fact-tables.ts";
import { findTypeId, symbolRange, type SymbolRange } from "./symbols.ts";

/** A type, or with an id one value. */
export interface ValueFilter {
  readonly type: string;
  readonly id: string | null;
}

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

export interface FactPageBounds {
  readonly factsMax: number;
  /** Of the facts as JSON. A single larger fact is a page of its own. */
  readonly bytesMax: number;
  /** The page ends after it has examined about so many rows and names. */
  readonly examinedMax: number;
  /** A part of a table with at most so many rows is sorted as a whole. */
  readonly sortedMax: number;
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
  const args = filter.args.map((arg) => arg && rangeOf(database, arg));
  const contains = filter.contains && rangeOf(database, filter.contains);
  if (args.includes(undefined) || contains === undefined) return { facts: [], next: null };
  const reader = new PageReader(database, { ...filter, ranges: args.map((range) => range ?? null), contains }, bounds);
  try {
    return reader.read(after);
  } finally {
    reader.close();
  }
}

interface Filter extends Pick<FactFilter, "predicate" | "args"> {
  readonly ranges: readonly (SymbolRange | null)[];
  readonly contains: SymbolRange | null;
}

/** The facts of one table whose texts begin with `texts`. */
interface Region {
  readonly table: string;
  readonly predicate: string;
  readonly arity: number;
  readonly texts: readonly string[];
  /** The symbols of the leading columns. The last is a range if the texts end with a type. */
  readonly ranges: readonly SymbolRange[];
}

/** The next types or ids after one, by the order of their texts. */
interface Batch {
  readonly sql: string;
  readonly parameters: readonly SqlValue[];
}

class PageReader {
  readonly #database: Connection;
  readonly #filter: Filter;
  readonly #bounds: FactPageBounds;
  readonly #statements = new Map<string, SqlStatement>();
  readonly #facts: Fact[] = [];
  #bytes = 0;
  #examined = 0;
  /** Up to where everything was read. */
  #position: FactPosition | undefined;
  #hasAdvanced = false;

  constructor(database: Connection, filter: Filter, bounds: FactPageBounds) {
    this.#database = database;
    this.#filter = filter;
    this.#bounds = bounds;
  }

  read(after: FactPosition | undefined): FactPage {
    this.#position = after;
    const isWhole = this.#readTables(after);
    return { facts: this.#facts, next: isWhole ? null : must(this.#position) };
  }

  close(): void {
    for (const statement of this.#statements.values()) statement.finalize();
  }

  /** Returns false if the page ended before the last table. So do the methods below for their part. */
  #readTables(after: FactPosition | undefined): boolean {
    for (let position = after; ;) {
      const region = this.#nextTable(position);
      if (region === undefined) return true;
      if (this.#isSpent) return false;
      const { predicate, arity } = region;
      const isBegun = position?.predicate === predicate && position.arity === arity;
      if (!this.#readRegion(region, isBegun ? position?.texts : undefined)) return false;
      position = this.#advance(region, []);
    }
  }

  #nextTable(after: FactPosition | undefined): Region | undefined {
    const { predicate, args } = this.#filter;
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
    const [row] = this.#statement(sql).values(...parameters);
    if (row === undefined) return undefined;
    return { table: tableOf(Number(row[0])), predicate: String(row[1]), arity: Number(row[2]), texts: [], ranges: [] };
  }

  /** Reads a region, or what follows `after` in it, whose texts begin with those of the region and have more. */
  #readRegion(region: Region, after: readonly string[] | undefined): boolean {
    const level = region.texts.length;
    const given = this.#givenText(region);
    if (given !== null) return this.#readChild(region, given, after);
    if (this.#count(region) <= this.#bounds.sortedMax) return this.#emit(region, after);
    const begun = after?.[level];
    if (begun !== undefined && after !== undefined && after.length > level + 1) {
      if (!this.#readChild(region, begun, after)) return false;
      this.#advance(region, [...region.texts, begun]);
    }
    return this.#readChildren(region, begun);
  }

  /** The text at the next level that the filter asks for. */
  #givenText({ arity, texts }: Region): string | null {
    const column = texts.length >> 1;
    const arg = column < arity ? this.#filter.args[column] : undefined;
    return (texts.length % 2 === 0 ? arg?.type : arg?.id) ?? null;
  }

  #readChild(region: Region, text: string, after: readonly string[] | undefined): boolean {
    const level = region.texts.length;
    const order = after === undefined ? -1 : compareTexts(must(after[level]), text);
    if (order > 0 || (order === 0 && after?.length === level + 1)) return true;
    const child = this.#childOf(region, text);
    return child === undefined || this.#readRegion(child, order === 0 ? after : undefined);
  }

  /** Reads the parts of a region one after another, as many at a time as have few rows together. */
  #readChildren(region: Region, after: string | undefined): boolean {
    const { factsMax, sortedMax } = this.#bounds;
    let [last, size] = [after, firstBatchSize];
    for (;;) {
      if (this.#isSpent) return false;
      const batch = batchOf(region, last, size);
      const select = `SELECT count(*), max(name) FROM (${batch.sql})`;
      const [found, end] = must(this.#statement(select).values(...batch.parameters)[0]);
      const [names, name] = [Number(found), String(end)];
      if (names === 0) return true;
      this.#examined += names;
      const rows = this.#count(region, batch);
      if (rows > sortedMax && names > 1) {
        size = Math.max(1, names >> 2);
        continue;
      }
      if (rows > sortedMax) {
        if (!this.#readRegion(must(this.#childOf(region, name)), undefined)) return false;
      } else if (rows > 0 && !this.#emit(region, undefined, batch)) return false;
      last = name;
      this.#advance(region, [...region.texts, name]);
      const wanted = factsMax - this.#facts.length + 1;
      const fitting = rows === 0 ? Infinity : Math.ceil((names * wanted) / rows);
      size = Math.min(Math.max(fitting, 1), 4 * names, batchSizeMax);
    }
  }

  /** The rows of a region, at most one more than are sorted. Only ranges count that the primary key finds. */
  #count(region: Region, batch?: Batch): number {
    const { from, conditions, parameters } = sourceOf(region, batch);
    const where = conditions.length > 0 ? `WHERE ${conditions.join(" AND ")}` : "";
    const sql = `SELECT count(*) FROM (SELECT 1 FROM ${from} ${where} LIMIT ?)`;
    const rows = Number(this.#statement(sql).values(...parameters, this.#bounds.sortedMax + 1)[0]?.[0]);
    this.#examined += rows + 1;
    return rows;
  }

  /** Adds the matching facts of a region with few rows. */
  #emit(region: Region, after: readonly string[] | undefined, batch?: Batch): boolean {
    const { arity, predicate } = region;
    const columns = Array.from({ length: arity }, (_, index) => index);
    const source = sourceOf(region, batch);
    const [conditions, parameters] = [[...source.conditions], [...source.parameters]];
    for (const [index, range] of this.#filter.ranges.entries()) {
      if (range === null) continue;
      conditions.push(`t.a${index + 1} BETWEEN ? AND ?`);
      parameters.push(range.low, range.high);
    }
    const { contains } = this.#filter;
    if (contains !== null) {
      conditions.push(`(${columns.map((index) => `t.a${index + 1} BETWEEN ? AND ?`).join(" OR ")})`);
      for (const _ of columns) parameters.push(contains.low, contains.high);
    }
    const texts = columns.flatMap((index) => [`y${index}.name`, `s${index}.value`]);
    if (after !== undefined) {
      conditions.push(`(${texts.slice(0, after.length).join(", ")}) > (${after.map(() => "?").join(", ")})`);
      parameters.push(...after);
    }
    const joins = columns.map(
      (index) =>
        `CROSS JOIN symbol s${index} ON s${index}.id = t.a${index + 1} CROSS JOIN type y${index} ON y${index}.id = s${index}.type`,
    );
    const where = conditions.length > 0 ? `WHERE ${conditions.join(" AND ")}` : "";
    const sql = `SELECT ${texts.join(", ")} FROM ${source.from} ${joins.join(" ")} ${where} ORDER BY ${texts.join(", ")} LIMIT ?`;
    // One more than fits, which tells whether this is the last page.
    parameters.push(this.#bounds.factsMax - this.#facts.length + 1);
    for (const row of this.#statement(sql).values(...parameters)) {
      const found = row.map(String);
      const args = columns.map((index): Value => ({ type: must(found[2 * index]), id: must(found[2 * index + 1]) }));
      if (!this.#add({ predicate, args })) return false;
      this.#advance(region, found);
    }
    return true;
  }

  #add(fact: Fact): boolean {
    const { factsMax, bytesMax } = this.#bounds;
    const bytes = Buffer.byteLength(JSON.stringify(fact)) + 1;
    const isFull = this.#facts.length >= factsMax || this.#bytes + bytes > bytesMax;
    if (isFull && this.#facts.length > 0) return false;
    this.#facts.push(fact);
    this.#bytes += bytes;
    return true;
  }

  #childOf(region: Region, text: string): Region | undefined {
    const texts = [...region.texts, text];
    if (region.texts.length % 2 === 0) {
      const type = findTypeId(this.#database, text);
      return type === undefined ? undefined : { ...region, texts, ranges: [...region.ranges, symbolRange(type)] };
    }
    const range = rangeOf(this.#database, { type: must(region.texts.at(-1)), id: text });
    return range && { ...region, texts, ranges: [...region.ranges.slice(0, -1), range] };
  }

  #advance({ predicate, arity }: Region, texts: readonly string[]): FactPosition {
    this.#hasAdvanced = true;
    return (this.#position = { predicate, arity, texts });
  }

  /** Each page advances, so that a reader reaches the end. */
  get #isSpent(): boolean {
    return this.#hasAdvanced && this.#examined >= this.#bounds.examinedMax;
  }

  /** Not a statement of the connection: the texts depend on tables and filters. */
  #statement(sql: string): SqlStatement {
    return this.#statements.getOrInsertComputed(sql, () => this.#database.prepare(sql));
  }
}

const firstBatchSize = 32;

const batchSizeMax = 4096;

interface RowSource {
  readonly from: string;
  readonly conditions: readonly string[];
  readonly parameters: readonly SqlValue[];
}

function sourceOf({ table, texts, ranges }: Region, batch: Batch | undefined): RowSource {
  const fixed = batch !== undefined && texts.length % 2 === 1 ? ranges.slice(0, -1) : ranges;
  // The primary key finds a range only after equal columns.
  const conditions = fixed.map((range, index) =>
    isOne(range) ? `t.a${index + 1} = ?` : `t.a${index + 1} BETWEEN ? AND ?`,
  );
  const parameters = fixed.flatMap((range) => (isOne(range) ? [range.low] : [range.low, range.high]));
  if (batch === undefined) return { from: `${table} t`, conditions, parameters };
  const column = `t.a${fixed.length + 1}`;
  const isType = texts.length % 2 === 0;
  return {
    // The batch is the outer loop of the join.
    from: `(${batch.sql}) b CROSS JOIN ${table} t`,
    conditions: [...conditions, isType ? `${column} BETWEEN b.low AND b.high` : `${column} = b.low`],
    parameters: [...batch.parameters, ...parameters],
  };
}

/** The next `size` types or ids of a region after `last`. */
function batchOf({ texts, ranges }: Region, last: string | undefined, size: number): Batch {
  const operator = last === undefined ? ">=" : ">";
  if (texts.length % 2 === 0) {
    const sql = `SELECT name, id << 32 AS low, ((id + 1) << 32) - 1 AS high FROM type WHERE name ${operator} ? ORDER BY name LIMIT ?`;
    return { sql, parameters: [last ?? "", size] };
  }
  const { low } = must(ranges.at(-1));
  const sql = `SELECT value AS name, id AS low FROM symbol WHERE type = ? >> 32 AND value ${operator} ? ORDER BY value LIMIT ?`;
  return { sql, parameters: [low, last ?? "", size] };
}

function isOne({ low, high }: SymbolRange): boolean {
  return low === high;
}

/** The symbols of a type or a value; undefined if the store has none. */
function rangeOf(database: Connection, { type, id }: ValueFilter): SymbolRange | undefined {
  const typeId = findTypeId(database, type);
  if (typeId === undefined) return undefined;
  if (id === null) return symbolRange(typeId);
  const symbol = database.number("SELECT id FROM symbol WHERE type = ?1 AND value = ?2", typeId, id);
  return symbol === undefined ? undefined : { low: symbol, high: symbol };
}

/** The order of SQLite. */
function compareTexts(left: string, right: string): number {
  return Buffer.compare(Buffer.from(left), Buffer.from(right));
}
