/**
 * The decisions of a thread that answers, until the main thread takes them over for its decision log and for parity
 * reports. If that is too far behind, decisions are only counted: no answer waits for it.
 */
import { systemClock } from "../util/clock.ts";
import { type Decision, EntryBlock } from "./decision-entry.ts";
import type { DecisionCounter } from "./decision-order.ts";
import { DecisionRecorder } from "./decision-recorder.ts";

/** In the form of `decision-entry.ts`. */
export interface DecisionCopy {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly names: readonly string[];
}

const blockBytes = 512 * 1024;
/** A block with so many bytes is reported early. */
const fullBytes = 256 * 1024;
/** What the main thread may not have taken over yet. */
const sentBytesMax = 16 * 1024 * 1024;

export class ThreadDecisions extends DecisionRecorder {
  readonly #block = new EntryBlock(blockBytes);
  readonly #counter: DecisionCounter;
  readonly #onFull: () => void;
  #sentBytes = 0;
  #dropped = 0;

  /** `onFull` should have the decisions taken soon. */
  constructor(
    config: ConstructorParameters<typeof DecisionRecorder>[0],
    counter: DecisionCounter,
    onFull: () => void,
    clock = systemClock,
  ) {
    super(config, clock);
    this.#counter = counter;
    this.#onFull = onFull;
  }

  /** The decisions since the last call, and the number of those that were dropped. */
  take(): { readonly decisions: DecisionCopy | undefined; readonly dropped: number } {
    const dropped = this.#dropped;
    this.#dropped = 0;
    if (this.#block.length === 0) return { decisions: undefined, dropped };
    const decisions = { bytes: this.#block.copyFrom(0), names: [...this.#block.names] };
    this.#sentBytes += decisions.bytes.byteLength;
    this.#block.clear();
    return { decisions, dropped };
  }

  /** The main thread has taken over so many bytes. */
  taken(bytes: number): void {
    this.#sentBytes -= bytes;
  }

  protected override keep(decision: Decision, isSelected: boolean): void {
    if (!this.add(decision, isSelected) && isSelected) this.#dropped += 1;
  }

  /** Returns false if there is no room. */
  add(decision: Decision, isSelected: boolean): boolean {
    if (this.#sentBytes > sentBytesMax) return false;
    const number = Atomics.add(this.#counter, 0, 1);
    if (!this.#block.add(decision, isSelected, number)) return false;
    if (this.#block.length > fullBytes) this.#onFull();
    return true;
  }
}
