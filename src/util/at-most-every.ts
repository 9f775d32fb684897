/** Lets something through at most once per interval, for each of several kinds: for log lines that outsiders can bring about again and again. */
import type { Clock } from "./clock.ts";

export function atMostEvery(
  intervalMs: number,
  { monotonicMs }: Pick<Clock, "monotonicMs">,
): (kind: string) => boolean {
  const passedAtMs = new Map<string, number>();
  return (kind) => {
    const now = monotonicMs();
    if (now - (passedAtMs.get(kind) ?? Number.NEGATIVE_INFINITY) < intervalMs) return false;
    passedAtMs.set(kind, now);
    return true;
  };
}
