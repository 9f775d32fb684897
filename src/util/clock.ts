/** Time and chance, as one thing that is handed in: so that what waits, retries and times out can be run under a clock that a test moves. */
export interface Clock {
  /** Milliseconds since some moment; never goes back. */
  monotonicMs(): number;
  /** Milliseconds since 1970. */
  wallMs(): number;
  /** Calls `body` once after `delayMs`, unless the result is called before. */
  after(delayMs: number, body: () => void): () => void;
  /** Calls `body` each `intervalMs`, until the result is called. */
  every(intervalMs: number, body: () => void): () => void;
  /** From 0 up to 1, for jitter. */
  random(): number;
}

/** Resolves after `delayMs`. */
export function sleep(clock: Pick<Clock, "after">, delayMs: number): Promise<void> {
  return new Promise((resolve) => clock.after(delayMs, resolve));
}

type OnFailedTimer = (error: unknown) => void;

/** Default: report the failure as an unguarded timer would. A program that starts nodes sets its own handler. */
let onFailed: OnFailedTimer = (error) =>
  queueMicrotask(() => {
    throw error;
  });

/** Timers of the system's clock whose work throws are reported here, and go on. */
export function onFailedTimer(report: OnFailedTimer): void {
  onFailed = report;
}

function guarded(body: () => void): () => void {
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
  after(delayMs, body) {
    const timer = setTimeout(guarded(body), delayMs);
    return () => clearTimeout(timer);
  },
  every(intervalMs, body) {
    const timer = setInterval(guarded(body), intervalMs);
    return () => clearInterval(timer);
  },
  random: () => Math.random(),
};
