/**
 * What a connection that answers questions knows of ids without looking into its file: an id stays a value's for ever, unless whatever gave it was
 * rolled back. What is looked up is kept, and what the file holds can be read ahead.
 */
import type { Connection } from "../connection/connection.ts";
import { ordinalOf, symbolRange, typeIdOf } from "./symbols.ts";

/** A step takes about a third of a millisecond. */
const rowsPerStep = 200;

/** The interned id of a value of a type that the store has, by the type's number; `undefined` where the store does not have the value. */
export function findSymbolOfType(database: Connection, type: number, text: string): number | undefined {
  const ids = database.symbolCache;
  const number = ids.find(type, text);
  if (number !== undefined) return symbolRange(type).low + number;
  const found = database.statement("SELECT id FROM symbol WHERE type = ?1 AND value = ?2").values(type, text)[0]?.[0];
  if (found === undefined) return undefined;
  ids.add(type, text, ordinalOf(Number(found)));
  return Number(found);
}

/** Reads the ids of all values ahead, or as many as are kept, but for the few that nothing is kept of: some at each step. */
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
