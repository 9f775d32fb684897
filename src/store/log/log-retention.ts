/**
 * How much of the log must go, and where it stood at some moment. Offsets and sizes ascend along the log. Times do so only while nobody sets the clock
 * back: what is searched by time is right also where they do not.
 */
import type { Connection } from "../connection/connection.ts";

/** How much of the log is kept at most. */
export interface Retention {
  readonly events: number;
  readonly bytes: number;
}

/** The last offset that must go for the rest to fit the retention. `undefined` where all may stay. */
export function excessOffset(database: Connection, retention: Retention): number | undefined {
  const ends = logBoundsOf(database);
  if (ends === undefined) return undefined;
  const total = totalAt(database, ends.last);
  const tooMuchAfter = lastWhere(ends, (offset) => total - totalAt(database, offset) > retention.bytes);
  const excess = Math.max(
    ends.last - retention.events,
    tooMuchAfter === undefined ? 0 : Math.min(tooMuchAfter + 1, ends.last - 1),
  );
  return excess >= ends.first ? excess : undefined;
}

/** What is removed by age at once: a clock that is wrong must not cost the log. */
const agedShareMax = 0.1;

/**
 * The last of the events at the start of the log that are older than `ageMs` at `nowMs`, of the first tenth of the log. Events of the future, which a
 * clock that was ahead has left, do not end them; one that is young enough does.
 */
export function expiredOffset(database: Connection, ageMs: number, nowMs: number): number | undefined {
  const ends = logBoundsOf(database);
  if (ends === undefined) return undefined;
  const { first, last } = ends;
  const bound = first + Math.max(1, Math.floor((last - first + 1) * agedShareMax));
  const oldestMs = nowMs - ageMs;
  const young = database
    .statement("SELECT offset FROM log WHERE offset < ?1 AND time_ms >= ?2 AND time_ms <= ?3 ORDER BY offset LIMIT 1")
    .values(bound, oldestMs, nowMs)[0]?.[0];
  const aged = database
    .statement("SELECT offset FROM log WHERE offset < ?1 AND time_ms < ?2 ORDER BY offset DESC LIMIT 1")
    .values(young ?? bound, oldestMs)[0]?.[0];
  return typeof aged === "number" ? aged : undefined;
}

/** The places in the log that a moment may mean: the same one twice, unless a clock that was set leaves several. */
export interface OffsetsAt {
  /** After this offset, or 0 for the beginning. */
  readonly first: number;
  readonly last: number;
}

/** Events later than a log was read by so much have times that cannot be right. */
const impossibleAfterMs = 60_000;

/** Where the log stood at `timeMs`; it was read at `untilMs`. `undefined` where it has no event. */
export function offsetsAt(database: Connection, timeMs: number, untilMs: number): OffsetsAt | undefined {
  const ends = logBoundsOf(database);
  if (ends === undefined) return undefined;
  if (timeMs >= untilMs) return { first: ends.last, last: ends.last };
  const possibleMs = untilMs + impossibleAfterMs;
  const one = (sql: string, ...values: number[]): number | undefined => {
    const found = database.prepare(sql).values(...values)[0]?.[0];
    return typeof found === "number" ? found : undefined;
  };
  const last = one("SELECT max(offset) FROM log WHERE time_ms <= ?1", timeMs) ?? ends.first - 1;
  const later = one("SELECT min(offset) FROM log WHERE time_ms > ?1 AND time_ms <= ?2", timeMs, possibleMs);
  if (later !== undefined && later < last) return { first: later - 1, last };
  // What follows with an impossible time may have happened before or after the moment.
  const nextMs = one("SELECT time_ms FROM log WHERE offset = ?1", last + 1) ?? 0;
  return { first: last, last: nextMs > possibleMs ? (later ?? ends.last + 1) - 1 : last };
}

interface LogBounds {
  readonly first: number;
  readonly last: number;
}

function logBoundsOf(database: Connection): LogBounds | undefined {
  // Each for itself: together they would look at every row.
  const first = database.statement("SELECT min(offset) FROM log").values()[0]?.[0];
  const last = database.statement("SELECT max(offset) FROM log").values()[0]?.[0];
  return typeof first === "number" && typeof last === "number" ? { first, last } : undefined;
}

/** The last offset for which it holds, where it holds for all up to some offset and for none after. */
function lastWhere({ first, last }: LogBounds, holds: (offset: number) => boolean): number | undefined {
  if (!holds(first)) return undefined;
  let [low, high] = [first, last];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (holds(middle)) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Bytes of all bodies up to and with this one. Rows of older binaries have none. */
function totalAt(database: Connection, offset: number): number {
  return Number(database.statement("SELECT total FROM log WHERE offset = ?1").values(offset)[0]?.[0] ?? 0);
}
