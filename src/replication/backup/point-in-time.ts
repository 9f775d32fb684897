/**
 * Takes a store back to a point in time by undoing one event after the other, in a file that no one else uses. After
 * each event the digest must be the one that the log has for the previous row. The result is the store as it was then,
 * with the log up to that point.
 */
import type { Limits } from "../../config/limits.ts";
import { readDigest } from "../../log/state/apply.ts";
import { decodeEffect, type Effect } from "../../log/event/event.ts";
import { finishUndo, undoEvent } from "../../log/state/undo.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { detachAuditEntries } from "../../store/log/audit-log.ts";
import { rewindIdempotencyRecords } from "../../store/log/idempotency.ts";
import { removeLastEpoch } from "../../store/log/epochs.ts";
import { offsetsAt } from "../../store/log/log-retention.ts";
import { openLog, type Log } from "../../store/log/log.ts";
import { describePointInTime, earliestPointInTime } from "../../store/log/point-in-time.ts";
import { advanceState, readState, zeroHash, type StoreState } from "../../store/log/store-state.ts";
import { AppError } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";

/** The point to recover; undefined for the newest state. */
export type RecoveryTarget = { readonly offset: number } | { readonly timeMs: number } | undefined;

/** How many events of each kind were undone. */
export type UndoneEvents = Readonly<Partial<Record<Effect["kind"], number>>>;

/** AppError `gone` before the earliest point, `invalid_request` if ambiguous, after the newest offset or `untilMs`. */
export function recoveryOffset(store: Connection, destination: RecoveryTarget, untilMs: number): number {
  const newest = readState(store);
  if (destination === undefined) return newest.offset;
  const earliest = earliestPointInTime(store);
  const wanted = "offset" in destination ? `offset ${destination.offset}` : formatTime(destination.timeMs);
  const tooEarly = (): AppError =>
    new AppError(
      "gone",
      `it is not possible to go back to ${wanted}: the earliest point is ${describePointInTime(earliest)}`,
    );
  if ("offset" in destination) {
    if (destination.offset > newest.offset)
      throw new AppError("invalid_request", `there is no ${wanted}: the newest is ${describePointInTime(newest)}`);
    if (destination.offset < earliest.offset) throw tooEarly();
    return destination.offset;
  }
  if (destination.timeMs > untilMs)
    throw new AppError("invalid_request", `the state at ${wanted} is unknown: the data end at ${formatTime(untilMs)}`);
  const places = offsetsAt(store, destination.timeMs, untilMs);
  if (places === undefined && destination.timeMs >= newest.timeMs) return newest.offset;
  const { first, last } = places ?? { first: 0, last: 0 };
  if (last < earliest.offset) throw tooEarly();
  if (first !== last)
    throw new AppError(
      "invalid_request",
      `${wanted} is ambiguous: it may be any offset from ${Math.max(first, earliest.offset)} to ${last}, because the clock of the primary was set in between. Give the offset instead of the time`,
    );
  return last;
}

/**
 * Recovers the state at an offset of `recoveryOffset`. With one of `earliestData`, the hash of the state may be unknown
 * afterwards. Throws, changing nothing, if log and data do not match.
 */
export function recoverTo(
  store: Connection,
  target: number,
  limits: Limits,
  onUndone: (done: number, total: number) => void = () => {},
): { state: StoreState; undone: UndoneEvents } {
  return store.transaction(() => {
    const log = openLog(store);
    const head = readState(store).offset;
    if (target === head) return { state: readState(store), undone: {} };
    const undone: Partial<Record<Effect["kind"], number>> = {};
    for (let offset = head; offset > target; offset--) {
      const kind = undoLastEvent(store, log, offset);
      undone[kind] = (undone[kind] ?? 0) + 1;
      onUndone(head - offset + 1, head - target);
    }
    const last = target === 0 ? emptyPosition : (log.rowAt(target) ?? { ...emptyPosition, offset: target });
    advanceState(store, last);
    rewindIdempotencyRecords(store, target, head);
    log.dropAfter(target);
    detachAuditEntries(store, target);
    finishUndo(store, limits);
    return { state: readState(store), undone };
  }, "immediate");
}

const emptyPosition = { offset: 0, hash: zeroHash, timeMs: 0, digest: zeroHash };

function undoLastEvent(store: Connection, log: Log, offset: number): Effect["kind"] {
  const row = must(log.rowAt(offset), `the log has the event ${offset}`);
  const parsed = decodeEffect(row.body);
  undoEvent(store, { offset, effect: parsed });
  if (parsed.kind === "epoch") removeLastEpoch(store, parsed.epoch);
  // Older versions stored no digest. Then only the final state is checked.
  const wanted = (offset === 1 ? emptyPosition : log.rowAt(offset - 1))?.digest ?? null;
  const digest = readDigest(store);
  if (wanted !== null && digest !== wanted)
    throw new AppError(
      "conflict",
      `without the event ${offset} the digest is ${digest}, the log says ${wanted}: the log does not match the data`,
    );
  return parsed.kind;
}

function formatTime(timeMs: number): string {
  return new Date(timeMs).toISOString();
}
