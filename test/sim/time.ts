/**
 * Simulated time. All timers of the cluster wait here. They run in order, and everything that follows from a timer
 * without waiting happens before the next timer runs. Real work that takes real time, such as compressing a snapshot,
 * takes no simulated time: time stops until it is done.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { Clock } from "../../src/util/clock.ts";
import type { Random } from "./random.ts";

/** The owner of timers. They do not run when it is dead. */
export interface Owner {
  readonly name: string;
  readonly alive: boolean;
  /** While it is frozen, its timers wait until then. */
  readonly frozenUntilMs: number;
}

interface Moment {
  readonly atMs: number;
  readonly order: number;
  readonly owner: Owner | undefined;
  readonly run: () => void;
  cancelled: boolean;
}

/** The start of simulated time, in ms since 1970. */
export const beginning = Date.UTC(2030, 0, 1);

/** The longest real time of work on files, on a busy machine. */
const workMsMax = 60_000;
/** More timers at one time are an endless loop. */
const timersAtOnceMax = 100_000;

/** The owner whose code runs now. */
export const actor = new AsyncLocalStorage<Owner>();

export class Time {
  #nowMs = 0;
  #order = 0;
  /** Changes after each action that affects other owners. */
  #activity = 0;
  #working = 0;
  readonly #heap: Moment[] = [];
  /** Each removes the listener of a promise that has not settled. */
  readonly #pending = new Set<() => void>();

  get nowMs(): number {
    return this.#nowMs;
  }

  at(delayMs: number, owner: Owner | undefined, run: () => void): () => void {
    this.touch();
    const moment = { atMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, owner, run, cancelled: false };
    this.#push(moment);
    return () => {
      this.touch();
      moment.cancelled = true;
    };
  }

  sleep(delayMs: number, owner?: Owner): Promise<void> {
    return new Promise((resolve) => this.at(delayMs, owner, resolve));
  }

  /**
   * A promise that an abort of the signal rejects. Its listener is removed when it settles: the runtime keeps a signal of
   * several sources, with all that its listeners refer to, as long as it has a listener.
   */
  abortable<T>(
    signal: AbortSignal | undefined,
    start: (resolve: (value: T) => void, reject: (error: unknown) => void) => void,
    reasonOf: (signal: AbortSignal) => unknown = ({ reason }) => reason as unknown,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (signal?.aborted) return reject(reasonOf(signal));
      const abort = (): void => {
        this.touch();
        end();
        reject(signal === undefined ? undefined : reasonOf(signal));
      };
      const end = (): void => {
        this.#pending.delete(end);
        signal?.removeEventListener("abort", abort);
      };
      this.#pending.add(end);
      signal?.addEventListener("abort", abort);
      start(
        (value) => {
          end();
          resolve(value);
        },
        (error) => {
          end();
          reject(error);
        },
      );
    });
  }

  /** An action has happened that may cause others. */
  touch(): void {
    this.#activity++;
  }

  /** Runs real work: simulated time stops until it is done. */
  async working<T>(work: Promise<T>): Promise<T> {
    const end = this.work();
    try {
      return await work;
    } finally {
      end();
    }
  }

  /** The same for work that ends when the returned function is called. */
  work(): () => void {
    this.touch();
    this.#working++;
    let ended = false;
    return () => {
      if (!ended) this.#working--;
      ended = true;
      this.touch();
    };
  }

  /** Lets `durationMs` pass. Calls `body` after each timer, and ends early if it returns true. */
  async pass(durationMs: number, body: () => boolean = () => false): Promise<boolean> {
    const endMs = this.#nowMs + durationMs;
    await this.settle();
    for (let timersAtOnce = 0; ;) {
      if (body()) return true;
      const next = this.#heap[0];
      if (next === undefined || next.atMs > endMs) break;
      this.#pop();
      timersAtOnce = next.atMs > this.#nowMs ? 0 : timersAtOnce + 1;
      if (timersAtOnce > timersAtOnceMax) throw new Error("timers without a delay start each other for ever");
      if (next.cancelled || next.owner?.alive === false) continue;
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      if (next.owner !== undefined && next.owner.frozenUntilMs > this.#nowMs) {
        this.#push({ ...next, atMs: next.owner.frozenUntilMs });
        continue;
      }
      if (next.owner === undefined) next.run();
      else actor.run(next.owner, next.run);
      await this.settle();
    }
    this.#nowMs = endMs;
    return false;
  }

  /** Waits until only timers are left. */
  async settle(): Promise<void> {
    const startMs = performance.now();
    for (let quiet = 0; quiet < 3;) {
      const before = this.#activity;
      await new Promise((resolve) => setImmediate(resolve));
      if (performance.now() - startMs > workMsMax) throw new Error("some work does not come to an end");
      if (this.#working > 0) {
        await new Promise((resolve) => setTimeout(resolve, 0));
        quiet = 0;
      } else quiet = this.#activity === before ? quiet + 1 : 0;
    }
  }

  /** Ends simulated time: nothing happens after that. */
  close(): void {
    for (const end of this.#pending) end();
    this.#heap.length = 0;
  }

  #push(moment: Moment): void {
    const heap = this.#heap;
    let index = heap.push(moment) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!before(heap[index], heap[parent])) break;
      swap(heap, index, parent);
      index = parent;
    }
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    heap[0] = last;
    for (let index = 0; ;) {
      const [left, right] = [2 * index + 1, 2 * index + 2];
      let least = index;
      if (before(heap[left], heap[least])) least = left;
      if (before(heap[right], heap[least])) least = right;
      if (least === index) return;
      swap(heap, index, least);
      index = least;
    }
  }
}

function before(left: Moment | undefined, right: Moment | undefined): boolean {
  if (left === undefined || right === undefined) return false;
  return left.atMs < right.atMs || (left.atMs === right.atMs && left.order < right.order);
}

function swap(heap: Moment[], left: number, right: number): void {
  const [a, b] = [heap[left], heap[right]];
  if (a === undefined || b === undefined) return;
  heap[left] = b;
  heap[right] = a;
}

/** Handles an error that a timer throws. */
type OnThrown = (error: unknown) => void;

/**
 * The clock of a node. `skewMs` is the error of its wall clock, and may change while it runs. As with the system's
 * clock, an error in a timer is reported, and a repeated timer continues.
 */
export function clockOf(
  time: Time,
  owner: Owner,
  random: Random,
  skewMs: () => number,
  onThrown: OnThrown = rethrow,
): Clock {
  const startMs = time.nowMs;
  const guarded = (body: () => void) => () => {
    try {
      body();
    } catch (error) {
      onThrown(error);
    }
  };
  return {
    monotonicMs: () => 1000 + time.nowMs - startMs,
    wallMs: () => Math.round(beginning + time.nowMs + skewMs()),
    preciseMs: () => beginning + time.nowMs + skewMs(),
    after: (delayMs, body) => time.at(delayMs, owner, guarded(body)),
    every(intervalMs, body) {
      let cancel = (): void => {};
      const next = (): void => {
        cancel = time.at(intervalMs, owner, () => {
          next();
          guarded(body)();
        });
      };
      next();
      return () => cancel();
    },
    random: () => random.next(),
  };
}

const rethrow: OnThrown = (error) => {
  throw error;
};
