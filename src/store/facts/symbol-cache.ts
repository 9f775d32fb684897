/**
 * What a connection that answers questions knows of ids without looking into its file: an id stays a value's for ever, unless whatever gave it was
 * rolled back. What is looked up is kept, and what the file holds can be read ahead.
 */
import { defaultLimits } from "../../config/limits.ts";
import type { Connection } from "../../runtime/sqlite.ts";
import { SymbolHashTable } from "../connection/symbol-hash-table.ts";
import { statement } from "../connection/statements.ts";
import { ordinalOf, symbolRange, typeIdOf } from "./symbols.ts";

interface CachedSymbols {
  readonly ids: SymbolHashTable;
  readonly idsMax: number;
  readonly rollbacks: number;
}

/** A step takes about a third of a millisecond. */
const rowsPerStep = 200;

/** How many ids `findSymbolOfType` keeps for this connection, about. What it knows already stays, where it is to keep as many. */
export function configureSymbolCache(database: Connection, idsMax: number): SymbolHashTable {
  const known = connections.get(database);
  if (known?.rollbacks === database.rollbacks && known.idsMax === idsMax) return known.ids;
  const ids = new SymbolHashTable(idsMax);
  connections.set(database, { ids, idsMax, rollbacks: database.rollbacks });
  return ids;
}

const connections = new WeakMap<Connection, CachedSymbols>();

/** The interned id of a value of a type that the store has, by the type's number; `undefined` where the store does not have the value. */
export function findSymbolOfType(database: Connection, type: number, text: string): number | undefined {
  const ids = symbolCacheOf(database);
  const number = ids.find(type, text);
  if (number !== undefined) return symbolRange(type).low + number;
  const found = statement(database, "SELECT id FROM symbol WHERE type = ?1 AND value = ?2").values(type, text)[0]?.[0];
  if (found === undefined) return undefined;
  ids.add(type, text, ordinalOf(Number(found)));
  return Number(found);
}

/** Reads the ids of all values ahead, or as many as are kept, but for the few that nothing is kept of: some at each step. */
export function* warmUpSymbolCache(database: Connection): Generator<undefined, void> {
  const select = database.prepare(`SELECT id, value FROM symbol WHERE id > ?1 ORDER BY id LIMIT ${rowsPerStep}`);
  let last = 0;
  for (;;) {
    const ids = symbolCacheOf(database);
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

function symbolCacheOf(database: Connection): SymbolHashTable {
  const known = connections.get(database);
  if (known?.rollbacks === database.rollbacks) return known.ids;
  return configureSymbolCache(database, known?.idsMax ?? defaultLimits.symbolCacheEntriesMax);
}
