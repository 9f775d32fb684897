/**
 * The expiry of a lease as this node observes it. No clocks of two machines are compared: a lease has expired when its record
 * has not changed for as long as the lease lasts, by this node's own clock. The leader election of client-go does the
 * same. So a node that has just started waits that long before it takes a lease that was not released.
 *
 * While the store gives no answers, the holder cannot renew its lease either, and may go on by the word of its peers. So
 * once there are answers again, it gets half of the time to live for a renewal.
 */
import type { Clock } from "../../../util/clock.ts";

export class ObservedExpiry {
  readonly #clock: Pick<Clock, "monotonicMs">;
  #version: string | undefined;
  #sinceMs = 0;
  #readMs = 0;
  /** Whether an attempt to read has failed since the last reading. */
  #hasMissed = false;

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  /**
   * Called after each reading, not before: the lease must not expire here before it does for its holder. `durationMs` is
   * how long the lease lasts.
   */
  observe(version: string, durationMs: number): void {
    const nowMs = this.#clock.monotonicMs();
    // A node that did not ask, since it was busy with a promotion, has not heard a silence.
    const wasSilent = this.#hasMissed && nowMs - this.#readMs > durationMs / 2;
    this.#readMs = nowMs;
    this.#hasMissed = false;
    if (version !== this.#version) this.#sinceMs = nowMs;
    else if (wasSilent) this.#sinceMs = Math.max(this.#sinceMs, nowMs - durationMs / 2);
    this.#version = version;
  }

  /** Called after each attempt to read that gave no answer. */
  missed(): void {
    this.#hasMissed = true;
  }

  hasExpired(durationMs: number): boolean {
    return this.#clock.monotonicMs() - this.#sinceMs >= durationMs;
  }
}
