/**
 * How far the edges have come, as they say themselves: over the broker each time they have applied something, and with each request for the log.
 * A primary that was told to acknowledge a write only when some of them have it (`ack`) waits here; then one of those can take its place and
 * nothing acknowledged is lost.
 */
import type { Clock } from "../../util/clock.ts";

interface Waiter {
  readonly epoch: string;
  readonly offset: number;
  readonly resolve: (reached: boolean) => void;
}

interface AckedPosition {
  readonly epoch: string;
  readonly offset: number;
}

export class Acks {
  readonly #needed: number;
  readonly #clock: Clock;
  readonly #standings = new Map<string, AckedPosition>();
  readonly #waiters = new Set<Waiter>();

  /** `needed` nodes must have an event before it counts; 0 waits for nobody. */
  constructor(needed: number, clock: Clock) {
    this.#needed = needed;
    this.#clock = clock;
  }

  /** A node says that it has everything of this epoch up to there. */
  record(nodeId: string, epoch: string, offset: number): void {
    const before = this.#standings.get(nodeId);
    if (before?.epoch === epoch && before.offset >= offset) return;
    this.#standings.set(nodeId, { epoch, offset });
    for (const waiter of this.#waiters) if (this.#has(waiter.epoch, waiter.offset)) waiter.resolve(true);
  }

  /** Whether enough nodes have it, at the latest after `waitMs`. */
  waitFor(epoch: string, offset: number, waitMs: number): Promise<boolean> {
    if (this.#has(epoch, offset)) return Promise.resolve(true);
    return new Promise((resolve) => {
      const settle = (reached: boolean): void => {
        cancel();
        this.#waiters.delete(waiter);
        resolve(reached);
      };
      const cancel = this.#clock.after(waitMs, () => settle(false));
      const waiter: Waiter = { epoch, offset, resolve: settle };
      this.#waiters.add(waiter);
    });
  }

  #has(epoch: string, offset: number): boolean {
    if (this.#needed === 0) return true;
    let nodes = 0;
    for (const standing of this.#standings.values()) if (standing.epoch === epoch && standing.offset >= offset) nodes++;
    return nodes >= this.#needed;
  }
}
