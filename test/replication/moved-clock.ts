/** A clock that the test moves. */
import type { Clock } from "../../src/util/clock.ts";

export interface MovedClock extends Clock {
  pass(ms: number): void;
}

export function movedClock(random = 0): MovedClock {
  let nowMs = 0;
  let timers: { readonly atMs: number; readonly body: () => void }[] = [];
  const after = (delayMs: number, body: () => void): (() => void) => {
    const timer = { atMs: nowMs + delayMs, body };
    timers.push(timer);
    return () => void (timers = timers.filter((other) => other !== timer));
  };
  return {
    monotonicMs: () => nowMs,
    wallMs: () => 0,
    preciseMs: () => 0,
    after,
    every: () => () => {},
    random: () => random,
    pass(ms) {
      const endMs = nowMs + ms;
      for (;;) {
        const next = timers.toSorted((one, two) => one.atMs - two.atMs)[0];
        if (next === undefined || next.atMs > endMs) break;
        timers = timers.filter((other) => other !== next);
        nowMs = next.atMs;
        next.body();
      }
      nowMs = endMs;
    },
  };
}
