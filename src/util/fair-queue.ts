/**
 * A queue that is fair between holders, such as API keys. The next item is one of the holder that was served longest
 * ago. Among the items of that holder `isSooner` decides, and otherwise the order of arrival.
 */
import { LRUCache } from "lru-cache";

/** A holder that is forgotten counts as never served. */
const holdersMax = 1000;

export class FairQueue<Item extends { readonly holder: string }> {
  readonly #items = new Set<Item>();
  /** By holder: the number of its last turn. */
  readonly #lastTurns = new LRUCache<string, number>({ max: holdersMax });
  readonly #isSooner: (item: Item, other: Item) => boolean;
  #turns = 0;

  constructor(isSooner: (item: Item, other: Item) => boolean = () => false) {
    this.#isSooner = isSooner;
  }

  add(item: Item): void {
    this.#items.add(item);
  }

  /** Returns false if the item is not in the queue. */
  delete(item: Item): boolean {
    return this.#items.delete(item);
  }

  /** Removes the next item of the holders that may be served now, and returns it. */
  next(mayBeServed: (holder: string) => boolean = () => true): Item | undefined {
    let next: Item | undefined;
    for (const item of this.#items) {
      if (next !== undefined && !this.#isBefore(item, next)) continue;
      if (mayBeServed(item.holder)) next = item;
    }
    if (next === undefined) return undefined;
    this.#items.delete(next);
    this.#lastTurns.set(next.holder, ++this.#turns);
    return next;
  }

  #isBefore(item: Item, other: Item): boolean {
    const difference = this.#lastTurn(item) - this.#lastTurn(other);
    return difference < 0 || (difference === 0 && this.#isSooner(item, other));
  }

  #lastTurn({ holder }: Item): number {
    return this.#lastTurns.get(holder) ?? 0;
  }
}
