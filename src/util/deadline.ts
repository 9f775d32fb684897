/** An abort signal with a time limit on a given clock. */
import type { Clock } from "./clock.ts";

export interface Deadline extends Disposable {
  readonly signal: AbortSignal;
}

/** Like `AbortSignal.timeout`, on a given clock. Disposing it stops the timer. */
export function deadline(clock: Clock, delayMs: number): Deadline {
  const controller = new AbortController();
  const abort = (): void => controller.abort(new DOMException("The operation timed out.", "TimeoutError"));
  return { signal: controller.signal, [Symbol.dispose]: clock.after(delayMs, abort) };
}
