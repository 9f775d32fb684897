/**
 * Lists that were begun in pages. All ids of such a list are taken at once, of one state and at one moment, and kept until its last page was
 * given: so its pages fit together, whatever is written meanwhile. Open read transactions of SQLite, one a list, would need no copy, but none of
 * the write-ahead log could be folded back while any client dawdles.
 *
 * The same list of the same revision is kept once, however many are on their way through it. What is kept is bounded in number, bytes and age.
 * Where there is no room, the key that keeps the most loses its oldest list, so that no key takes the room of all others.
 */
import type { Limits } from "../../config/limits.ts";
import type { Listing } from "../request/questions.ts";

export type { Revision } from "../../store/log/revision.ts";

export type ListingVersion = Omit<Listing, "ids">;

/** The same with its ids in one block of memory: as it is kept, and as it comes from a worker process. */
export interface PackedListing extends ListingVersion {
  readonly ids: PackedStrings;
}

export function packListing({ ids, ...name }: Listing): PackedListing {
  return { ...name, ids: packStrings(ids) };
}

export type ResultSetLimits = Pick<
  Limits,
  "listCursorsMax" | "listCursorsBytesMax" | "listCursorTtlMs" | "listCursorFinishedTtlMs"
>;

export interface ResultPage {
  readonly ids: readonly string[];
  /** The place of the id after them; `null` where they are the last. */
  readonly next: number | null;
}

interface ResultSet {
  readonly texts: PackedStrings;
  /** The API key that began it first. */
  readonly holder: string;
  /** When it is too old, in milliseconds. */
  readonly oldMs: number;
  /** When it goes: then, or sooner if it was finished. */
  endMs: number;
  /** How many are on their way through it. */
  readers: number;
}

export class ResultSets {
  readonly #limits: ResultSetLimits;
  readonly #nowMs: () => number;
  /** In the order in which they were begun. */
  readonly #kept = new Map<string, ResultSet>();
  #bytes = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `nowMs` is a clock that only goes forward. */
  constructor(limits: ResultSetLimits, nowMs: () => number = () => performance.now()) {
    this.#limits = limits;
    this.#nowMs = nowMs;
  }

  get isEmpty(): boolean {
    return this.#kept.size === 0;
  }

