/**
 * The time of an event: when it was requested, by the wall clock of the primary. It is for people and orders nothing;
 * offsets do. Clocks are corrected, so times may decrease. Small corrections are hidden. After a correction by more
 * than that, the next events have correct times immediately, and earlier events keep their wrong times.
 */
import type { Clock } from "../../util/clock.ts";

/** Corrections up to this are hidden: event times stay equal until the clock has caught up. */
export const hiddenCorrectionMsMax = 5000;

/** The time of an event that was requested at `wantedMs` and follows an event of time `lastMs`. */
export function eventTime(wantedMs: number, lastMs: number): number {
  return lastMs - wantedMs > hiddenCorrectionMsMax ? wantedMs : Math.max(wantedMs, lastMs);
}

/** The maximum age of a replica whose last event has this time. One in the future shows that a clock is wrong. */
export function ageOf(timeMs: number, clock: Pick<Clock, "wallMs">): number {
  return Math.abs(clock.wallMs() - timeMs);
}
