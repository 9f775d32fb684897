/**
 * A fair queue of log reads for the change feed. Reads run one at a time, and API keys take turns. After each read the
 * queue pauses for as long as the read took, so that no key can block the serving thread with pages and streams,
 * however old the events are.
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

  /** Returns the result of `read`, which runs when it is the turn of `holder`. */
  read<T>(holder: string, read: () => T): Promise<T> {
    return new Promise<T>((resolve) => {
      this.#queue.add({ holder, read: () => resolve(Promise.try(read)) });
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

/** Reads of event pages. Their number is limited, and API keys share the slots. */
export class EventPages {
  readonly #slots: SlotPool;
  readonly #reads: LogReadQueue;

  constructor({ eventPagesMax }: Pick<Limits, "eventPagesMax">, reads: LogReadQueue) {
    this.#slots = new SlotPool(eventPagesMax, "pages of events");
    this.#reads = reads;
  }

  /** Like `LogReadQueue.read`. Throws `too_many_requests` if too many requests wait. */
  async read<T>(holder: string, read: () => T): Promise<T> {
    this.#slots.acquire(holder);
    try {
      return await this.#reads.read(holder, read);
    } finally {
      this.#slots.release(holder);
    }
  }
}
