/** The newest decisions of a live log, bounded in number and in rate. Pure. */
import type { LoggedDecision } from "./logged-decision.ts";

export interface TailRow {
  readonly decision: LoggedDecision;
  /** Whether decisions before this one were skipped, because there were too many. */
  readonly isAfterGap: boolean;
}

/** Rows that are kept. */
export const tailRowsMax = 500;
/** Decisions that are read in one window. More would only flicker, and cost the node and the browser time. */
export const tailWindowMax = 100;
export const tailWindowMs = 1000;

/** The rows with new decisions, the newest first. */
export function addToTail(
  rows: readonly TailRow[],
  arrived: readonly LoggedDecision[],
  isAfterGap: boolean,
): readonly TailRow[] {
  if (arrived.length === 0) return rows;
  const added = arrived.map((decision, index) => ({ decision, isAfterGap: isAfterGap && index === 0 })).toReversed();
  return [...added, ...rows].slice(0, tailRowsMax);
}

/** Counts what arrives in windows of time. */
export class TailBudget {
  #startMs = Number.NEGATIVE_INFINITY;
  #count = 0;

  /** Whether one more may be read at this time; otherwise after `waitMs`. */
  take(nowMs: number): { readonly waitMs: number } {
    if (nowMs - this.#startMs >= tailWindowMs) [this.#startMs, this.#count] = [nowMs, 0];
    this.#count += 1;
    return { waitMs: this.#count <= tailWindowMax ? 0 : this.#startMs + tailWindowMs - nowMs };
  }
}
