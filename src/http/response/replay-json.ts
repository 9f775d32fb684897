/** Decisions that were made again, as an answer. */
import type { DecisionLog } from "../../decisions/decision-log.ts";
import type { ReplayResult } from "../../decisions/past-decisions.ts";

/** A replay in an answer, with at most `max` of its changed decisions. `log` says which decisions there can be. */
export function replayJson(
  { replayed, changed, changedCount, skipped, isComplete }: ReplayResult,
  log: DecisionLog["selection"],
  max = Infinity,
) {
  const reasons = Object.entries(skipped).map(([reason, count]) => ({ reason, count }));
  const listed = changed.length > max ? changed.slice(0, max) : changed;
  return { replayed, changed_count: changedCount, complete: isComplete, skipped: reasons, changed: listed, log };
}
