/** A signal that aborts at some time, by a clock that is handed in. */
import type { Clock } from "./clock.ts";

export interface Deadline extends Disposable {
  readonly signal: AbortSignal;
}

/** As `AbortSignal.timeout` does, after `delayMs`. Disposing of it stops the clock. */
export function deadline(clock: Clock, delayMs: number): Deadline {
  const controller = new AbortController();
  const abort = (): void => controller.abort(new DOMException("The operation timed out.", "TimeoutError"));
  return { signal: controller.signal, [Symbol.dispose]: clock.after(delayMs, abort) };
}
