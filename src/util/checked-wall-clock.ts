/**
 * Whether the wall clock can be believed. A wall clock may be set, by mistake or by an attacker who controls its time source; a monotonic one cannot. As long as
 * both show that the same time has passed, the wall clock was not set meanwhile.
 */
import type { Clock } from "./clock.ts";

/** How far they may drift apart: steps this small do not matter, and a clock that is slowed down or sped up to be corrected does so by less. */
const driftMsMax = 1000;
const driftShareMax = 0.001;

export class CheckedWallClock {
  readonly #clock: Pick<Clock, "monotonicMs" | "wallMs">;
  readonly #steadyMs: number;
  /** The first observation since the wall clock was set. */
  #first: { readonly monotonicMs: number; readonly wallMs: number };

  /** The wall clock is believed once it has agreed with the monotonic one for `steadyMs`. */
  constructor(clock: Pick<Clock, "monotonicMs" | "wallMs">, steadyMs: number) {
    this.#clock = clock;
    this.#steadyMs = steadyMs;
    this.#first = { monotonicMs: clock.monotonicMs(), wallMs: clock.wallMs() };
  }

  /** Compares the clocks. Gives by how much the wall clock was set since the last time, where it was; negative where it was set back. */
  observe(): number | undefined {
    const seen = { monotonicMs: this.#clock.monotonicMs(), wallMs: this.#clock.wallMs() };
    const passedMs = seen.monotonicMs - this.#first.monotonicMs;
    const setMs = seen.wallMs - this.#first.wallMs - passedMs;
    if (Math.abs(setMs) <= driftMsMax + passedMs * driftShareMax) return undefined;
    this.#first = seen;
    return setMs;
  }

  /** The time of the wall clock; undefined while it is not believed. */
  get nowMs(): number | undefined {
    this.observe();
    const passedMs = this.#clock.monotonicMs() - this.#first.monotonicMs;
    return passedMs >= this.#steadyMs ? this.#clock.wallMs() : undefined;
  }

  /** Waits anew until the clock is believed. */
  restart(): void {
    this.#first = { monotonicMs: this.#clock.monotonicMs(), wallMs: this.#clock.wallMs() };
  }
}
