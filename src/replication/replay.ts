/**
 * How a copy follows: events from the primary go through the same `applyEvent` as on the primary itself, one transaction for all of them and
 * the new position. INVARIANT: nothing but the next offset of the same epoch is ever applied, and nothing whose chain hash does not come out
 * as announced; a copy refuses rather than guesses.
 */
import type { Limits } from "../config/limits.ts";
import { applyEvent } from "../engine/apply.ts";
import { effect, type Event } from "../engine/event.ts";
import type { SqlDatabase } from "../runtime/sqlite.ts";
import type { LogRow } from "../store/log.ts";
import { advanceState, readState, type State } from "../store/state.ts";
import { AppError } from "../util/app-error.ts";
import { preciseNow } from "./append.ts";
import { chainHashOver } from "./position.ts";

export interface ReplayRequest {
  readonly epoch: string;
  readonly rows: readonly LogRow[];
  /** The primary's chain hash after the last row. */
  readonly hash: string;
}

export interface Replayed {
  readonly state: State;
  /** What each event left behind: heads name some of these offsets, and the digests must agree. */
  readonly events: readonly ReplayedEvent[];
}

export interface ReplayedEvent {
  readonly offset: number;
  readonly timeMs: number;
  readonly traceparent: string | null;
  readonly digest: string;
  readonly startMs: number;
  readonly endMs: number;
}

/** Applies the rows, all or none. AppError `conflict` where they do not follow this copy's position or history. */
export function replay(store: SqlDatabase, request: ReplayRequest, limits: Limits): Replayed {
  const before = readState(store);
  requireNext(before, request);
  const events = request.rows.map(decodeEvent);
  return store.transaction(() => {
    const replayed = events.map((event) => replayEvent(store, event, limits));
    const last = events.at(-1);
    if (last !== undefined) advanceState(store, { offset: last.offset, hash: request.hash, timeMs: last.timeMs });
    return { state: readState(store), events: replayed };
  }, "immediate");
}

/** What arrives is checked like any other input, before any of it is applied. */
function decodeEvent({ offset, timeMs, traceparent, body }: LogRow): Event {
  return { offset, timeMs, traceparent, effect: effect.parse(JSON.parse(body)) };
}

function replayEvent(store: SqlDatabase, event: Event, limits: Limits): ReplayedEvent {
  const startMs = preciseNow();
  applyEvent(store, event, limits);
  const { offset, timeMs, traceparent } = event;
  return { offset, timeMs, traceparent, digest: readState(store).digest, startMs, endMs: preciseNow() };
}

function requireNext(state: State, request: ReplayRequest): void {
  if (state.epoch !== request.epoch) throw new AppError("conflict", "the events belong to another epoch");
  request.rows.forEach((row, index) => {
    const expected = state.offset + index + 1;
    if (row.offset !== expected)
      throw new AppError("conflict", `event ${row.offset} does not follow, expected ${expected}`);
  });
  if (chainHashOver(state.hash, request.rows) !== request.hash) {
    throw new AppError("conflict", "the chain hash of the events differs");
  }
}
