/**
 * A walk over one fact table in the order of a list of its columns, in pages: each page begins after the last fact of the
 * page before (keyset pagination), reads with an index, and examines a bounded number of rows, so it may be shorter than
 * wanted, or empty, although more facts follow. The order depends only on the texts of the facts, so that a walk can be
 * continued on every node, whatever symbols it has given to the values.
 *
 * Rows are stored in the order of their symbols, not of their texts. So a part of a table with few rows is sorted as a
 * whole. A larger part is divided by the next type or id, and those are read in the order of their texts, which have an
 * index.
 */
import type { SqlStatement, SqlValue } from "../../runtime/sqlite.ts";
import { must } from "../../util/assert.ts";
import type { Connection } from "../connection/connection.ts";
import type { Fact, Value } from "./fact.ts";
import { findTypeId, symbolRange, type SymbolRange } from "./symbols.ts";

/** A type, or with an id one value. */
export interface ValueFilter {
  readonly type: string;
  readonly id: string | null;
}

export interface FactWalk {
  readonly table: string;
  readonly predicate: string;
  readonly arity: number;
  /** Column numbers from 0. Facts are in the order of the texts of the first one, then of the second one, and so on. */
  readonly order: readonly number[];
  /** The index with this order; null for the primary key. */
  readonly index: string | null;
  /** What each column has to be; null or missing for everything. */
  readonly filters: readonly (FoundFilter | null)[];
  /** At least one of these columns has to be in the range. */
  readonly anyOf: ColumnsInRange | null;
  /** None of these columns may be in the range. */
  readonly noneOf: ColumnsInRange | null;
}

export interface FoundFilter extends ValueFilter {
  readonly range: SymbolRange;
}

export interface ColumnsInRange {
  readonly columns: readonly number[];
  readonly range: SymbolRange;
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

/** The part of a walk whose texts begin with `texts`: type and id of the first column of the order, and so on. */
interface Region {
  readonly walk: FactWalk;
  readonly texts: readonly string[];
  /** The symbols of the leading columns. The last is a range if the texts end with a type. */
  readonly ranges: readonly SymbolRange[];
}

/** The next types or ids after one, by the order of their texts. */
interface Batch {
  readonly sql: string;
  readonly parameters: readonly SqlValue[];
}

/** Collects the facts of one page from one or several walks. The caller has begun a transaction, and closes it. */
export class FactWalker {
  readonly #database: Connection;
  readonly #bounds: FactPageBounds;
  readonly #statements = new Map<string, SqlStatement>();
  readonly #facts: Fact[] = [];
  #bytes = 0;
  #examined = 0;
  #hasAdvanced = false;
  #reached: readonly string[] | undefined;

  constructor(database: Connection, bounds: FactPageBounds) {
    this.#database = database;
    this.#bounds = bounds;
  }

  get facts(): readonly Fact[] {
    return this.#facts;
  }

  /** The texts up to which the last walk was read; an empty list behind its end, undefined before its first fact. */
  get reached(): readonly string[] | undefined {
    return this.#reached;
  }

  /** Whether the page has to end. Each page advances, so that a reader reaches the end. */
  get isSpent(): boolean {
    return this.#hasAdvanced && this.#examined >= this.#bounds.examinedMax;
  }

  close(): void {
    for (const statement of this.#statements.values()) statement.finalize();
  }

  /** Adds the facts of a walk behind the texts `after`. Returns false if the page ended before the walk did. */
  walk(walk: FactWalk, after: readonly string[] | undefined): boolean {
    this.#reached = after;
    const isWhole = this.#readRegion({ walk, texts: [], ranges: [] }, after);
    if (isWhole) this.#advance([]);
    return isWhole;
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
      this.#advance([...region.texts, begun]);
    }
    return this.#readChildren(region, begun);
  }