  /**
   * Keeps a copy of the list, where there is no room at the cost of the key that keeps the most; one that is larger than all room is not kept.
   * `question` is a digest of what was asked.
   */
  add(question: string, { ids, ...name }: PackedListing, holder = ""): void {
    const { listCursorsMax, listCursorsBytesMax, listCursorTtlMs } = this.#limits;
    if (listCursorsMax === 0) return;
    const texts = ids;
    if (bytesOf(texts) > listCursorsBytesMax) return;
    const key = keyOf(question, name);
    const readers = (this.#find(question, name)?.readers ?? 0) + 1;
    this.#drop(key);
    const oldMs = this.#nowMs() + listCursorTtlMs;
    this.#kept.set(key, { texts, holder, oldMs, endMs: oldMs, readers });
    this.#bytes += bytesOf(texts);
    this.#dropEnded();
    while (this.#kept.size > listCursorsMax) this.#drop(this.#oldestOfLargest(() => 1));
    while (this.#bytes > listCursorsBytesMax) this.#drop(this.#oldestOfLargest(({ texts }) => bytesOf(texts)));
  }

  /** The first `count` ids of a list that is kept already, for one more who begins it. */
  begin(question: string, name: ListingVersion, count: number): ResultPage | undefined {
    const kept = this.#find(question, name);
    const page = kept && pageOf(kept.texts, 0, count);
    if (kept && page?.next !== null) {
      kept.readers += 1;
      kept.endMs = kept.oldMs;
    }
    return page;
  }

  /** `count` ids from the place `start` on, none past the end; `undefined` where the list is not kept. With its last page a list is finished. */
  page(question: string, name: ListingVersion, start: number, count: number): ResultPage | undefined {
    const kept = this.#find(question, name);
    const page = kept && pageOf(kept.texts, start, count);
    if (kept && page?.next === null && page.ids.length > 0) this.#finish(kept);
    return page;
  }

  /** Forgets everything. */
  clear(): void {
    this.#kept.clear();
    this.#bytes = 0;
    clearTimeout(this.#timer);
  }

  #find(question: string, name: ListingVersion): ResultSet | undefined {
    const kept = this.#kept.get(keyOf(question, name));
    return kept && kept.endMs > this.#nowMs() ? kept : undefined;
  }

  /** An answer may get lost, so for a moment the last page can be asked for again. */
  #finish(kept: ResultSet): void {
    kept.readers = Math.max(0, kept.readers - 1);
    if (kept.readers > 0) return;
    kept.endMs = Math.min(kept.endMs, this.#nowMs() + this.#limits.listCursorFinishedTtlMs);
    this.#dropEnded();
  }

  /** The oldest list of the key whose lists have the greatest sum of sizes. */
  #oldestOfLargest(sizeOf: (kept: ResultSet) => number): string {
    const sums = new Map<string, number>();
    for (const kept of this.#kept.values()) sums.set(kept.holder, (sums.get(kept.holder) ?? 0) + sizeOf(kept));
    const largest = Math.max(...sums.values());
    for (const [key, { holder }] of this.#kept) if (sums.get(holder) === largest) return key;
    throw new Error("nothing is kept");
  }

  #drop(key: string): void {
    const kept = this.#kept.get(key);
    if (kept) this.#bytes -= bytesOf(kept.texts);
    this.#kept.delete(key);
  }

  /** Now, and again when the next one ends: what nobody asks for must not stay in memory. */
  #dropEnded(): void {
    const nowMs = this.#nowMs();
    let nextMs = Infinity;
    for (const [key, { endMs }] of this.#kept) {
      if (endMs <= nowMs) this.#drop(key);
      else nextMs = Math.min(nextMs, endMs);
    }
    clearTimeout(this.#timer);
    if (nextMs === Infinity) return;
    this.#timer = setTimeout(() => this.#dropEnded(), nextMs - nowMs + 1);
    // A process that has nothing else to do may end.
    this.#timer.unref();
  }
}

function keyOf(question: string, { epoch, offset, second }: ListingVersion): string {
  return `${epoch} ${offset} ${second} ${question}`;
}

/** Many texts as one block of UTF-8: a fraction of the memory of as many strings, and known to the byte. Threads and processes hand it on as it is. */
export interface PackedStrings {
  readonly block: Uint8Array<ArrayBuffer>;
  /** Where each ends in the block. */
  readonly ends: Uint32Array<ArrayBuffer>;
}

export function packStrings(given: readonly string[]): PackedStrings {
  const joined = given.join("");
  const isAscii = Buffer.byteLength(joined) === joined.length;
  // Halves of surrogate pairs, which context facts may bring, must not meet.
  const texts = isAscii ? given : given.map((text) => text.toWellFormed());
  const block = new TextEncoder().encode(isAscii ? joined : texts.join(""));
  const ends = new Uint32Array(texts.length);
  let end = 0;
  texts.forEach((text, index) => {
    end += isAscii ? text.length : Buffer.byteLength(text);
    ends[index] = end;
  });
  return { block, ends };
}

/** `count` of the texts from the place `start` on. */
export function pageOf({ block, ends }: PackedStrings, start: number, count: number): ResultPage {
  const bytes = Buffer.from(block.buffer, block.byteOffset, block.byteLength);
  const end = Math.min(start + count, ends.length);
  const ids: string[] = [];
  for (let index = start; index < end; index++)
    ids.push(bytes.toString("utf8", ends[index - 1] ?? 0, ends[index] ?? 0));
  return { ids, next: end < ends.length ? end : null };
}

function bytesOf({ block, ends }: PackedStrings): number {
  return block.byteLength + ends.byteLength;
}
