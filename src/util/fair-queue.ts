/**
 * A queue in which holders have turns: next is an item of the holder whose last turn is longest ago, and of its items the one that `isSooner` says, or
 * else that came first.
 */
export class FairQueue<Item extends { readonly holder: string }> {
  readonly #items = new Set<Item>();
  /** By holder, the number of its last turn. */
  readonly #lastTurns = new Map<string, number>();
  readonly #isSooner: (item: Item, other: Item) => boolean;
  #turns = 0;

  constructor(isSooner: (item: Item, other: Item) => boolean = () => false) {
    this.#isSooner = isSooner;
  }

  add(item: Item): void {
    this.#items.add(item);
  }

  /** False where it is not in the queue. */
  delete(item: Item): boolean {
    return this.#items.delete(item);
  }

  /** Takes the next item of those holders that may have a turn now. */
  next(mayHaveTurn: (holder: string) => boolean = () => true): Item | undefined {
    let next: Item | undefined;
    for (const item of this.#items) {
      if (next !== undefined && !this.#isBefore(item, next)) continue;
      if (mayHaveTurn(item.holder)) next = item;
    }
    if (next === undefined) return undefined;
    this.#items.delete(next);
    if (this.#lastTurns.size >= holdersMax) this.#lastTurns.clear();
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

/** Beyond this who had a turn when is forgotten: keys come and go. */
const holdersMax = 1000;
