/**
 * Takes a store back in time, event by event from its newest state, in a file that nobody else uses. After each event the digest must be the one
 * that the log has for the row before; what is left afterwards is a store as it was then, with the log up to there.
 */
import type { Limits } from "../../config/limits.ts";
import { readDigest } from "../../engine/state/apply.ts";
import { decodeEffect, type Effect } from "../../engine/state/event.ts";
import { finishUndo, undoEvent } from "../../engine/state/undo.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { rewindIdempotencyRecords } from "../../store/log/idempotency.ts";
import { removeLastEpoch } from "../../store/log/epochs.ts";
import { offsetsAt } from "../../store/log/log-retention.ts";
import { openLog, type Log } from "../../store/log/log.ts";
import { describePointInTime, earliestPointInTime } from "../../store/log/point-in-time.ts";
import { advanceState, readState, zeroHash, type StoreState } from "../../store/log/store-state.ts";
import { AppError } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";

/** Where to go back to; the newest state where neither is said. */
export type RecoveryTarget = { readonly offset: number } | { readonly timeMs: number } | undefined;

/** How many events of which kind were undone. */
export type UndoneEvents = Readonly<Partial<Record<Effect["kind"], number>>>;

/**
 * The offset that is meant. AppError `gone` where it is before the earliest moment, `invalid_request` where it is after the newest; `untilMs` is up to
 * when the store knows that there was nothing newer.
 */
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
    throw new AppError("invalid_request", `what was at ${wanted} is not known: this ends at ${formatTime(untilMs)}`);
  const places = offsetsAt(store, destination.timeMs, untilMs);
  if (places === undefined && destination.timeMs >= newest.timeMs) return newest.offset;
  const { first, last } = places ?? { first: 0, last: 0 };
  if (last < earliest.offset) throw tooEarly();
  if (first !== last)
    throw new AppError(
      "invalid_request",
      `${wanted} may be any place from offset ${Math.max(first, earliest.offset)} to ${last}, since the clock of the primary was set in between: say the offset (\`ostiary restore --to-offset\`)`,
    );
  return last;
}

/** Goes back to an offset that `recoveryOffset` gave. Throws, and changes nothing, where log and data do not belong together. */
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
    const last = target === 0 ? emptyPosition : must(log.rowAt(target));
    advanceState(store, last);
    rewindIdempotencyRecords(store, target, head);
    log.dropAfter(target);
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
  // Null in rows of older binaries: then what counts is where it ends.
  const wanted = (offset === 1 ? emptyPosition : log.rowAt(offset - 1))?.digest ?? null;
  const digest = readDigest(store);
  if (wanted !== null && digest !== wanted)
    throw new AppError(
      "conflict",
      `without the event ${offset} the digest is ${digest}, the log says ${wanted}: log and data do not belong together`,
    );
  return parsed.kind;
}

function formatTime(timeMs: number): string {
  return new Date(timeMs).toISOString();
}
