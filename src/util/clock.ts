/** Time, timers and random numbers as a dependency, so that tests can control them. */
export interface Clock {
  /** Milliseconds on a monotonic clock. */
  monotonicMs(): number;
  /** Milliseconds since 1970. */
  wallMs(): number;
  /** Milliseconds since 1970 with a fraction, for durations between threads and between nodes. */
  preciseMs(): number;
  /** Calls `body` once after `delayMs`. The result cancels that. */
  after(delayMs: number, body: () => void): () => void;
  /** Calls `body` every `intervalMs`, until the result is called. */
  every(intervalMs: number, body: () => void): () => void;
  /** A random number from 0 to 1, for jitter. */
  random(): number;
}

/** The last time that a `Date` can have, in ms since 1970. */
export const timeMsMax = 8.64e15;

/** Resolves after `delayMs`. */
export function sleep(clock: Pick<Clock, "after">, delayMs: number): Promise<void> {
  return new Promise((resolve) => clock.after(delayMs, resolve));
}

/** Like `AbortSignal.timeout`, on a given clock. Disposing it stops the timer. */
export function deadline(clock: Pick<Clock, "after">, delayMs: number): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController();
  const abort = (): void => controller.abort(new DOMException("The operation timed out.", "TimeoutError"));
  return { signal: controller.signal, [Symbol.dispose]: clock.after(delayMs, abort) };
}

/** What is added to the monotonic clock, in ms. */
let setByMs = 0;
/** Steps of a number of ms since 1970 are smaller. */
const stepMs = 0.001;

/**
 * Milliseconds since 1970 with a fraction. The wall clock has whole milliseconds, and other programs set it. So this is
 * the monotonic clock, moved where it is certainly not in the millisecond of the wall clock, by as little as possible:
 * each such correction brings it closer. Two threads or processes of a machine differ by less than two milliseconds.
 */
export function preciseNow(): number {
  const beforeMs = monotonicNow();
  const wallMs = Date.now();
  if (beforeMs >= wallMs + 1) setByMs -= beforeMs - wallMs - 1 + stepMs;
  // The thread may have waited for a processor before it read the wall clock.
  else if (beforeMs < wallMs) setByMs += Math.max(0, wallMs - monotonicNow());
  else return beforeMs;
  return monotonicNow();
}

function monotonicNow(): number {
  return performance.timeOrigin + performance.now() + setByMs;
}

/** By default a failure is an uncaught exception. A program that starts nodes sets its own handler. */
let onFailed = (error: unknown): void =>
  queueMicrotask(() => {
    throw error;
  });

/** Sets the handler for errors of timers of the system clock. A repeated timer continues after an error. */
export function onFailedTimer(report: (error: unknown) => void): void {
  onFailed = report;
}

function withErrorHandler(body: () => void): () => void {
  return () => {
    try {
      body();
    } catch (error) {
      onFailed(error);
    }
  };
}

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  preciseMs: preciseNow,
  after(delayMs, body) {
    const timer = setTimeout(withErrorHandler(body), delayMs);
    return () => clearTimeout(timer);
  },
  every(intervalMs, body) {
    const timer = setInterval(withErrorHandler(body), intervalMs);
    return () => clearInterval(timer);
  },
  random: () => Math.random(),
};
