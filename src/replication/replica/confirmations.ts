/**
 * Asks the primary now and then whether this copy is the newest, although the feed is alive: a broker can hold back what it likes. One small request
 * in each window; none where the primary was asked for another reason.
 */
import type { Clock } from "../../util/clock.ts";

export interface ConfirmationsOptions {
  /** The longest time between two questions. */
  readonly windowMs: number;
  readonly clock: Clock;
  /** Asks. Resolves when it was answered, or failed. */
  readonly ask: () => Promise<void>;
}

/** Who asks for a confirmation gets the present one, where it is not older. */
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
    this.#plan();
  }

  /** The primary has answered a question of this moment. */
  answered(askedAtMs: number): void {
    this.#askedAtMs = Math.max(this.#askedAtMs, askedAtMs);
    this.#plan();
  }

  /** Asks at once, unless it was asked just now. */
  request(): void {
    if (this.#options.clock.monotonicMs() - this.#askedAtMs > answerValidMs) this.#ask();
  }

  /** Resolves when nothing is under way any more. */
  stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    return this.#running ?? Promise.resolve();
  }

  /** The jitter keeps edges apart that were started together. */
  #plan(): void {
    if (this.#stopped) return;
    const { windowMs, clock } = this.#options;
    const sinceMs = Math.min(windowMs / 2, clock.monotonicMs() - this.#askedAtMs);
    this.#cancel();
    this.#cancel = clock.after(windowMs * (0.75 + clock.random() / 4) - sinceMs, () => {
      this.#ask();
      this.#plan();
    });
  }

  #ask(): void {
    const { clock, ask } = this.#options;
    if (this.#running !== undefined || this.#stopped) return;
    this.#askedAtMs = clock.monotonicMs();
    this.#running = ask().finally(() => (this.#running = undefined));
  }
}
