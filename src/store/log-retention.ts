/** Finding a place in the log by what grows along it, time and size, in a few looks: how much of it must go, and where it stood at some moment. */
import type { SqlDatabase } from "../runtime/sqlite.ts";
import { statement } from "./statements.ts";

/** How much of the log is kept at most. */
export interface Retention {
  readonly events: number;
  readonly bytes: number;
  /** In ms, by the time of commit. */
  readonly ageMs: number;
}

/** The last offset that must go for the rest to fit the retention. `undefined` where all may stay. */
export function excessOf(database: SqlDatabase, retention: Retention, nowMs: number): number | undefined {
  const ends = endsOf(database);
  if (ends === undefined) return undefined;
  const total = totalAt(database, ends.last);
  const tooMuchAfter = lastWhere(ends, (offset) => total - totalAt(database, offset) > retention.bytes);
  const tooOld = lastWhere(ends, (offset) => timeAt(database, offset) < nowMs - retention.ageMs);
  const excess = Math.max(
    ends.last - retention.events,
    tooMuchAfter === undefined ? 0 : Math.min(tooMuchAfter + 1, ends.last - 1),
    tooOld ?? 0,
  );
  return excess >= ends.first ? excess : undefined;
}

/** The last offset that was committed at `timeMs` or before; `undefined` where the log has none as old as that. */
export function offsetAt(database: SqlDatabase, timeMs: number): number | undefined {
  const ends = endsOf(database);
  return ends && lastWhere(ends, (offset) => timeAt(database, offset) <= timeMs);
}

interface Ends {
  readonly first: number;
  readonly last: number;
}

function endsOf(database: SqlDatabase): Ends | undefined {
  // Each for itself: together they would look at every row.
  const first = statement(database, "SELECT min(offset) FROM log").values()[0]?.[0];
  const last = statement(database, "SELECT max(offset) FROM log").values()[0]?.[0];
  return typeof first === "number" && typeof last === "number" ? { first, last } : undefined;
}

/** The last offset for which it holds, where it holds for all up to some offset and for none after. */
function lastWhere({ first, last }: Ends, holds: (offset: number) => boolean): number | undefined {
  if (!holds(first)) return undefined;
  let [low, high] = [first, last];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (holds(middle)) low = middle;
    else high = middle - 1;
  }
  return low;
}

function timeAt(database: SqlDatabase, offset: number): number {
  return Number(statement(database, "SELECT time_ms FROM log WHERE offset = ?1").values(offset)[0]?.[0] ?? 0);
}

/** Bytes of all bodies up to and with this one. Rows of older binaries have none. */
function totalAt(database: SqlDatabase, offset: number): number {
  return Number(statement(database, "SELECT total FROM log WHERE offset = ?1").values(offset)[0]?.[0] ?? 0);
}