  /** The text at the next level that the filter asks for. */
  #givenText({ walk, texts }: Region): string | null {
    const column = walk.order[texts.length >> 1];
    const filter = column === undefined ? undefined : walk.filters[column];
    return (texts.length % 2 === 0 ? filter?.type : filter?.id) ?? null;
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
      if (this.isSpent) return false;
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
      this.#advance([...region.texts, name]);
      const wanted = factsMax - this.#facts.length + 1;
      const fitting = rows === 0 ? Infinity : Math.ceil((names * wanted) / rows);
      size = Math.min(Math.max(fitting, 1), 4 * names, batchSizeMax);
    }
  }

  /** The rows of a region, at most one more than are sorted. Only ranges count that the index finds. */
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
    const { arity, predicate, order, filters, anyOf, noneOf } = region.walk;
    const source = sourceOf(region, batch);
    const [conditions, parameters] = [[...source.conditions], [...source.parameters]];
    const add = (condition: string, ranges: readonly SymbolRange[]): void => {
      conditions.push(condition);
      for (const { low, high } of ranges) parameters.push(low, high);
    };
    for (const [column, filter] of filters.entries()) if (filter !== null) add(within(column), [filter.range]);
    if (anyOf !== null)
      add(
        `(${anyOf.columns.map(within).join(" OR ")})`,
        anyOf.columns.map(() => anyOf.range),
      );
    for (const column of noneOf?.columns ?? []) add(`NOT ${within(column)}`, [must(noneOf).range]);
    const texts = order.flatMap((column) => [`y${column}.name`, `s${column}.value`]);
    if (after !== undefined) {
      conditions.push(`(${texts.slice(0, after.length).join(", ")}) > (${after.map(() => "?").join(", ")})`);
      parameters.push(...after);
    }
    const joins = order.map(
      (column) =>
        `CROSS JOIN symbol s${column} ON s${column}.id = t.a${column + 1} CROSS JOIN type y${column} ON y${column}.id = s${column}.type`,
    );
    const where = conditions.length > 0 ? `WHERE ${conditions.join(" AND ")}` : "";
    const sql = `SELECT ${texts.join(", ")} FROM ${source.from} ${joins.join(" ")} ${where} ORDER BY ${texts.join(", ")} LIMIT ?`;
    // One more than fits, which tells whether this is the last page.
    parameters.push(this.#bounds.factsMax - this.#facts.length + 1);
    for (const row of this.#statement(sql).values(...parameters)) {
      const found = row.map(String);
      const args = new Array<Value>(arity);
      for (const [position, column] of order.entries())
        args[column] = { type: must(found[2 * position]), id: must(found[2 * position + 1]) };
      if (!this.#add({ predicate, args })) return false;
      this.#advance(found);
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

  #advance(texts: readonly string[]): void {
    this.#hasAdvanced = true;
    this.#reached = texts;
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

function sourceOf({ walk, texts, ranges }: Region, batch: Batch | undefined): RowSource {
  const { table, order, index } = walk;
  const fixed = batch !== undefined && texts.length % 2 === 1 ? ranges.slice(0, -1) : ranges;
  // An index finds a range only after equal columns.
  const conditions = fixed.map((range, position) => {
    const column = must(order[position]);
    return isOne(range) ? `t.a${column + 1} = ?` : within(column);
  });
  const parameters = fixed.flatMap((range) => (isOne(range) ? [range.low] : [range.low, range.high]));
  const rows = index === null ? `${table} t` : `${table} t INDEXED BY ${index}`;
  if (batch === undefined) return { from: rows, conditions, parameters };
  const column = `t.a${must(order[fixed.length]) + 1}`;
  const isType = texts.length % 2 === 0;
  return {
    // The batch is the outer loop of the join.
    from: `(${batch.sql}) b CROSS JOIN ${rows}`,
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

/** The condition that a column is in a range, whose ends are the next two parameters. */
function within(column: number): string {
  return `t.a${column + 1} BETWEEN ? AND ?`;
}

function isOne({ low, high }: SymbolRange): boolean {
  return low === high;
}

/** The symbols of a type or a value; undefined if the store has none. */
export function rangeOf(database: Connection, { type, id }: ValueFilter): SymbolRange | undefined {
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
