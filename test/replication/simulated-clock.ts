/** A clock that the test moves. Its timers run in order when the test lets time pass. */
import { expect } from "bun:test";
import { must } from "../../src/util/assert.ts";
import type { Clock } from "../../src/util/clock.ts";
import { eventually } from "./cluster.ts";

interface Timer {
  atMs: number;
  readonly everyMs: number | undefined;
  readonly body: () => void;
}

export class SimulatedClock implements Clock {
  readonly #random: number;
  #nowMs = 0;
  #wallMs: number;
  #timers: Timer[] = [];

  /** `random` is the random number that every call gets, `wallMs` the first time of the wall clock. */
  constructor(random = 0, wallMs = Date.UTC(2030, 0, 1)) {
    this.#random = random;
    this.#wallMs = wallMs;
  }

  // Properties, since some users take single functions of a clock.
  readonly monotonicMs = (): number => this.#nowMs;
  readonly wallMs = (): number => this.#wallMs;
  readonly preciseMs = (): number => this.#wallMs;
  readonly random = (): number => this.#random;

  readonly after = (delayMs: number, body: () => void): (() => void) =>
    this.#add({ atMs: this.#nowMs + delayMs, everyMs: undefined, body });

  readonly every = (everyMs: number, body: () => void): (() => void) =>
    this.#add({ atMs: this.#nowMs + everyMs, everyMs, body });

  /** For how long the timers still wait, in the order in which they were started. */
  get waiting(): readonly number[] {
    return this.#timers.map(({ atMs }) => atMs - this.#nowMs);
  }

  pass(ms: number): void {
    const endMs = this.#nowMs + ms;
    while (this.#runNext(endMs));
    this.#moveTo(endMs);
  }

  /** Like `pass`. Everything that follows from a timer without waiting happens before the next timer runs. */
  async passSettled(ms: number): Promise<void> {
    await settle();
    const endMs = this.#nowMs + ms;
    while (this.#runNext(endMs)) await settle();
    this.#moveTo(endMs);
  }

  /**
   * The process stands still, so its timers do not run. The monotonic clock of a suspended machine stops; that of a
   * stopped process continues.
   */
  standStill(ms: number, { clock }: { readonly clock: "running" | "stopped" }): void {
    if (clock === "running") this.#nowMs += ms;
    this.#wallMs += ms;
  }

  #add(timer: Timer): () => void {
    this.#timers.push(timer);
    return () => void (this.#timers = this.#timers.filter((other) => other !== timer));
  }

  #runNext(endMs: number): boolean {
    const next = this.#timers.toSorted((one, two) => one.atMs - two.atMs)[0];
    if (next === undefined || next.atMs > endMs) return false;
    this.#moveTo(next.atMs);
    if (next.everyMs === undefined) this.#timers = this.#timers.filter((timer) => timer !== next);
    else next.atMs = this.#nowMs + next.everyMs;
    next.body();
    return true;
  }

  /** A timer that is late because the process stood still runs now. */
  #moveTo(atMs: number): void {
    const passedMs = Math.max(0, atMs - this.#nowMs);
    this.#nowMs += passedMs;
    this.#wallMs += passedMs;
  }
}

/** Waits until one timer is left, and lets time pass until it runs. Returns how long that is. */
export async function runNextTimer(clock: SimulatedClock): Promise<number> {
  await eventually(() => expect(clock.waiting).toHaveLength(1));
  const delayMs = must(clock.waiting[0]);
  clock.pass(delayMs);
  return delayMs;
}

/** Closes a connection, which waits for its peer until a limit on this clock. */
export async function closeOn(clock: SimulatedClock, connection: { close(): Promise<void> }): Promise<void> {
  const closed = connection.close();
  clock.pass(60_000);
  await closed;
}

/** Runs everything that waits for no timer. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}
