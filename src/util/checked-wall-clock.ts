/**
 * A wall clock that is checked against the monotonic clock. A wall clock can be set, by mistake or by an attacker who
 * controls its time source; a monotonic clock cannot. While both advance by the same time, the wall clock was not set.
 */
import type { Clock } from "./clock.ts";

/** The allowed drift: smaller steps do not matter, and a correction by a slower or faster clock causes less. */
const driftMsMax = 1000;
const driftShareMax = 0.001;

type Clocks = Pick<Clock, "monotonicMs" | "wallMs">;

const timesOf = (clock: Clocks) => ({ monotonicMs: clock.monotonicMs(), wallMs: clock.wallMs() });

export class CheckedWallClock {
  readonly #clock: Clocks;
  readonly #steadyMs: number;
  /** The first observation since the wall clock was set. */
  #first: ReturnType<typeof timesOf>;

  /** The wall clock is trusted after it has agreed with the monotonic clock for `steadyMs`. */
  constructor(clock: Clocks, steadyMs: number) {
    this.#clock = clock;
    this.#steadyMs = steadyMs;
    this.#first = timesOf(clock);
  }

  /** If the wall clock was set since the last call, returns by how much: a negative number if it was set back. */
  observe(): number | undefined {
    const seen = timesOf(this.#clock);
    const passedMs = seen.monotonicMs - this.#first.monotonicMs;
    const setMs = seen.wallMs - this.#first.wallMs - passedMs;
    if (Math.abs(setMs) <= driftMsMax + passedMs * driftShareMax) return undefined;
    this.#first = seen;
    return setMs;
  }

  /** The time of the wall clock; undefined while it is not trusted. */
  get nowMs(): number | undefined {
    this.observe();
    const passedMs = this.#clock.monotonicMs() - this.#first.monotonicMs;
    return passedMs >= this.#steadyMs ? this.#clock.wallMs() : undefined;
  }

  /** Trusts the clock only after another `steadyMs`. */
  restart(): void {
    this.#first = timesOf(this.#clock);
  }
}
