/** Pages of events, read by turns. So many of them may wait, shared among the API keys that ask. */
import type { Limits } from "../config/limits.ts";
import { Places } from "../util/places.ts";
import type { EventReads } from "./event-reads.ts";

export class EventPages {
  readonly #places: Places;
  readonly #reads: EventReads;

  constructor({ eventPagesMax }: Pick<Limits, "eventPagesMax">, reads: EventReads) {
    this.#places = new Places(eventPagesMax, "pages of events");
    this.#reads = reads;
  }

  /** What `read` gives, when it is the turn of `holder`. Throws `too_many_requests` where too many wait. */
  async read<T>(holder: string, read: () => T): Promise<T> {
    this.#places.take(holder);
    try {
      return await this.#reads.read(holder, read);
    } finally {
      this.#places.release(holder);
    }
  }
}
