/**
 * The most recent decisions of this node, by API key and request id, for parity reports that arrive after the decision,
 * and until the log has them. Every decision is added, so adding has to be cheap. Decisions are bytes in two blocks, of
 * which the older one is overwritten: strings that live for seconds would cost the garbage collector 1.4 µs per request.
 * The index is completed only by the next lookup.
 */
import { must } from "../util/assert.ts";
import { type CopiedEntries, type Decision, type DecodedDecision, EntryBlock, isBefore } from "./decision-entry.ts";

interface Indexed<Block extends Pick<EntryBlock, "length" | "nameAt" | "decode"> = EntryBlock> {
  readonly block: Block;
  /** Where each decision begins, of those before `indexed`. */
  readonly index: Map<string, number>;
  indexed: number;
}

export class RecentDecisions {
  readonly #blockBytes: number;
  readonly #onBlockFull: () => void;
  /** Made for the first decision. */
  #newer: Indexed | undefined;
  #older: Indexed | undefined;
  /** Copies of blocks of other threads, the oldest first. */
  readonly #copies: Indexed<CopiedEntries>[] = [];
  #copiedBytes = 0;

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
  add(decision: Decision, isSelected: boolean, number = 0): boolean {
    return this.current.add(decision, isSelected, number) || this.#nextBlock().add(decision, isSelected, number);
  }

  /** Keeps a copied block as it is: its decisions only have to be found. */
  keep(copied: CopiedEntries): void {
    this.#copies.push(indexed(copied));
    this.#copiedBytes += copied.length;
    while (this.#copiedBytes > 2 * this.#blockBytes && this.#copies.length > 1)
      this.#copiedBytes -= must(this.#copies.shift()).block.length;
  }

  /** As `add`, for the entry at `start` of a copied block. */
  addCopied(copied: CopiedEntries, start: number): boolean {
    return this.current.addCopied(copied, start) || this.#nextBlock().addCopied(copied, start);
  }

  /** Begins another block, in place of the older one. */
  #nextBlock(): EntryBlock {
    this.#onBlockFull();
    const next = this.#older ?? newBlock(this.#blockBytes);
    this.#older = this.#newer;
    this.#newer = next;
    next.block.clear();
    next.index.clear();
    next.indexed = 0;
    return next.block;
  }

  /** The latest decision of `authorize` under this request id; undefined if there is none any more. */
  find(keyId: string, requestId: string): DecodedDecision | undefined {
    const blocks = [this.#newer, this.#older, ...this.#copies.toReversed()];
    let latest: DecodedDecision | undefined;
    for (const block of blocks) {
      const found = block && findIn(block, keyId, requestId);
      if (found !== undefined && (latest === undefined || isBefore(latest.number, found.number))) latest = found;
    }
    return latest;
  }
}

function newBlock(size: number): Indexed {
  return indexed(new EntryBlock(size));
}

function indexed<Block extends Indexed["block"] | CopiedEntries>(block: Block) {
  return { block, index: new Map<string, number>(), indexed: 0 };
}

function findIn(
  found: Indexed | Indexed<CopiedEntries>,
  keyId: string,
  requestId: string,
): DecodedDecision | undefined {
  const { block, index } = found;
  while (found.indexed < block.length) {
    const name = block.nameAt(found.indexed);
    if (name.isAuthorize) index.set(indexKey(name.keyId, name.requestId), found.indexed);
    found.indexed = name.end;
  }
  const start = index.get(indexKey(keyId, requestId));
  return start === undefined ? undefined : block.decode(start);
}

/** A key id has no space. */
function indexKey(keyId: string, requestId: string): string {
  return `${keyId} ${requestId}`;
}
