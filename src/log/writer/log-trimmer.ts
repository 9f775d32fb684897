/**
 * Removes what a store may no longer keep: old events of its log, and old entries of its audit log. Entries are removed
 * by age only while the clock is trusted, and slowly, so that operators can notice a wrong clock.
 */
import { trimVersions } from "../../policy/policy-history.ts";
import { excessAuditEntries, removeAuditEntries } from "../../store/log/audit-log.ts";
import { excessOffset, expiredOffset } from "../../store/log/log-retention.ts";
import type { Clock } from "../../util/clock.ts";
import type { WriterConnection } from "./writer-connection.ts";

export class LogTrimmer {
  readonly #clock: Clock;
  #trimmed = { offset: 0, atMs: Number.NEGATIVE_INFINITY };

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Called after each commit; `offset` is that of the last event. It trims by a tenth of the length at a time, or at
   * intervals, so that most commits do not pay for it. Throws if the storage fails.
   */
  trimLog({ store, log, limits, steadyClock }: WriterConnection, offset: number): void {
    const now = this.#clock.monotonicMs();
    const grown = offset - this.#trimmed.offset > limits.retentionEvents / 10;
    if (!grown && now - this.#trimmed.atMs < limits.logTrimIntervalMs) return;
    this.#trimmed = { offset, atMs: now };
    const retention = { events: limits.retentionEvents, bytes: limits.retentionBytes };
    const { nowMs } = steadyClock;
    const aged = nowMs === undefined ? undefined : expiredOffset(store, limits.retentionAgeMs, nowMs);
    const excess = Math.max(excessOffset(store, retention) ?? 0, aged ?? 0);
    if (excess > 0)
      store.transaction(() => {
        trimVersions(store, excess);
        log.trim(excess);
      }, "immediate");
    if (aged !== undefined) steadyClock.restart();
  }
}

/** Returns whether it removed entries. Throws if the storage fails or has damaged pages. */
export function trimAuditLog({ store, limits, steadyClock }: WriterConnection): boolean {
  const { nowMs } = steadyClock;
  const { auditRetentionEntries: entries, auditRetentionAgeMs: ageMs } = limits;
  const oldestMs = nowMs === undefined ? undefined : nowMs - ageMs;
  const excess = excessAuditEntries(store, { entries, oldestMs });
  if (excess === undefined) return false;
  store.transaction(() => removeAuditEntries(store, excess), "immediate");
  if (excess.aged > 0) steadyClock.restart();
  return true;
}
