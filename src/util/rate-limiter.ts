/**
 * Lets something through at most once per interval, for each of several kinds: for log lines that outsiders can cause again and again. Returns how often it
 * was asked since it last let that kind through, this time included; 0 where it does not.
 */
import { systemClock, type Clock } from "./clock.ts";

export function rateLimiter(
  intervalMs: number,
  { monotonicMs }: Pick<Clock, "monotonicMs"> = systemClock,
): (kind?: string) => number {
  const kinds = new Map<string, { passedAtMs: number; count: number }>();
  return (kind = "") => {
    const now = monotonicMs();
    const known = kinds.get(kind) ?? { passedAtMs: Number.NEGATIVE_INFINITY, count: 0 };
    const count = known.count + 1;
    const passes = now - known.passedAtMs >= intervalMs;
    kinds.set(kind, passes ? { passedAtMs: now, count: 0 } : { ...known, count });
    return passes ? count : 0;
  };
}
