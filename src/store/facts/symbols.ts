/**
 * Symbols: interned values. The high bits of a symbol are its type id, so "is a User" is a range condition and all
 * indexes consist of integers. Symbols stay below 2^53 (2^20 types with 2^32 values each) and are never reused. They
 * belong to one file and never leave it.
 */
import type { Connection, WriterCache } from "../connection/connection.ts";
import { AppError } from "../../util/app-error.ts";
import type { Value } from "./fact.ts";
import * as schema from "../connection/schema.ts";

const valuesPerType = 2 ** 32;
const typesMax = 2 ** 20 - 1;

/** The end of each type's range is never stored. A request numbers the values there that the store does not have. */
export const reservedPerType = 2 ** 16;

/** The symbol of a value; undefined if the store does not have it. */
export function findSymbol(database: Connection, value: Value): number | undefined {
  const cache = database.writerCache;
  const known = cache?.symbols.get(value.type)?.get(value.id);
  if (known !== undefined) return known ?? undefined;
  const sql = "SELECT id FROM symbol WHERE type = (SELECT id FROM type WHERE name = ?1) AND value = ?2";
  const found = database.statement(sql).values(value.type, value.id)[0]?.[0];
  const id = found === undefined ? undefined : Number(found);
  if (cache) cacheSymbol(cache, value, id ?? null);
  return id;
}

/** The symbol of a value. Adds a new value. */
export function intern(database: Connection, value: Value): number {
  const known = findSymbol(database, value);
  if (known !== undefined) return known;
  const type = internType(database, value.type);
  const { low, high } = symbolRange(type);
  const cache = database.writerCache;
  const id = (cache?.lastIds.get(type) ?? lastIdOf(database, low, high)) + 1;
  if (id > high - reservedPerType) throw new AppError("internal", `type \`${value.type}\` cannot hold more values`);
  database.statement("INSERT INTO symbol (id, type, value) VALUES (?1, ?2, ?3)").run(id, type, value.id);
  if (cache) {
    cacheSymbol(cache, value, id);
    cache.lastIds.set(type, id);
  }
  return id;
}

function lastIdOf(database: Connection, low: number, high: number): number {
  const last = database.statement("SELECT MAX(id) FROM symbol WHERE id BETWEEN ?1 AND ?2").values(low, high)[0]?.[0];
  return last === null || last === undefined ? low : Number(last);
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
  database.orm
    .insert(schema.type)
    .values({ id: last + 1, name })
    .run();
  return last + 1;
}

/** The id of the newest type; 0 before the first one. Types are never removed. */
export function lastTypeId(database: Connection): number {
  return Number(database.statement("SELECT COALESCE(MAX(id), 0) FROM type").values()[0]?.[0]);
}

export function findTypeId(database: Connection, name: string): number | undefined {
  const types = database.writerCache?.types;
  const known = types?.get(name);
  if (known !== undefined) return known;
  const found = database.statement("SELECT id FROM type WHERE name = ?1").values(name)[0]?.[0];
  if (found === undefined) return undefined;
  types?.set(name, Number(found));
  return Number(found);
}

/** The symbols that values of a type can have. The first one is never used. */
export function symbolRange(type: number): { readonly low: number; readonly high: number } {
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

/**
 * The symbol of a value that only the request has: the same one for the same `ordinal`, and never one of a stored
 * value.
 */
export function requestSymbol(type: number, ordinal: number): number {
  return symbolRange(type).high - unnamedPerType - ordinal;
}
