/**
 * The time of an event: when it was asked for, by the wall clock of the primary. It tells people when something happened, and orders nothing: offsets
 * do. Clocks are corrected, so times may go back. Small corrections do not show; where a clock was ahead by more than that, later events have right
 * times again at once, and events from before the correction keep their wrong ones.
 */
import type { Clock } from "../../util/clock.ts";

/** Corrections up to this are hidden: the times of events stay equal until the clock has caught up. */
export const hiddenCorrectionMsMax = 5000;

/** The time of an event that was asked for at `wantedMs`, after one whose time is `lastMs`. */
export function eventTime(wantedMs: number, lastMs: number): number {
  return lastMs - wantedMs > hiddenCorrectionMsMax ? wantedMs : Math.max(wantedMs, lastMs);
}

/** How old a copy is at most whose last event has this time. One of the future says that a clock is wrong, by as much at least. */
export function ageOf(timeMs: number, clock: Pick<Clock, "wallMs">): number {
  return Math.abs(clock.wallMs() - timeMs);
}
