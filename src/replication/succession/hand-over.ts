/**
 * A primary hands over to an edge that is promoted gracefully: it takes no further write, finishes those that are under way, and tells where it then
 * stands. The edge fetches the rest and begins its term, which fences this primary. Where nothing comes of it, writes are taken again after a while.
 */
import { getLogger } from "../../telemetry/logger.ts";
import { AppError } from "../../util/app-error.ts";
import type { Clock } from "../../util/clock.ts";

const log = getLogger("primary");

/** The edge that is promoted gives up before that. */
const patienceMs = 10_000;

export class HandOver {
  readonly #clock: Clock;
  #writing = 0;
  #idle = (): void => {};
  #cancel: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** AppError `not_ready` while this primary hands over. */
  requireNone(): void {
    if (this.#cancel === undefined) return;
    throw new AppError("not_ready", "another node is just becoming the primary: send the write again in a moment");
  }

  /** Counts a write as under way while `work` runs. */
  async during<Result>(work: () => Promise<Result>): Promise<Result> {
    this.#writing++;
    try {
      return await work();
    } finally {
      this.#writing--;
      if (this.#writing === 0) this.#idle();
    }
  }

  /** Resolves when nothing is written any more. */
  async begin(to: string): Promise<void> {
    log.warning("this primary hands over to {node} and takes no writes meanwhile", { node: to });
    this.#cancel?.();
    this.#cancel = this.#clock.after(patienceMs, () => {
      this.#cancel = undefined;
      log.warning("{node} did not become the primary: this one takes writes again", { node: to });
    });
    if (this.#writing > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
  }
}
