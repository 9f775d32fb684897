/**
 * Decides when the primary is asked because of what the feed said. The feed may tell of something of which the primary knows nothing, if a broker repeats
 * messages of a history that was given up. So each answer without news doubles the delay before the primary is asked again.
 */
import type { Limits } from "../../config/limits.ts";
import type { Clock } from "../../util/clock.ts";

export interface HintsOptions {
  readonly limits: Pick<Limits, "retryDelayMsMin" | "retryDelayMsMax">;
  readonly clock: Clock;
  readonly ask: () => void;
}

export class Hints {
  readonly #options: HintsOptions;
  #isAsked = false;
  /** The number of answers in a row without news. */
  #vain = 0;
  #answeredAtMs = Number.NEGATIVE_INFINITY;
  #cancel: (() => void) | undefined;

  constructor(options: HintsOptions) {
    this.#options = options;
  }

  /** The feed says that there is more than this copy has. */
  take(): void {
    const { limits, clock } = this.#options;
    const delayMs = this.#vain === 0 ? 0 : Math.min(limits.retryDelayMsMin * 2 ** this.#vain, limits.retryDelayMsMax);
    const waitMs = this.#answeredAtMs + delayMs - clock.monotonicMs();
    if (waitMs <= 0) return this.#ask();
    this.#cancel ??= clock.after(waitMs, () => {
      this.#cancel = undefined;
      this.#ask();
    });
  }

  /** The primary was asked, for whatever reason. */
  answered(hasMoved: boolean): void {
    if (hasMoved) this.#vain = 0;
    else if (this.#isAsked) this.#vain++;
    this.#isAsked = false;
    this.#answeredAtMs = this.#options.clock.monotonicMs();
  }

  stop(): void {
    this.#cancel?.();
  }

  #ask(): void {
    this.#isAsked = true;
    this.#options.ask();
  }
}
