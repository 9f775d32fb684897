/**
 * The handover of a primary to an edge that is promoted gracefully: it accepts no more writes, finishes pending ones,
 * and reports its final position. The edge fetches the missing events and begins its term, which fences this primary.
 * If the edge does not become the primary, this primary accepts writes again; if it has given away its lease, it
 * becomes an edge.
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
  #pendingWrites = 0;
  /** Resolves when there are no more pending writes. */
  #idle: PromiseWithResolvers<void> | undefined;
  #target: string | undefined;
  #cancel = (): void => {};

  /** `onGivenUp` is called if the other node did not become the primary. */
  constructor(clock: Clock, onGivenUp: (target: string) => void) {
    this.#clock = clock;
    this.#onGivenUp = onGivenUp;
  }

  /** The node that is to become the primary. Undefined while this one accepts writes. */
  get target(): string | undefined {
    return this.#target;
  }

  /** AppError `not_ready` during a handover. */
  requireInactive(): void {
    if (this.#target === undefined) return;
    throw new AppError("not_ready", `${this.#target} is about to become the primary: send the write again in a moment`);
  }

  /** This primary stops. It does not wait for the other node any more. */
  close(): void {
    this.#cancel();
  }

  /** Counts a write as pending while `work` runs. */
  async trackWrite<Result>(work: () => Promise<Result>): Promise<Result> {
    this.#pendingWrites++;
    try {
      return await work();
    } finally {
      this.#pendingWrites--;
      if (this.#pendingWrites === 0) this.#idle?.resolve();
    }
  }

  /** Accepts no more writes. Resolves when the pending ones are finished. */
  async start(target: string): Promise<void> {
    log.warning("this primary hands over to {node} and accepts no writes meanwhile", { node: target });
    this.#target = target;
    this.#cancel();
    this.#cancel = this.#clock.after(handoverTimeoutMs, () => {
      this.#target = undefined;
      log.warning("{node} did not become the primary", { node: target });
      this.#onGivenUp(target);
    });
    if (this.#pendingWrites === 0) return;
    this.#idle ??= Promise.withResolvers<void>();
    await this.#idle.promise;
    this.#idle = undefined;
  }
}
