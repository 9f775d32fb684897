/**
 * The most recent decisions of this node, by API key and request id, for parity reports that arrive after the decision,
 * and until the log has them. Every decision is added, so adding has to be cheap. Decisions are bytes in two blocks, of
 * which the older one is overwritten: strings that live for seconds would cost the garbage collector 1.4 µs per request.
 * The index is completed only by the next lookup.
 */
import { type Decision, type DecodedDecision, EntryBlock } from "./decision-entry.ts";

interface IndexedBlock {
  readonly block: EntryBlock;
  /** Where each decision begins, of those before `indexed`. */
  readonly index: Map<string, number>;
  indexed: number;
}

export class RecentDecisions {
  readonly #blockBytes: number;
  readonly #onBlockFull: () => void;
  /** Made for the first decision. */
  #newer: IndexedBlock | undefined;
  #older: IndexedBlock | undefined;

  /** `onBlockFull` is called before the next block becomes the current one. */
  constructor(bytesMax: number, onBlockFull: () => void = () => {}) {
    this.#blockBytes = Math.floor(bytesMax / 2);
    this.#onBlockFull = onBlockFull;
  }

  /** The block that decisions are added to. */
  get current(): EntryBlock {
    return (this.#newer ??= newBlock(this.#blockBytes)).block;
  }

  /** Returns false for a decision that is larger than a block: it is not kept. */
  add(decision: Decision, isSelected: boolean): boolean {
    if (this.current.add(decision, isSelected)) return true;
    this.#onBlockFull();
    const next = this.#older ?? newBlock(this.#blockBytes);
    this.#older = this.#newer;
    this.#newer = next;
    next.block.clear();
    next.index.clear();
    next.indexed = 0;
    return next.block.add(decision, isSelected);
  }

  /** The latest decision of `authorize` under this request id; undefined if there is none any more. */
  find(keyId: string, requestId: string): DecodedDecision | undefined {
    return findIn(this.#newer, keyId, requestId) ?? findIn(this.#older, keyId, requestId);
  }
}

function newBlock(size: number): IndexedBlock {
  return { block: new EntryBlock(size), index: new Map(), indexed: 0 };
}

function findIn(indexed: IndexedBlock | undefined, keyId: string, requestId: string): DecodedDecision | undefined {
  if (indexed === undefined) return undefined;
  const { block, index } = indexed;
  while (indexed.indexed < block.length) {
    const name = block.nameAt(indexed.indexed);
    if (name.isAuthorize) index.set(indexKey(name.keyId, name.requestId), indexed.indexed);
    indexed.indexed = name.end;
  }
  const start = index.get(indexKey(keyId, requestId));
  return start === undefined ? undefined : block.decode(start);
}

/** A key id has no space. */
function indexKey(keyId: string, requestId: string): string {
  return `${keyId} ${requestId}`;
}
