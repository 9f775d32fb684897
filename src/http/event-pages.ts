/**
 * Pages of events are read one at a time, by turns of the API keys that ask for them, and between two of them the thread that serves is free for at
 * least as long as the last one took. So no key can take the thread with pages, nor the place of all others in the queue.
 */
import type { Limits } from "../config/limits.ts";
import { FairQueue } from "../util/fair-queue.ts";
import { Places } from "../util/places.ts";

interface Waiting {
  readonly holder: string;
  readonly read: () => void;
}

export class EventPages {
  readonly #places: Places;
  readonly #queue = new FairQueue<Waiting>();
  #isBusy = false;

  constructor({ eventPagesMax }: Pick<Limits, "eventPagesMax">) {
    this.#places = new Places(eventPagesMax, "pages of events");
  }

  /** What `read` gives, when it is the turn of `holder`. Throws `too_many_requests` where too many wait. */
  async read<T>(holder: string, read: () => T): Promise<T> {
    this.#places.take(holder);
    try {
      return await new Promise<T>((resolve, reject) => {
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
    } finally {
      this.#places.release(holder);
    }
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
