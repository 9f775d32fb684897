/**
 * Micro-batching: queries that arrive in one turn of the event loop are answered one after another at its end, instead
 * of each between the reads of two sockets. The network code and the engine then evict each other's data from the
 * processor's caches once per batch instead of once per query. An isolated query does not wait.
 */
import { microBatching } from "../../util/tuning.ts";

const { queriesMax, singleQueryTurns, queriesBetweenObservations } = microBatching;

export class MicroBatcher {
  /** Whether the queries of the present turn are counted. */
  #isObserving = false;
  #queries = 0;
  /** Consecutive observed turns with a single query. */
  #singleTurns: number = singleQueryTurns;
  #queriesSinceObservation = 0;
  #end = Promise.withResolvers<void>();

  /** Has to be called for each query. Resolves when the query can be answered; `undefined` means immediately. */
  wait(): Promise<void> | undefined {
    const isBatching = this.#singleTurns < singleQueryTurns;
    if (!this.#isObserving) {
      if (isBatching) this.#begin();
      // The observation begins with the next turn: this query may be the last one of the present turn.
      else if (++this.#queriesSinceObservation === queriesBetweenObservations) setImmediate(this.#begin);
    }
    this.#queries++;
    if (!isBatching) return undefined;
    const { promise } = this.#end;
    if (this.#queries % queriesMax === 0) this.#release();
    return promise;
  }

  readonly #begin = (): void => {
    this.#isObserving = true;
    this.#queries = 0;
    setImmediate(this.#finish);
  };

  readonly #finish = (): void => {
    this.#isObserving = false;
    this.#queriesSinceObservation = 0;
    this.#singleTurns = this.#queries > 1 ? 0 : this.#singleTurns + 1;
    this.#release();
  };

  #release(): void {
    this.#end.resolve();
    this.#end = Promise.withResolvers<void>();
  }
}
