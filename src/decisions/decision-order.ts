/**
 * The order of the decisions of several threads. A counter that all threads share numbers each decision. A report of a
 * thread says up to which number it is complete, so decisions are added to the log once all threads have reported those
 * before them. The log then has them in the order in which they were made.
 */
import { type CopiedEntries, isBefore } from "./decision-entry.ts";

export type DecisionCounter = Int32Array<SharedArrayBuffer>;

export function newDecisionCounter(): DecisionCounter {
  return new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
}

/** An entry of a copied block. */
export interface OrderedEntry {
  readonly copied: CopiedEntries;
  readonly start: number;
  readonly number: number;
  readonly isSelected: boolean;
}

/** More decisions do not wait for a thread that does not report: their order is less important than memory. */
const waitingMax = 200_000;

export class DecisionOrder<Source> {
  /** Up to which number each source has reported all of its decisions. */
  readonly #complete = new Map<Source, number>();
  #waiting: OrderedEntry[] = [];

  /**
   * The source reports decisions, and that it makes no other ones with a number before `next`. Its first report has none.
   */
  report(source: Source, copied: CopiedEntries | undefined, next: number): void {
    this.#complete.set(source, next);
    if (copied !== undefined) for (const entry of copied.entries()) this.#waiting.push({ copied, ...entry });
  }

  /** The source makes no decisions any more. */
  end(source: Source): void {
    this.#complete.delete(source);
  }

  get hasWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  /** The decisions before which all are known, in their order. */
  take(): readonly OrderedEntry[] {
    if (this.#waiting.length === 0) return [];
    const sorted = this.#waiting.sort((one, other) => (one.number - other.number) | 0);
    const next = this.#leastNext();
    const later =
      next === undefined || sorted.length > waitingMax ? -1 : sorted.findIndex(({ number }) => !isBefore(number, next));
    this.#waiting = later === -1 ? [] : sorted.splice(later);
    return sorted;
  }

  #leastNext(): number | undefined {
    let least: number | undefined;
    for (const next of this.#complete.values()) if (least === undefined || isBefore(next, least)) least = next;
    return least;
  }
}
