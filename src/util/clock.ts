/** Time, timers and random numbers as a dependency, so that tests can control them. */
export interface Clock {
  /** Milliseconds on a monotonic clock. */
  monotonicMs(): number;
  /** Milliseconds since 1970. */
  wallMs(): number;
  /** Milliseconds since 1970 with a fraction, for durations between nodes. All threads of a process agree on it. */
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

/** If the clocks differ by more, the wall clock was set since the process started. */
const settingMsMin = 5;
let setByMs = 0;

/** Milliseconds since 1970 with a fraction, by the current wall clock. */
export function preciseNow(): number {
  const nowMs = performance.timeOrigin + performance.now() + setByMs;
  const differenceMs = Date.now() - nowMs;
  if (Math.abs(differenceMs) < settingMsMin) return nowMs;
  setByMs += differenceMs;
  return nowMs + differenceMs;
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
