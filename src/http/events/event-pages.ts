/** Pages of events, read by turns. So many of them may wait, shared among the API keys that ask. */
import type { Limits } from "../../config/limits.ts";
import { SlotPool } from "../../util/slot-pool.ts";
import type { LogReadQueue } from "./log-read-queue.ts";

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
