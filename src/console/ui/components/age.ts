/** How old data is, and whether it supports a statement about the present. Pure. */
import { formatDuration } from "./format.ts";

/** Whether the data came longer ago than `msMax`. The wall clock may have been set back meanwhile. */
export function isOld(atMs: number, nowMs: number, msMax: number): boolean {
  return Math.abs(nowMs - atMs) > msMax;
}

/** In whole seconds, or in longer units: `45 s`. */
export function formatAge(atMs: number, nowMs: number): string {
  return formatDuration(1000 * Math.max(1, Math.floor((nowMs - atMs) / 1000)));
}
