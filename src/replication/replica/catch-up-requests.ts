/**
 * The backoff of catch-ups that the event stream causes. A broker may repeat messages of an abandoned history, which
 * announce events that the primary does not have. So each catch-up without news doubles the delay before the next.
 */
import { must } from "../../util/assert.ts";
import { backoffMs } from "../../util/backoff.ts";
import type { TimeContext } from "../node-context.ts";
import { type CatchUpCause, mergeCauses } from "./replica-state.ts";

export class CatchUpRequests {
  readonly #context: TimeContext;
  readonly #startCatchUp: (cause: CatchUpCause) => void;
  #isStarted = false;
  /** How many catch-ups in a row ended without news. */
  #withoutNews = 0;
  #answeredAtMs = Number.NEGATIVE_INFINITY;
  #waiting: { readonly cause: CatchUpCause; readonly cancel: () => void } | undefined;

  constructor(context: TimeContext, start: (cause: CatchUpCause) => void) {
    this.#context = context;
    this.#startCatchUp = start;
  }

  /** The event stream announces events that this replica does not have. */
  request(cause: CatchUpCause = "missed"): void {
    const { limits, clock } = this.#context;
    const delays = { minMs: limits.retryDelayMsMin, maxMs: limits.retryDelayMsMax };
    const delayMs = this.#withoutNews === 0 ? 0 : backoffMs(this.#withoutNews, delays, clock.random());
    const waitMs = this.#answeredAtMs + delayMs - clock.monotonicMs();
    if (waitMs <= 0) return this.#start(cause);
    const cancel = this.#waiting?.cancel ?? clock.after(waitMs, () => this.#end());
    this.#waiting = { cause: mergeCauses(this.#waiting?.cause, cause), cancel };
  }

  /** A catch-up has ended, for whatever reason it began. */
  onAnswer(hasNews: boolean): void {
    if (hasNews) this.#withoutNews = 0;
    else if (this.#isStarted) this.#withoutNews++;
    this.#isStarted = false;
    this.#answeredAtMs = this.#context.clock.monotonicMs();
  }

  stop(): void {
    this.#waiting?.cancel();
  }

  #end(): void {
    const { cause } = must(this.#waiting);
    this.#waiting = undefined;
    this.#start(cause);
  }

  #start(cause: CatchUpCause): void {
    this.#isStarted = true;
    this.#startCatchUp(cause);
  }
}
