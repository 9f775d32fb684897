/**
 * Asks the primary periodically whether this replica has all events, even while the event stream is alive, because a
 * broker can hold back messages. One small request per window is enough, also one for another reason.
 */
import type { Clock } from "../../util/clock.ts";

export interface ConfirmationsOptions {
  /** The longest time between two requests. */
  readonly windowMs: number;
  readonly clock: Clock;
  /** Asks the primary. Resolves after the answer or a failure. */
  readonly ask: () => Promise<void>;
}

/** An answer of this age is reused. */
const answerValidMs = 250;

export class Confirmations {
  readonly #options: ConfirmationsOptions;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #running: Promise<void> | undefined;
  #stopped = false;
  #cancel = (): void => {};

  constructor(options: ConfirmationsOptions) {
    this.#options = options;
  }

  start(): void {
    this.#askedAtMs = this.#options.clock.monotonicMs();
    this.#schedule();
  }

  /** The primary has answered a request of this time. */
  answered(askedAtMs: number): void {
    this.#askedAtMs = Math.max(this.#askedAtMs, askedAtMs);
    this.#schedule();
  }

  /** Asks now, unless the primary was just asked. */
  request(): void {
    if (this.#options.clock.monotonicMs() - this.#askedAtMs > answerValidMs) this.#ask();
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
    const { windowMs, clock } = this.#options;
    const sinceMs = Math.min(windowMs / 2, clock.monotonicMs() - this.#askedAtMs);
    this.#cancel();
    this.#cancel = clock.after(windowMs * (0.75 + clock.random() / 4) - sinceMs, () => {
      this.#ask();
      this.#schedule();
    });
  }

  #ask(): void {
    const { clock, ask } = this.#options;
    if (this.#running !== undefined || this.#stopped) return;
    this.#askedAtMs = clock.monotonicMs();
    this.#running = ask().finally(() => (this.#running = undefined));
  }
}
