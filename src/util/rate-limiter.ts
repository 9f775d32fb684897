/**
 * A rate limiter for log lines that outsiders can cause again and again: at most one line per interval and kind. A call
 * returns how often this kind was reported since its last line, this time included; it returns 0 if there must be no
 * line now.
 */
import { LRUCache } from "lru-cache";
import { systemClock, type Clock } from "./clock.ts";

/** A kind that is forgotten may get a line too early. */
const kindsMax = 100;

export function rateLimiter(
  intervalMs: number,
  { monotonicMs }: Pick<Clock, "monotonicMs"> = systemClock,
): (kind?: string) => number {
  const kinds = new LRUCache<string, { readonly allowedAtMs: number; readonly count: number }>({ max: kindsMax });
  return (kind = "") => {
    const now = monotonicMs();
    const known = kinds.get(kind) ?? { allowedAtMs: Number.NEGATIVE_INFINITY, count: 0 };
    const count = known.count + 1;
    const isAllowed = now - known.allowedAtMs >= intervalMs;
    kinds.set(kind, isAllowed ? { allowedAtMs: now, count: 0 } : { ...known, count });
    return isAllowed ? count : 0;
  };
}
