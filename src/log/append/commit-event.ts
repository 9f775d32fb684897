/**
 * Commits one event to a store, in the same way on its primary and on every replica. It applies the effect, appends the
 * row to the log, and updates the replication state, all in the caller's transaction. So every event in the log was
 * applied and every applied event is in the log, and any replica with these events can become the primary.
 */
import type { Limits } from "../../config/limits.ts";
import { applyEvent } from "../state/apply.ts";
import type { Effect } from "../event/event.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { putIdempotencyRecord } from "../../store/log/idempotency.ts";
import { beginEpoch } from "../../store/log/epochs.ts";
import type { Log, LogRow, StoredLogRow } from "../../store/log/log.ts";
import { advanceState, type StoreState } from "../../store/log/store-state.ts";
import { chainHash } from "../event/position.ts";

/** Commits `row`, whose body is the text of `effect`. `hash` is the chain hash after it, if the caller knows it. */
export function commitEvent(
  store: Connection,
  log: Log,
  before: Pick<StoreState, "offset" | "hash">,
  row: LogRow,
  effect: Effect,
  limits: Limits,
  hash = chainHash(before.hash, row),
): StoredLogRow {
  const { offset, timeMs, traceparent } = row;
  applyEvent(store, { offset, timeMs, traceparent, effect }, limits);
  if (effect.kind === "epoch") beginEpoch(store, { ...before, epoch: effect.epoch, term: effect.term, timeMs });
  if ("request" in effect && effect.request !== undefined) {
    putIdempotencyRecord(store, effect.request, { offset, ...factCounts(effect) });
  }
  const digest = advanceState(store, { offset, hash, timeMs });
  const stored = { ...row, hash, digest };
  log.append(stored);
  return stored;
}

export function factCounts(effect: Effect): { readonly inserted: number; readonly deleted: number } {
  if (effect.kind !== "facts") return { inserted: 0, deleted: 0 };
  return { inserted: effect.inserted.length, deleted: effect.deleted.length };
}
