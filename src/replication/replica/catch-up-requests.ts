/**
 * Decides when the primary is asked because of what the feed said, and remembers why. The feed may tell of something of which the primary knows nothing, if a broker repeats
 * messages of a history that was given up. So each answer without news doubles the delay before the primary is asked again.
 */
import type { Limits } from "../../config/limits.ts";
import { must } from "../../util/assert.ts";
import { backoffMs } from "../../util/backoff.ts";
import type { Clock } from "../../util/clock.ts";
import { type CatchUpCause, mergeCauses } from "./replica-state.ts";

export interface CatchUpRequestsOptions {
  readonly limits: Pick<Limits, "retryDelayMsMin" | "retryDelayMsMax">;
  readonly clock: Clock;
  readonly start: (cause: CatchUpCause) => void;
}

export class CatchUpRequests {
  readonly #options: CatchUpRequestsOptions;
  #isAsked = false;
  /** The number of answers in a row without news. */
  #vain = 0;
  #answeredAtMs = Number.NEGATIVE_INFINITY;
  #waiting: { readonly cause: CatchUpCause; readonly cancel: () => void } | undefined;

  constructor(options: CatchUpRequestsOptions) {
    this.#options = options;
  }

  /** The feed says that there is more than this copy has. */
  request(cause: CatchUpCause = "missed"): void {
    const { limits, clock } = this.#options;
    const delays = { minMs: limits.retryDelayMsMin, maxMs: limits.retryDelayMsMax };
    const delayMs = this.#vain === 0 ? 0 : backoffMs(this.#vain, delays, clock.random());
    const waitMs = this.#answeredAtMs + delayMs - clock.monotonicMs();
    if (waitMs <= 0) return this.#ask(cause);
    const cancel = this.#waiting?.cancel ?? clock.after(waitMs, () => this.#end());
    this.#waiting = { cause: mergeCauses(this.#waiting?.cause, cause), cancel };
  }

  /** The primary was asked, for whatever reason. */
  onAnswer(hasMoved: boolean): void {
    if (hasMoved) this.#vain = 0;
    else if (this.#isAsked) this.#vain++;
    this.#isAsked = false;
    this.#answeredAtMs = this.#options.clock.monotonicMs();
  }

  stop(): void {
    this.#waiting?.cancel();
  }

  #end(): void {
    const { cause } = must(this.#waiting);
    this.#waiting = undefined;
    this.#ask(cause);
  }

  #ask(cause: CatchUpCause): void {
    this.#isAsked = true;
    this.#options.start(cause);
  }
}
