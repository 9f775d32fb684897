/**
 * Interned values. `symbol(id, type, value)`: the type sits in an id's high bits, so that "is a User" is a range test and every index is made
 * of integers. Ids stay below 2^53 (2^20 types, 2^32 values of each) and are never given twice; they belong to one file and never leave it.
 */
import type { Connection } from "../connection/connection.ts";
import { AppError } from "../../util/app-error.ts";
import type { WriterCache } from "../connection/writer-cache.ts";
import type { Value } from "./fact.ts";
import * as schema from "../connection/schema.ts";

const valuesPerType = 2 ** 32;
const typesMax = 2 ** 20 - 1;

/** The number of values at the end of each type's range that are never stored: a request numbers values there that the store lacks. */
export const reservedPerType = 2 ** 16;

/** The interned id of a value, `undefined` where the store does not have it. */
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

/** The interned id of a value, which is added where it is new. */
export function intern(database: Connection, value: Value): number {
  const known = findSymbol(database, value);
  if (known !== undefined) return known;
  const type = internType(database, value.type);
  const { low, high } = symbolRange(type);
  const cache = database.writerCache;
  const id = (cache?.lastIds.get(type) ?? lastIdOf(database, low, high)) + 1;
  if (id > high - reservedPerType)
    throw new AppError("internal", `type \`${value.type}\` holds as many values as it can`);
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

/** The number of a type, which is added where it is new. */
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

/** The number of the type that came last; 0 before the first. Types are never taken away. */
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

/** The ids that values of a type have; the first is never used. */
export function symbolRange(type: number): { readonly low: number; readonly high: number } {
  return { low: type * valuesPerType, high: (type + 1) * valuesPerType - 1 };
}

/** The number of the type of an id. */
export function typeIdOf(id: number): number {
  return Math.floor(id / valuesPerType);
}

/** Which of the values of its type an id stands for; stored ones are numbered from 1 without gaps. */
export function ordinalOf(id: number): number {
  return id - typeIdOf(id) * valuesPerType;
}

/** The first of the type numbers that are never stored: a request numbers types there that the store lacks. */
export const firstTemporaryTypeId = typesMax + 1;

/** Ids at the end of each type's range that stand for values which nothing and nobody names. */
export const unnamedPerType = 64;

/** An id for a value that the store does not have: the same for the same `ordinal`, and no stored value's. */
export function requestSymbol(type: number, ordinal: number): number {
  return symbolRange(type).high - unnamedPerType - ordinal;
}
