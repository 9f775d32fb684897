/**
 * The primary records in the log that a secret of an API key has expired. From then on no clock can make the secret
 * valid again, on no node that has the event. The event is written only when the clock of this machine has been steady:
 * a clock that was set forward for a moment must not end keys for good.
 */
import type { Writes } from "../replication/node.ts";
import { isExpired } from "../store/keys/key-grant.ts";
import { getLogger } from "../telemetry/logger.ts";
import { AppError } from "../util/app-error.ts";
import { CheckedWallClock } from "../util/checked-wall-clock.ts";
import { detailOf } from "../util/reason.ts";
import type { NodeParts } from "./node-parts.ts";

const log = getLogger("keys");

/** Looks for them at intervals, until the result is called. */
export function recordExpiredKeys({ database, limits, clock }: NodeParts, writes: Pick<Writes, "keys">): () => void {
  const { keyExpiryCheckIntervalMs, retentionClockSteadyMs } = limits;
  const steadyClock = new CheckedWallClock(clock, retentionClockSteadyMs);
  let isWriting = false;
  const record = async (): Promise<void> => {
    const { nowMs } = steadyClock;
    if (nowMs === undefined || isWriting) return;
    isWriting = true;
    try {
      const secrets = database.engine().apiKeys();
      const ended = secrets.filter((secret) => secret.hasExpired !== true && isExpired(secret, nowMs));
      if (ended.length === 0) return;
      await writes.keys({ add: [], remove: [], expireAtMs: nowMs }, { traceparent: null });
      for (const { id, isReplaced = false } of ended)
        log.info("the {what} {id} has expired", {
          what: isReplaced ? "replaced secret of the API key" : "API key",
          id,
        });
    } catch (error) {
      // A primary that was replaced, or has no space, cannot write now. All nodes refuse the key by their clocks.
      if (!(error instanceof AppError)) log.warning("expired API keys: {error}", { error: detailOf(error) });
    } finally {
      isWriting = false;
    }
  };
  return clock.every(keyExpiryCheckIntervalMs, () => void record());
}
