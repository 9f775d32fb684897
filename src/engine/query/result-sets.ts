/**
 * Result sets of lists that clients read in pages. All ids of a list are computed at once, at one revision, and kept
 * until the client has read the last page, so the pages are consistent whatever is written meanwhile. One open read
 * transaction per list would need no copy, but SQLite could not checkpoint its write-ahead log while a client is slow.
 *
 * A list of one revision is stored once, however many clients read it. The result sets are bounded in number, bytes and
 * age. If there is no room, the API key that uses the most loses its oldest result set, so one key cannot displace all
 * others.
 */
import type { Limits } from "../../config/limits.ts";
import { bytesOf, type PackedStrings, pageOf, type ResultPage } from "../request/packed-strings.ts";
import type { AnswerNote, Listing, ListingVersion } from "../request/questions.ts";

export type ResultSetLimits = Pick<
  Limits,
  "resultSetsMax" | "resultSetsBytesMax" | "resultSetTtlMs" | "resultSetFinishedTtlMs"
>;

interface ResultSet {
  readonly strings: PackedStrings;
  /** For the decision log. */
  readonly note: AnswerNote | undefined;
  /** The API key that first began to read it. */
  readonly apiKey: string;
  /** On the clock `nowMs`. */
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

  /** Adds a result set, unless it is larger than all room. `question` is a digest of the question. */
  add(question: string, { ids: strings, note, ...version }: Listing & { note?: AnswerNote }, apiKey = ""): void {
    const { resultSetsMax, resultSetsBytesMax, resultSetTtlMs } = this.#limits;
    if (resultSetsMax === 0) return;
    if (bytesOf(strings) > resultSetsBytesMax) return;
    const key = keyOf(question, version);
    const readers = (this.#find(question, version)?.readers ?? 0) + 1;
    this.#drop(key);
    const expiresMs = this.#nowMs() + resultSetTtlMs;
    this.#resultSets.set(key, { strings, note, apiKey, expiresMs, dropMs: expiresMs, readers });
    this.#bytes += bytesOf(strings);
    this.#dropExpired();
    while (this.#resultSets.size > resultSetsMax) this.#drop(this.#oldestOfLargest(() => 1));
    while (this.#bytes > resultSetsBytesMax) this.#drop(this.#oldestOfLargest(({ strings }) => bytesOf(strings)));
  }

  /** The first `count` ids of a list that is stored already, for one more reader, and the note that came with it. */
  begin(
    question: string,
    version: ListingVersion,
    count: number,
  ): { readonly page: ResultPage; readonly note: AnswerNote | undefined } | undefined {
    const found = this.#find(question, version);
    if (found === undefined) return undefined;
    const page = pageOf(found.strings, 0, count);
    if (page.next !== null) {
      found.readers += 1;
      found.dropMs = found.expiresMs;
    }
    return { page, note: found.note };
  }

  /** `count` ids from the position `start`; `undefined` if the list is not stored. The last page ends the reading. */
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
    found.dropMs = Math.min(found.dropMs, this.#nowMs() + this.#limits.resultSetFinishedTtlMs);
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

  /** Drops expired result sets, now and when the next one expires. */
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
    this.#timer.unref();
  }
}

function keyOf(question: string, { epoch, offset, second }: ListingVersion): string {
  return `${epoch} ${offset} ${second} ${question}`;
}
