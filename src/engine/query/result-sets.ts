/**
 * Result sets of lists that clients read in pages. All ids of a list are computed at once, at one revision and one
 * moment, and kept until the client has read the last page, so the pages of a list are consistent whatever is written
 * meanwhile. One open read transaction per list would need no copy, but then SQLite could not checkpoint its
 * write-ahead log while any client is slow.
 *
 * A list of one revision is stored once, however many clients read it. The result sets are bounded in number, bytes and
 * age. If there is no room, the API key that uses the most room loses its oldest result set, so one key cannot take the
 * room of all others.
 */
import type { Limits } from "../../config/limits.ts";
import type { Listing } from "../request/questions.ts";

export type { Revision } from "../../store/log/store-state.ts";

export type ListingVersion = Omit<Listing, "ids">;

/**
 * A listing with its ids in one block of memory: the form in which it is stored and in which a worker process returns
 * it.
 */
export interface PackedListing extends ListingVersion {
  readonly ids: PackedStrings;
}

export function packListing({ ids, ...version }: Listing): PackedListing {
  return { ...version, ids: packStrings(ids) };
}

export type ResultSetLimits = Pick<
  Limits,
  "listCursorsMax" | "listCursorsBytesMax" | "listCursorTtlMs" | "listCursorFinishedTtlMs"
>;

export interface ResultPage {
  readonly ids: readonly string[];
  /** The position of the next id; `null` after the last one. */
  readonly next: number | null;
}

interface ResultSet {
  readonly strings: PackedStrings;
  /** The API key that first began to read it. */
  readonly apiKey: string;
  /** When the result set expires, in milliseconds. */
  readonly expiresMs: number;
  /** When it is dropped: at `expiresMs`, or earlier if all readers have finished. */
  dropMs: number;
  /** How many clients are reading it. */
  readers: number;
}

export class ResultSets {
  readonly #limits: ResultSetLimits;
  readonly #nowMs: () => number;
  /** In the order in which they were added. */
  readonly #resultSets = new Map<string, ResultSet>();
  #bytes = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `nowMs` is a monotonic clock. */
  constructor(limits: ResultSetLimits, nowMs: () => number = () => performance.now()) {
    this.#limits = limits;
    this.#nowMs = nowMs;
  }

  get isEmpty(): boolean {
    return this.#resultSets.size === 0;
  }

  /**
   * Adds a result set. If there is no room, the API key that uses the most room loses its oldest result sets. A list
   * that is larger than all room is not added. `question` is a digest of the question.
   */
  add(question: string, { ids, ...version }: PackedListing, apiKey = ""): void {
    const { listCursorsMax, listCursorsBytesMax, listCursorTtlMs } = this.#limits;
    if (listCursorsMax === 0) return;
    const strings = ids;
    if (bytesOf(strings) > listCursorsBytesMax) return;
    const key = keyOf(question, version);
    const readers = (this.#find(question, version)?.readers ?? 0) + 1;
    this.#drop(key);
    const expiresMs = this.#nowMs() + listCursorTtlMs;
    this.#resultSets.set(key, { strings, apiKey, expiresMs, dropMs: expiresMs, readers });
    this.#bytes += bytesOf(strings);
    this.#dropExpired();
    while (this.#resultSets.size > listCursorsMax) this.#drop(this.#oldestOfLargest(() => 1));
    while (this.#bytes > listCursorsBytesMax) this.#drop(this.#oldestOfLargest(({ strings }) => bytesOf(strings)));
  }

  /** The first `count` ids of a list that is stored already, for one more reader. */
  begin(question: string, version: ListingVersion, count: number): ResultPage | undefined {
    const found = this.#find(question, version);
    const page = found && pageOf(found.strings, 0, count);
    if (found && page?.next !== null) {
      found.readers += 1;
      found.dropMs = found.expiresMs;
    }
    return page;
  }

  /**
   * `count` ids from the position `start`; `undefined` if the list is not stored. Reading the last page finishes the
   * list for this reader.
   */
  page(question: string, version: ListingVersion, start: number, count: number): ResultPage | undefined {
    const found = this.#find(question, version);
    const page = found && pageOf(found.strings, start, count);
    if (found && page?.next === null && page.ids.length > 0) this.#finish(found);
    return page;
  }

  clear(): void {
    this.#resultSets.clear();
    this.#bytes = 0;
    clearTimeout(this.#timer);
  }

  #find(question: string, version: ListingVersion): ResultSet | undefined {
    const found = this.#resultSets.get(keyOf(question, version));
    return found && found.dropMs > this.#nowMs() ? found : undefined;
  }

  /** A response may get lost, so the last page can be requested again for a moment. */
  #finish(found: ResultSet): void {
    found.readers = Math.max(0, found.readers - 1);
    if (found.readers > 0) return;
    found.dropMs = Math.min(found.dropMs, this.#nowMs() + this.#limits.listCursorFinishedTtlMs);
    this.#dropExpired();
  }

  /** The oldest result set of the API key whose result sets have the greatest total size. */
  #oldestOfLargest(sizeOf: (resultSet: ResultSet) => number): string {
    const sums = new Map<string, number>();
    for (const resultSet of this.#resultSets.values())
      sums.set(resultSet.apiKey, (sums.get(resultSet.apiKey) ?? 0) + sizeOf(resultSet));
    const largest = Math.max(...sums.values());
    for (const [key, { apiKey }] of this.#resultSets) if (sums.get(apiKey) === largest) return key;
    throw new Error("there are no result sets");
  }

  #drop(key: string): void {
    const found = this.#resultSets.get(key);
    if (found) this.#bytes -= bytesOf(found.strings);
    this.#resultSets.delete(key);
  }

  /** Drops expired result sets, now and when the next one expires, so that unused ones do not stay in memory. */
  #dropExpired(): void {
    const nowMs = this.#nowMs();
    let nextMs = Infinity;
    for (const [key, { dropMs }] of this.#resultSets) {
      if (dropMs <= nowMs) this.#drop(key);
      else nextMs = Math.min(nextMs, dropMs);
    }
    clearTimeout(this.#timer);
    if (nextMs === Infinity) return;
    this.#timer = setTimeout(() => this.#dropExpired(), nextMs - nowMs + 1);
    // The timer does not keep the process alive.
    this.#timer.unref();
  }
}

function keyOf(question: string, { epoch, offset, second }: ListingVersion): string {
  return `${epoch} ${offset} ${second} ${question}`;
}

/**
 * Many strings as one block of UTF-8. It uses a fraction of the memory of as many strings, its size is known exactly,
 * and threads and processes pass it on unchanged.
 */
export interface PackedStrings {
  readonly block: Uint8Array<ArrayBuffer>;
  /** The end of each string in the block. */
  readonly ends: Uint32Array<ArrayBuffer>;
}

export function packStrings(given: readonly string[]): PackedStrings {
  const joined = given.join("");
  const isAscii = Buffer.byteLength(joined) === joined.length;
  // Lone surrogates, which context facts may hold, must not form pairs when the strings are joined.
  const strings = isAscii ? given : given.map((string) => string.toWellFormed());
  const block = new TextEncoder().encode(isAscii ? joined : strings.join(""));
  const ends = new Uint32Array(strings.length);
  let end = 0;
  strings.forEach((string, index) => {
    end += isAscii ? string.length : Buffer.byteLength(string);
    ends[index] = end;
  });
  return { block, ends };
}

/** The page of `count` strings from the position `start`. */
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
