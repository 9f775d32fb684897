/**
 * Asks the primary periodically whether this replica has all events, even while the event stream is alive, because a
 * broker can hold back messages. One small request per window is enough, also one for another reason.
 */
import type { Clock } from "../../util/clock.ts";

/** An answer of this age is reused. */
const answerValidMs = 250;

export class Confirmations {
  readonly #clock: Clock;
  readonly #windowMs: number;
  readonly #askPrimary: () => Promise<void>;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #running: Promise<void> | undefined;
  #stopped = false;
  #cancel = (): void => {};

  /** `windowMs`: the longest time between two requests. `ask` resolves after the answer or a failure. */
  constructor(clock: Clock, windowMs: number, ask: () => Promise<void>) {
    this.#clock = clock;
    this.#windowMs = windowMs;
    this.#askPrimary = ask;
  }

  start(): void {
    this.#askedAtMs = this.#clock.monotonicMs();
    this.#schedule();
  }

  /** The primary has answered a request of this time. */
  answered(askedAtMs: number): void {
    this.#askedAtMs = Math.max(this.#askedAtMs, askedAtMs);
    this.#schedule();
  }

  /** Asks now, unless the primary was just asked. */
  request(): void {
    if (this.#clock.monotonicMs() - this.#askedAtMs > answerValidMs) this.#ask();
  }

  /** Resolves when no request is under way. */
  stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    return this.#running ?? Promise.resolve();
  }

  /** The jitter keeps nodes apart that were started together. */
  #schedule(): void {
    if (this.#stopped) return;
    const [clock, windowMs] = [this.#clock, this.#windowMs];
    const sinceMs = Math.min(windowMs / 2, clock.monotonicMs() - this.#askedAtMs);
    this.#cancel();
    this.#cancel = clock.after(windowMs * (0.75 + clock.random() / 4) - sinceMs, () => {
      this.#ask();
      this.#schedule();
    });
  }

  #ask(): void {
    if (this.#running !== undefined || this.#stopped) return;
    this.#askedAtMs = this.#clock.monotonicMs();
    this.#running = this.#askPrimary().finally(() => (this.#running = undefined));
  }
}
