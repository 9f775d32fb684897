/**
 * Reads of the log for the change feed: one at a time, by turns of the API keys that ask, and between two of them the thread that serves is free for at
 * least as long as the last one took. So no key can take the thread with pages and streams, however far back they begin.
 */
import type { Limits } from "../../config/limits.ts";
import { FairQueue } from "../../util/fair-queue.ts";
import { SlotPool } from "../../util/slot-pool.ts";

interface Waiting {
  readonly holder: string;
  readonly read: () => void;
}

export class LogReadQueue {
  readonly #queue = new FairQueue<Waiting>();
  #isBusy = false;

  /** What `read` gives, when it is the turn of `holder`. */
  read<T>(holder: string, read: () => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#queue.add({
        holder,
        read() {
          try {
            resolve(read());
          } catch (error) {
            reject(error);
          }
        },
      });
      this.#next();
    });
  }

  #next(): void {
    if (this.#isBusy) return;
    const waiting = this.#queue.next();
    if (waiting === undefined) return;
    this.#isBusy = true;
    const startMs = performance.now();
    waiting.read();
    setTimeout(() => {
      this.#isBusy = false;
      this.#next();
    }, performance.now() - startMs);
  }
}

export class EventPages {
  readonly #places: SlotPool;
  readonly #reads: LogReadQueue;

  constructor({ eventPagesMax }: Pick<Limits, "eventPagesMax">, reads: LogReadQueue) {
    this.#places = new SlotPool(eventPagesMax, "pages of events");
    this.#reads = reads;
  }

  /** What `read` gives, when it is the turn of `holder`. Throws `too_many_requests` where too many wait. */
  async read<T>(holder: string, read: () => T): Promise<T> {
    this.#places.acquire(holder);
    try {
      return await this.#reads.read(holder, read);
    } finally {
      this.#places.release(holder);
    }
  }
}
