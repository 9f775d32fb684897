/**
 * What a connection that answers questions knows of ids without looking into its file: an id stays a value's for ever, unless whatever gave it was
 * rolled back. What is looked up is kept, and what the file holds can be read ahead.
 */
import { defaultLimits } from "../config/limits.ts";
import type { SqlDatabase } from "../runtime/sqlite.ts";
import { IdsByText } from "./ids-by-text.ts";
import { statement } from "./statements.ts";
import { numberWithinType, rangeOf, typeOf } from "./symbols.ts";

interface Known {
  readonly ids: IdsByText;
  readonly idsMax: number;
  readonly rollbacks: number;
}

/** A step takes about a third of a millisecond. */
const rowsPerStep = 200;

/** How many ids `lookUpText` keeps for this connection, about. What it knows already stays, where it is to keep as many. */
export function keepIds(database: SqlDatabase, idsMax: number): IdsByText {
  const known = connections.get(database);
  if (known?.rollbacks === database.rollbacks && known.idsMax === idsMax) return known.ids;
  const ids = new IdsByText(idsMax);
  connections.set(database, { ids, idsMax, rollbacks: database.rollbacks });
  return ids;
}

const connections = new WeakMap<SqlDatabase, Known>();

/** The interned id of a value of a type that the store has, by the type's number; `undefined` where the store does not have the value. */
export function lookUpText(database: SqlDatabase, type: number, text: string): number | undefined {
  const ids = idsKnownTo(database);
  const number = ids.find(type, text);
  if (number !== undefined) return rangeOf(type).low + number;
  const found = statement(database, "SELECT id FROM symbol WHERE type = ?1 AND value = ?2").values(type, text)[0]?.[0];
  if (found === undefined) return undefined;
  ids.add(type, text, numberWithinType(Number(found)));
  return Number(found);
}

/** Reads the ids of all values ahead, or as many as are kept, but for the few that nothing is kept of: some at each step. */
export function* learnIds(database: SqlDatabase): Generator<undefined, void> {
  const select = database.prepare(`SELECT id, value FROM symbol WHERE id > ?1 ORDER BY id LIMIT ${rowsPerStep}`);
  let last = 0;
  for (;;) {
    const ids = idsKnownTo(database);
    const rows = select.values(last);
    for (const [id, value] of rows) {
      if (ids.isFull) return;
      last = Number(id);
      const [type, text] = [typeOf(last), String(value)];
      if (ids.find(type, text) === undefined) ids.add(type, text, numberWithinType(last));
    }
    if (rows.length < rowsPerStep) return;
    yield;
  }
}

function idsKnownTo(database: SqlDatabase): IdsByText {
  const known = connections.get(database);
  if (known?.rollbacks === database.rollbacks) return known.ids;
  return keepIds(database, known?.idsMax ?? defaultLimits.valueIdsKeptMax);
}
