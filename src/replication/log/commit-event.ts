/**
 * One event enters a store, on the primary that made it and on every copy alike: its effect is applied, its row goes into the log, and what
 * belongs to replication alone moves on, all in the caller's transaction. So the log never holds an event that was not applied, nor the
 * other way round, and whoever has applied the events can take over from whoever wrote them.
 */
import type { Limits } from "../../config/limits.ts";
import { applyEvent } from "../../engine/state/apply.ts";
import type { Effect } from "../../engine/state/event.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { putIdempotencyRecord } from "../../store/log/idempotency.ts";
import { beginEpoch } from "../../store/log/epochs.ts";
import type { Log, LogRow, StoredLogRow } from "../../store/log/log.ts";
import { advanceState, type StoreState } from "../../store/log/store-state.ts";
import { chainHash } from "../position.ts";

/**
 * Commits the event of `row`, whose body is `effect` as text, behind a state with this position. Gives the row as it stands in the log. `hash` is the
 * chain hash after it, where that is known already.
 */
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

/** Facts inserted and deleted. */
export function factCounts(effect: Effect): { readonly inserted: number; readonly deleted: number } {
  if (effect.kind !== "facts") return { inserted: 0, deleted: 0 };
  return { inserted: effect.inserted.length, deleted: effect.deleted.length };
}
