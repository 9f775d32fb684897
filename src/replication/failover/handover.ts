/**
 * A primary hands over to an edge that is promoted gracefully: it takes no further write, finishes those that are under way, and tells where it then
 * stands. The edge fetches the rest and begins its term, which fences this primary. If that
 * node does not become the primary, this one takes writes again; with a lease, which it gave away, it becomes an edge.
 */
import { getLogger } from "../../telemetry/logger.ts";
import { AppError } from "../../util/app-error.ts";
import type { Clock } from "../../util/clock.ts";

const log = getLogger("primary");

/** Longer than the promotion of the other node takes. */
const handoverTimeoutMs = 20_000;

export class Handover {
  readonly #clock: Clock;
  readonly #onGivenUp: (target: string) => void;
  #writing = 0;
  /** Resolves when nothing is written any more. */
  #idle: PromiseWithResolvers<void> | undefined;
  #to: string | undefined;
  #cancel = (): void => {};

  /** `onGivenUp` is called when the other node did not become the primary. */
  constructor(clock: Clock, onGivenUp: (to: string) => void) {
    this.#clock = clock;
    this.#onGivenUp = onGivenUp;
  }

  /** The node that is to be the primary. Undefined while this one takes writes. */
  get to(): string | undefined {
    return this.#to;
  }

  /** AppError `not_ready` while this primary hands over. */
  requireInactive(): void {
    if (this.#to === undefined) return;
    throw new AppError("not_ready", `${this.#to} is about to become the primary: send the write again in a moment`);
  }

  /** This primary ends: whether the other one has become it is not waited for any more. */
  close(): void {
    this.#cancel();
  }

  /** Counts a write as under way while `work` runs. */
  async trackWrite<Result>(work: () => Promise<Result>): Promise<Result> {
    this.#writing++;
    try {
      return await work();
    } finally {
      this.#writing--;
      if (this.#writing === 0) this.#idle?.resolve();
    }
  }

  /** Takes no further writes. Resolves when those under way are finished. */
  async start(to: string): Promise<void> {
    log.warning("this primary hands over to {node} and takes no writes meanwhile", { node: to });
    this.#to = to;
    this.#cancel();
    this.#cancel = this.#clock.after(handoverTimeoutMs, () => {
      this.#to = undefined;
      log.warning("{node} did not become the primary", { node: to });
      this.#onGivenUp(to);
    });
    if (this.#writing === 0) return;
    this.#idle ??= Promise.withResolvers<void>();
    await this.#idle.promise;
    this.#idle = undefined;
  }
}
