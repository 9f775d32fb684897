/**
 * The expiry of a lease as this node observes it. It compares no clocks of two machines: a lease has expired when its
 * record has not changed for as long as the lease lasts, by this node's own clock. The leader election of client-go
 * does the same. So a node that has just started waits that long before it acquires a lease that was not released.
 *
 * While the store does not answer, the holder cannot renew its lease either, and may continue with the confirmation of
 * its peers. So once the store answers again, the holder has half of the time to live for a renewal.
 */
import type { Clock } from "../../util/clock.ts";

export class ObservedExpiry {
  readonly #clock: Pick<Clock, "monotonicMs">;
  #version: string | undefined;
  #sinceMs = 0;
  #readMs = 0;
  /** Whether an attempt to read has failed since the last successful one. */
  #hasMissed = false;

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  /** Call it after each reading, not before: the lease must not expire here before it does for its holder. */
  observe(version: string, durationMs: number): void {
    const nowMs = this.#clock.monotonicMs();
    // A node that did not ask, for example during a promotion, has not observed that the store was silent.
    const wasSilent = this.#hasMissed && nowMs - this.#readMs > durationMs / 2;
    this.#readMs = nowMs;
    this.#hasMissed = false;
    if (version !== this.#version) this.#sinceMs = nowMs;
    else if (wasSilent) this.#sinceMs = Math.max(this.#sinceMs, nowMs - durationMs / 2);
    this.#version = version;
  }

  /** Call it after each attempt to read without an answer. */
  missed(): void {
    this.#hasMissed = true;
  }

  hasExpired(durationMs: number): boolean {
    return this.#clock.monotonicMs() - this.#sinceMs >= durationMs;
  }
}
