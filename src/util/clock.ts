/** Time and chance, as one thing that is handed in: so that what waits, retries and times out can be run under a clock that a test moves. */
export interface Clock {
  /** Milliseconds since some moment; never goes back. */
  monotonicMs(): number;
  /** Milliseconds since 1970. */
  wallMs(): number;
  /** The same with a fraction, for durations between nodes. The threads of a process agree on it. */
  preciseMs(): number;
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

/** Where the two clocks of a process differ by more, the wall clock was set since the process began. */
const settingMsMin = 5;
let setByMs = 0;

/** Milliseconds since 1970 with a fraction, by the wall clock as it is set now. */
export function preciseNow(): number {
  const nowMs = performance.timeOrigin + performance.now() + setByMs;
  const differenceMs = Date.now() - nowMs;
  if (Math.abs(differenceMs) < settingMsMin) return nowMs;
  setByMs += differenceMs;
  return nowMs + differenceMs;
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
  preciseMs: preciseNow,
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
