/**
 * Symbols: interned values. The high bits are the type id, so "is a User" is a range condition and all indexes consist
 * of integers. Symbols stay below 2^53 (2^20 types with 2^32 values each), are never reused, and never leave their file.
 */
import type { Connection, WriterCache } from "../connection/connection.ts";
import { AppError } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";
import { warmUpSymbolsPerStep } from "../../util/tuning.ts";
import type { Value } from "./fact.ts";

const valuesPerType = 2 ** 32;
const typesMax = 2 ** 20 - 1;

/** The end of each type's range is never stored. A request numbers the values there that the store does not have. */
const reservedPerType = 2 ** 16;

/** The symbol of a value; undefined if the store does not have it. */
export function findSymbol(database: Connection, value: Value): number | undefined {
  const cache = database.writerCache;
  const known = cache?.symbols.get(value.type)?.get(value.id);
  if (known !== undefined) return known ?? undefined;
  const sql = "SELECT id FROM symbol WHERE type = (SELECT id FROM type WHERE name = ?1) AND value = ?2";
  const id = database.number(sql, value.type, value.id);
  if (cache) cacheSymbol(cache, value, id ?? null);
  return id;
}

/**
 * The symbol of a string of the given type, through the symbol cache; undefined if the store does not have it. A symbol
 * belongs to its value for ever, unless the transaction that interned it is rolled back.
 */
export function findSymbolOfType(database: Connection, type: number, text: string): number | undefined {
  const ordinals = database.symbolCache;
  const ordinal = ordinals.find(type, text);
  if (ordinal !== undefined) return symbolRange(type).low + ordinal;
  const found = database.number("SELECT id FROM symbol WHERE type = ?1 AND value = ?2", type, text);
  if (found !== undefined) ordinals.add(type, text, ordinalOf(found));
  return found;
}

/** Reads symbols into the cache until it is full or has all that it can hold, some at each step. */
export function* warmUpSymbolCache(database: Connection): Generator<undefined, void> {
  const sql = `SELECT id, value FROM symbol WHERE id > ?1 ORDER BY id LIMIT ${warmUpSymbolsPerStep}`;
  const select = database.prepare(sql);
  let last = 0;
  for (;;) {
    const ordinals = database.symbolCache;
    const rows = select.values(last);
    for (const [id, value] of rows) {
      if (ordinals.isFull) return;
      last = Number(id);
      const [type, text] = [typeIdOf(last), String(value)];
      if (ordinals.find(type, text) === undefined) ordinals.add(type, text, ordinalOf(last));
    }
    if (rows.length < warmUpSymbolsPerStep) return;
    yield;
  }
}

/** The symbol of a value. Adds a new value. */
export function intern(database: Connection, value: Value): number {
  const known = findSymbol(database, value);
  if (known !== undefined) return known;
  const type = internType(database, value.type);
  const { low, high } = symbolRange(type);
  const cache = database.writerCache;
  const sql = "SELECT coalesce(max(id), ?1) FROM symbol WHERE id BETWEEN ?1 AND ?2";
  const id = (cache?.lastIds.get(type) ?? must(database.number(sql, low, high))) + 1;
  if (id > high - reservedPerType) throw new AppError("internal", `type \`${value.type}\` cannot hold more values`);
  database.statement("INSERT INTO symbol (id, type, value) VALUES (?1, ?2, ?3)").run(id, type, value.id);
  if (cache) {
    cacheSymbol(cache, value, id);
    cache.lastIds.set(type, id);
  }
  return id;
}

function cacheSymbol(cache: WriterCache, { type, id: value }: Value, id: number | null): void {
  let values = cache.symbols.get(type);
  if (!values) cache.symbols.set(type, (values = new Map()));
  values.set(value, id);
  cache.entries++;
}

/** The id of a type. Adds a new type. */
export function internType(database: Connection, name: string): number {
  const known = findTypeId(database, name);
  if (known !== undefined) return known;
  const last = lastTypeId(database);
  if (last >= typesMax) throw new AppError("invalid_request", `more than ${typesMax} types`);
  database.statement("INSERT INTO type (id, name) VALUES (?1, ?2)").run(last + 1, name);
  return last + 1;
}

/** The id of the newest type; 0 before the first one. Types are never removed. */
export function lastTypeId(database: Connection): number {
  return database.number("SELECT MAX(id) FROM type") ?? 0;
}

/** The names of all types of stored values. */
export function allTypes(database: Connection): string[] {
  return database
    .statement("SELECT name FROM type")
    .values()
    .map(([name]) => String(name));
}

export function findTypeId(database: Connection, name: string): number | undefined {
  const types = database.writerCache?.types;
  const known = types?.get(name);
  if (known !== undefined) return known;
  const found = database.number("SELECT id FROM type WHERE name = ?1", name);
  if (found !== undefined) types?.set(name, found);
  return found;
}

/** A range of symbols, both ends included. */
export interface SymbolRange {
  readonly low: number;
  readonly high: number;
}

/** The symbols that values of a type can have. The first one is never used. */
export function symbolRange(type: number): SymbolRange {
  return { low: type * valuesPerType, high: (type + 1) * valuesPerType - 1 };
}

/** The type id of a symbol. */
export function typeIdOf(id: number): number {
  return Math.floor(id / valuesPerType);
}

/** The ordinal of a symbol within its type. Stored symbols are numbered from 1 without gaps. */
export function ordinalOf(id: number): number {
  return id - typeIdOf(id) * valuesPerType;
}

/** The first of the type ids that are never stored. A request numbers the types there that the store does not have. */
export const firstTemporaryTypeId = typesMax + 1;

/** The last symbols of each type's range. They stand for values that neither the store nor the request names. */
export const unnamedPerType = 64;

/** The symbol of a value that only the request has, by its `ordinal`. No stored value has it. */
export function requestSymbol(type: number, ordinal: number): number {
  return symbolRange(type).high - unnamedPerType - ordinal;
}
