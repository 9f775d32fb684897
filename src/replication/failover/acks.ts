/**
 * The acknowledged positions of edges. Edges report them over the broker each time they have applied events, and with
 * each request for the log. With the setting `ack`, a primary acknowledges a write only when enough edges have it. Then
 * one of those can replace it, and no acknowledged write is lost.
 */
import type { Clock } from "../../util/clock.ts";
import type { Position } from "../../log/event/position.ts";

type AckedPosition = Pick<Position, "epoch" | "offset">;

interface Waiter extends AckedPosition {
  readonly resolve: (reached: boolean) => void;
}

export class Acks {
  readonly #needed: number;
  readonly #clock: Clock;
  readonly #positions = new Map<string, AckedPosition>();
  readonly #waiters = new Set<Waiter>();

  /** A write is acknowledged when `needed` edges have its event; 0 waits for none. */
  constructor(needed: number, clock: Clock) {
    this.#needed = needed;
    this.#clock = clock;
  }

  /** Records that a node has all events of this epoch up to the offset. */
  record(nodeId: string, epoch: string, offset: number): void {
    const known = this.#positions.get(nodeId);
    if (known?.epoch === epoch && known.offset >= offset) return;
    this.#positions.set(nodeId, { epoch, offset });
    for (const waiter of this.#waiters) if (this.#has(waiter.epoch, waiter.offset)) waiter.resolve(true);
  }

  /** Resolves with whether enough nodes have the event, after `waitMs` at the latest. */
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
    for (const position of this.#positions.values()) if (position.epoch === epoch && position.offset >= offset) nodes++;
    return nodes >= this.#needed;
  }
}
