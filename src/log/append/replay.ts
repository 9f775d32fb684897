/**
 * Applies the events of a primary on a replica, with the same `commitEvent` as on the primary. INVARIANT: a replica
 * applies only the event with the next offset of its history, and only if the chain hash and the digest match those of
 * the primary. Otherwise it refuses the events.
 */
import type { Limits } from "../../config/limits.ts";
import { decodeEffect } from "../event/event.ts";
import type { Connection } from "../../store/connection/connection.ts";
import type { Log, LogRow } from "../../store/log/log.ts";
import type { AuditEntry } from "../../store/log/audit-entry.ts";
import { addAuditEntries } from "../../store/log/audit-log.ts";
import { readState, type StoreState } from "../../store/log/store-state.ts";
import { AppError } from "../../util/app-error.ts";
import { preciseNow } from "../../util/clock.ts";
import { chainHashes } from "../event/position.ts";
import { commitEvent, factCounts } from "./commit-event.ts";

export interface ReplayRequest {
  /** The epoch after the last row; one of the rows may begin it. */
  readonly epoch: string;
  readonly rows: readonly LogRow[];
  /** The primary's chain hash after the last row. */
  readonly hash: string;
  /** The primary's digest there; null if unknown. */
  readonly digest: string | null;
  /** The entries of the audit log that belong to the rows, from the primary. */
  readonly audit?: readonly AuditEntry[] | undefined;
  /** When the primary committed each row, in ms since 1970; null if unknown. */
  readonly committedMs?: readonly (number | null)[] | undefined;
}

export interface ReplayResult {
  readonly state: StoreState;
  /** The result of each event. Heads name some of these offsets, and their digests must match. */
  readonly events: readonly ReplayedEvent[];
}

export interface ReplayedEvent {
  readonly offset: number;
  readonly timeMs: number;
  readonly traceparent: string | null;
  readonly digest: string;
  /** Number of facts that the event inserted and deleted. */
  readonly inserted: number;
  readonly deleted: number;
  readonly startMs: number;
  readonly endMs: number;
}

/** Applies the events. AppError `conflict` if the rows do not continue this history: then roll back. */
export function applyEvents(
  store: Connection,
  log: Log,
  request: ReplayRequest,
  limits: Limits,
  before = readState(store),
): ReplayResult {
  const hashes = verifyChain(before, request);
  // Received rows are validated like any other input, before the first is applied.
  const decoded = request.rows.map((row) => ({ row, effect: decodeEffect(row.body) }));
  let position: { readonly offset: number; readonly hash: string } = before;
  const events = decoded.map(({ row, effect }, index): ReplayedEvent => {
    const startMs = preciseNow();
    const stored = commitEvent(store, log, position, row, effect, limits, hashes[index]);
    position = stored;
    const { offset, timeMs, traceparent, digest } = stored;
    const counts = factCounts(effect);
    return { offset, timeMs, traceparent, digest: String(digest), ...counts, startMs, endMs: preciseNow() };
  });
  return { state: readState(store), events };
}

/**
 * Completes `applyEvents` in the same transaction. AppError `conflict` if the events lead to another state than on the
 * primary: then roll back.
 */
export function completeReplay(store: Connection, request: ReplayRequest, { state, events }: ReplayResult): void {
  verifyState(state, request);
  const isOfRows = ({ offset }: AuditEntry): boolean =>
    offset !== null && offset > state.offset - events.length && offset <= state.offset;
  addAuditEntries(store, request.audit?.filter(isOfRows) ?? [], { received: true, hasEvent: true });
}

/** Returns the chain hash after each row. */
function verifyChain(state: StoreState, request: ReplayRequest): string[] {
  request.rows.forEach((row, index) => {
    const expected = state.offset + index + 1;
    if (row.offset !== expected)
      throw new AppError("conflict", `event ${row.offset} does not follow, expected ${expected}`);
  });
  const hashes = chainHashes(state.hash, request.rows);
  if (hashes.at(-1) !== request.hash && request.rows.length > 0)
    throw new AppError("conflict", "the chain hash of the events differs");
  return hashes;
}

function verifyState(state: StoreState, { epoch, digest }: ReplayRequest): void {
  if (state.epoch !== epoch) throw new AppError("conflict", "the events belong to another epoch");
  if (digest !== null && state.digest !== digest)
    throw new AppError(
      "conflict",
      `the events lead to the digest ${state.digest}, on the primary they led to ${digest}`,
    );
}
