/** Points in time that a store can be recovered to: as far back as its log records what every event did. */
import type { Connection } from "../connection/connection.ts";
import { readState } from "./store-state.ts";

/** A point in the history of a store: after the event at `offset`, or before the first event if that is 0. */
export interface PointInTime {
  readonly offset: number;
  /** When that event was committed, in ms since 1970; 0 before the first event. */
  readonly timeMs: number;
}

/** `offset 7 of 2026-11-26T07:00:00.000Z` */
export function describePointInTime({ offset, timeMs }: PointInTime): string {
  return offset === 0 ? "offset 0, before the first event" : `offset ${offset} of ${new Date(timeMs).toISOString()}`;
}

/**
 * The earliest point in time that the store can be recovered to. Events of versions before format 5 may not record what
 * they deleted, and the chain hash before the first event in the log is unknown.
 */
export function earliestPointInTime(database: Connection): PointInTime {
  const first = database.number("SELECT min(offset) FROM log");
  if (first === undefined) {
    const { offset, timeMs } = readState(database);
    return { offset, timeMs };
  }
  const offset = Math.max(first === 1 ? 0 : first, incompleteOffset(database));
  return { offset, timeMs: database.number("SELECT time_ms FROM log WHERE offset = ?1", offset) ?? 0 };
}

/**
 * The earliest offset whose facts and policy can be reconstructed: one before the first event in the log, if its chain
 * hash is not needed. A replica that began with a snapshot made its first decisions there.
 */
export function earliestData(database: Connection): number {
  const first = database.number("SELECT min(offset) FROM log");
  if (first === undefined) return readState(database).offset;
  return Math.max(first - 1, incompleteOffset(database));
}

function incompleteOffset(database: Connection): number {
  const incomplete = database.number(
    `SELECT max(offset) FROM log WHERE kind = 'clear' AND digest IS NULL
       OR kind = 'keys' AND json_type(body, '$.replaced') IS NULL`,
  );
  return incomplete ?? 0;
}
