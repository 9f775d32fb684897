/**
 * Questions that come in during one turn of the event loop are answered one after the other at its end, instead of each between the reading of one
 * socket and of the next: what the network needs of the processor's caches and what the engine needs of them then push each other out once for all of
 * them. On an Intel Xeon that saves a fifth of the time of each (measured with 16 and 64 connections). Who asks alone does not wait.
 */

/** So many wait for each other at most, and so for no longer than it takes to read as many requests; more together save hardly more. */
const togetherMax = 8;
/** After so many turns with one question each nobody waits; after so many questions it is looked again whether others come in the same turn. */
const [lonelyMax, uncountedMax] = [4, 16] as const;

export class MicroBatcher {
  /** Whether it is counted how many come in this turn. */
  #isCounted = false;
  #came = 0;
  /** Turns with one question each, since the last one with several. */
  #lonely: number = lonelyMax;
  /** Questions since it was counted for the last time. */
  #uncounted = 0;
  #end = Promise.withResolvers<void>();

  /** To be called with each question. Resolves when it is to be answered; `undefined` for at once. */
  wait(): Promise<void> | undefined {
    const gathers = this.#lonely < lonelyMax;
    if (!this.#isCounted) {
      if (gathers) this.#begin();
      // Counted is a whole turn: this question may be the last one of its own.
      else if (++this.#uncounted === uncountedMax) setImmediate(this.#begin);
    }
    this.#came++;
    if (!gathers) return undefined;
    const { promise } = this.#end;
    if (this.#came % togetherMax === 0) this.#release();
    return promise;
  }

  readonly #begin = (): void => {
    this.#isCounted = true;
    this.#came = 0;
    setImmediate(this.#finish);
  };

  readonly #finish = (): void => {
    this.#isCounted = false;
    this.#uncounted = 0;
    this.#lonely = this.#came > 1 ? 0 : this.#lonely + 1;
    this.#release();
  };

  #release(): void {
    this.#end.resolve();
    this.#end = Promise.withResolvers<void>();
  }
}
