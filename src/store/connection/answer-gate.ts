/**
 * A number that the threads of a node share. It changes whenever the main thread answers from another database from now
 * on, or from none. Another thread answers only while the number is the one under which it got its database, so the main
 * thread takes that permission back at once, without a message.
 */
import type { SequenceLock } from "./sequence-lock.ts";

export type GateNumber = Int32Array<SharedArrayBuffer>;

/** What other threads need to read the database of a node as its main thread does. */
export interface SharedDatabase {
  readonly gate: AnswerGate;
  /** Counts all changes of the open file. */
  readonly changes: SequenceLock;
}

export class AnswerGate {
  readonly number: GateNumber = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  /** Threads that are about to answer for the first time. */
  readonly preparing = new Set<unknown>();
  readonly #listeners = new Set<() => void>();

  get current(): number {
    return Atomics.load(this.number, 0);
  }

  /** No other thread answers from now on, until it gets the database again. */
  change(): void {
    Atomics.add(this.number, 0, 1);
    for (const listener of this.#listeners) listener();
  }

  /** The listener is called after each change, before the cause of the change is complete. Returns the function that removes it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
