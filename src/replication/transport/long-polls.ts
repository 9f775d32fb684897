/** The long polls of a node: other nodes whose event stream is silent wait here for this node's next position. */
import type { Clock } from "../../util/clock.ts";

/** More than the nodes of a cluster. */
const pollsMax = 1000;

export class LongPolls {
  readonly #clock: Clock;
  readonly #waiting = new Set<() => void>();
  /** Those of nodes that answer questions. */
  readonly #reporters = new Set<() => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The position has changed, or the node is about to end. */
  readonly wake = (): void => {
    for (const resolve of this.#waiting) resolve();
  };

  /** There is a question for the nodes that answer questions. The others would poll less often after a useless answer. */
  readonly wakeReporters = (): void => {
    for (const resolve of this.#reporters) resolve();
  };

  /** Resolves at the next change, after `waitMs` at the latest. Resolves immediately if too many polls wait. */
  readonly wait = (waitMs: number, isReporter = false): Promise<void> => {
    if (this.#waiting.size >= pollsMax) return Promise.resolve();
    return new Promise((resolve) => {
      const settle = (): void => {
        cancel();
        this.#waiting.delete(settle);
        this.#reporters.delete(settle);
        resolve();
      };
      const cancel = this.#clock.after(waitMs, settle);
      this.#waiting.add(settle);
      if (isReporter) this.#reporters.add(settle);
    });
  };
}
