/**
 * Retention of the log, and positions of the log by time. Offsets and sizes ascend along the log. Times descend where
 * somebody has set the clock back; the searches by time are correct in that case too.
 */
import type { Connection } from "../connection/connection.ts";

/** Limits of the log. */
export interface Retention {
  readonly events: number;
  readonly bytes: number;
}

/** The last offset that has to be trimmed; undefined if the log is within its limits. */
export function excessOffset(database: Connection, retention: Retention): number | undefined {
  const bounds = logBoundsOf(database);
  if (bounds === undefined) return undefined;
  const total = totalAt(database, bounds.last);
  const tooMuchAfter = lastWhere(bounds, (offset) => total - totalAt(database, offset) > retention.bytes);
  const excess = Math.max(
    bounds.last - retention.events,
    tooMuchAfter === undefined ? 0 : Math.min(tooMuchAfter + 1, bounds.last - 1),
  );
  return excess >= bounds.first ? excess : undefined;
}

/** The largest part of the log that is trimmed by age in one go: a wrong clock must not cost the whole log. */
const agedShareMax = 0.1;

/**
 * The last offset in the first tenth of the log up to which all events are older than `ageMs` at the time `nowMs`.
 * Events with a time in the future, which a clock that was ahead has left, are ignored.
 */
export function expiredOffset(database: Connection, ageMs: number, nowMs: number): number | undefined {
  const bounds = logBoundsOf(database);
  if (bounds === undefined) return undefined;
  const { first, last } = bounds;
  const end = first + Math.max(1, Math.floor((last - first + 1) * agedShareMax));
  const oldestMs = nowMs - ageMs;
  const firstYoung =
    "SELECT offset FROM log WHERE offset < ?1 AND time_ms >= ?2 AND time_ms <= ?3 ORDER BY offset LIMIT 1";
  const young = database.number(firstYoung, end, oldestMs, nowMs) ?? end;
  const lastAged = "SELECT offset FROM log WHERE offset < ?1 AND time_ms < ?2 ORDER BY offset DESC LIMIT 1";
  return database.number(lastAged, young, oldestMs);
}

/** The positions in the log that a time can mean. First and last differ only if the clock was set. */
export interface OffsetsAt {
  /** After the event at this offset; 0 means before the first event. */
  readonly first: number;
  readonly last: number;
}

/** The time of an event is impossible if it is later by this much than the time at which the log was read. */
const impossibleAfterMs = 60_000;

/** The positions of the log at `timeMs`. The log was read at `untilMs`. Undefined if it has no event. */
export function offsetsAt(database: Connection, timeMs: number, untilMs: number): OffsetsAt | undefined {
  const bounds = logBoundsOf(database);
  if (bounds === undefined) return undefined;
  if (timeMs >= untilMs) return { first: bounds.last, last: bounds.last };
  const possibleMs = untilMs + impossibleAfterMs;
  const last = database.number("SELECT max(offset) FROM log WHERE time_ms <= ?1", timeMs) ?? bounds.first - 1;
  const firstLater = "SELECT min(offset) FROM log WHERE time_ms > ?1 AND time_ms <= ?2";
  const later = database.number(firstLater, timeMs, possibleMs);
  if (later !== undefined && later < last) return { first: later - 1, last };
  // The next events with impossible times may have happened before or after `timeMs`.
  const nextMs = database.number("SELECT time_ms FROM log WHERE offset = ?1", last + 1) ?? 0;
  return { first: last, last: nextMs > possibleMs ? (later ?? bounds.last + 1) - 1 : last };
}

interface LogBounds {
  readonly first: number;
  readonly last: number;
}

function logBoundsOf(database: Connection): LogBounds | undefined {
  // In two queries: one query for both would read every row.
  const first = database.number("SELECT min(offset) FROM log");
  const last = database.number("SELECT max(offset) FROM log");
  return first === undefined || last === undefined ? undefined : { first, last };
}

/** Binary search: the last offset for which `holds` is true. It must be true up to some offset and false after it. */
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

/** The bytes of all bodies up to this one, this one included. Rows of a version before format 5 have no total. */
function totalAt(database: Connection, offset: number): number {
  return database.number("SELECT total FROM log WHERE offset = ?1", offset) ?? 0;
}
