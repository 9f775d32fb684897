/**
 * Lookups through the symbol cache of a reading connection. A symbol belongs to its value for ever, unless the
 * transaction that interned it is rolled back. The cache keeps what was looked up; a warm-up fills it from the file.
 */
import type { Connection } from "../connection/connection.ts";
import { ordinalOf, symbolRange, typeIdOf } from "./symbols.ts";

/** A step of the warm-up takes about a third of a millisecond. */
const rowsPerStep = 200;

/** The symbol of a string of the given type; undefined if the store does not have it. */
export function findSymbolOfType(database: Connection, type: number, text: string): number | undefined {
  const ids = database.symbolCache;
  const number = ids.find(type, text);
  if (number !== undefined) return symbolRange(type).low + number;
  const found = database.statement("SELECT id FROM symbol WHERE type = ?1 AND value = ?2").values(type, text)[0]?.[0];
  if (found === undefined) return undefined;
  ids.add(type, text, ordinalOf(Number(found)));
  return Number(found);
}

/** Reads symbols into the cache until it is full or has all that it can hold; `rowsPerStep` symbols at each step. */
export function* warmUpSymbolCache(database: Connection): Generator<undefined, void> {
  const select = database.prepare(`SELECT id, value FROM symbol WHERE id > ?1 ORDER BY id LIMIT ${rowsPerStep}`);
  let last = 0;
  for (;;) {
    const ids = database.symbolCache;
    const rows = select.values(last);
    for (const [id, value] of rows) {
      if (ids.isFull) return;
      last = Number(id);
      const [type, text] = [typeIdOf(last), String(value)];
      if (ids.find(type, text) === undefined) ids.add(type, text, ordinalOf(last));
    }
    if (rows.length < rowsPerStep) return;
    yield;
  }
}
