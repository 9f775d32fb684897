/** Those who wait for a node to move on: nodes whose feed is silent, and that ask for its next head. */
import type { Clock } from "../../util/clock.ts";

/** More nodes than a cluster has. */
const pollsMax = 1000;

export class LongPolls {
  readonly #clock: Clock;
  readonly #waiting = new Set<() => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The node has moved on, or is about to end. */
  readonly wake = (): void => {
    for (const resolve of this.#waiting) resolve();
  };

  /** Resolves at the next move, after `waitMs` at the latest; at once where too many wait. */
  readonly wait = (waitMs: number): Promise<void> => {
    if (this.#waiting.size >= pollsMax) return Promise.resolve();
    return new Promise((resolve) => {
      const settle = (): void => {
        cancel();
        this.#waiting.delete(settle);
        resolve();
      };
      const cancel = this.#clock.after(waitMs, settle);
      this.#waiting.add(settle);
    });
  };
}
