/**
 * The facts of a list, in pages that a node sends one after another. Pages that were not shown for long are forgotten and
 * read again by their tokens, so that a million facts take little memory.
 */
import type { Fact } from "./fact-text.ts";

/** As `GET /api/facts?page_size=…` answers. */
export interface FactsPage {
  readonly results: readonly Fact[];
  readonly next_page_token: string | null;
}

/** Reads the page of a token, or the first one. */
export type LoadPage = (token: string | null, signal: AbortSignal) => Promise<FactsPage>;

interface Page {
  readonly token: string | null;
  /** The row of its first fact. */
  readonly start: number;
  readonly rows: number;
}

const pagesKeptMax = 40;

export class FactPager {
  readonly #load: LoadPage;
  readonly #changed: () => void;
  /** Of the requests on their way. */
  #controller = new AbortController();
  readonly #pages: Page[] = [];
  /** The facts of some pages, by the index of the page. The last used ones are at the end. */
  readonly #kept = new Map<number, readonly Fact[]>();
  readonly #loading = new Set<number>();
  /** The pages that are shown until they are read again. */
  readonly #old = new Set<number>();
  /** Whether the pages so far are shown only until the first one is read again. */
  #isAnew = false;
  #atMs: number | undefined;
  #next: string | null = null;
  #isStarted = false;
  #isLoading = false;
  #isStopped = false;
  #emptyPages = 0;
  #error: unknown;

  /** `changed` is called after each answer. */
  constructor(load: LoadPage, changed: () => void) {
    this.#load = load;
    this.#changed = changed;
  }

  /** The facts that were found so far. */
  get rows(): number {
    const last = this.#pages.at(-1);
    return last === undefined ? 0 : last.start + last.rows;
  }

  /** Whether there are no more facts. */
  get isComplete(): boolean {
    return this.#isStarted && this.#next === null;
  }

  get isLoading(): boolean {
    return this.#isLoading;
  }

  /** Whether the search was stopped, see `stop`. */
  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** The answers in a row that had no fact: the node searches. */
  get emptyPages(): number {
    return this.#emptyPages;
  }

  /** Of the last attempt. */
  get error(): unknown {
    return this.#error;
  }

  /** When the last answer came, by the wall clock; undefined without one. */
  get atMs(): number | undefined {
    return this.#atMs;
  }

  /** The fact of a row; undefined while it is read again. */
  fact(row: number): Fact | undefined {
    const index = this.#pageOf(row);
    const page = this.#pages[index];
    if (page === undefined) return undefined;
    const kept = this.#kept.get(index);
    if (kept === undefined) {
      void this.#loadAgain(index, page);
      return undefined;
    }
    this.#keep(index, kept);
    if (this.#old.delete(index)) void this.#loadAgain(index, page);
    return kept[row - page.start];
  }

  /** Reads pages until there is a fact after the last row, or no more, or so many pages had none. */
  async loadMore(emptyPagesMax = Infinity): Promise<void> {
    if (this.#isLoading || this.isComplete) return;
    const { signal } = this.#controller;
    this.#isLoading = true;
    this.#isStopped = false;
    this.#error = undefined;
    this.#emptyPages = 0;
    this.#changed();
    try {
      do await this.#loadNext(signal);
      while (this.#next !== null && this.#emptyPages > 0 && this.#emptyPages < emptyPagesMax && !this.#isStopped);
      if (this.#emptyPages > 0 && this.#next !== null) this.#isStopped = true;
    } catch (error) {
      if (!signal.aborted) this.#fail(error);
    }
    if (signal.aborted) return;
    this.#isLoading = false;
    this.#changed();
  }

  /** Reads again after an outage: what could not be read, and what is shown. */
  async refresh(emptyPagesMax = Infinity): Promise<void> {
    const isIncomplete = this.#isLoading || this.#error !== undefined;
    this.#controller.abort();
    this.#controller = new AbortController();
    this.#loading.clear();
    this.#isLoading = false;
    this.#error = undefined;
    if (this.#pages.length > 1) for (const index of this.#kept.keys()) this.#old.add(index);
    else if (!this.#isStopped) this.#beginAnew();
    this.#changed();
    if (isIncomplete || this.#isAnew) await this.loadMore(emptyPagesMax);
  }

  /** Ends a search after the current page. */
  stop(): void {
    this.#isStopped = true;
  }

  close(): void {
    this.#isStopped = true;
    this.#controller.abort();
  }

  /** The pages so far are shown until the first answer. */
  #beginAnew(): void {
    this.#next = null;
    this.#isStarted = false;
    this.#isAnew = true;
  }

  /** A node that was restarted may not know its tokens any more. The next attempt then begins anew. */
  #fail(error: unknown): void {
    this.#error = error;
    if ((error as { readonly code?: unknown } | undefined)?.code === "list_gone") this.#beginAnew();
  }

  async #loadNext(signal: AbortSignal): Promise<void> {
    const token = this.#next;
    const { results, next_page_token: next } = await this.#load(token, signal);
    signal.throwIfAborted();
    this.#atMs = Date.now();
    if (this.#isAnew) {
      this.#pages.length = 0;
      this.#kept.clear();
      this.#old.clear();
      this.#isAnew = false;
    }
    if (next !== null && next === token) throw new Error("the node sent the same page twice");
    this.#isStarted = true;
    this.#next = next;
    this.#emptyPages = results.length === 0 ? this.#emptyPages + 1 : 0;
    if (results.length > 0) {
      this.#pages.push({ token, start: this.rows, rows: results.length });
      this.#keep(this.#pages.length - 1, results);
    }
    this.#changed();
  }

  async #loadAgain(index: number, { token, rows }: Page): Promise<void> {
    if (this.#loading.has(index)) return;
    this.#loading.add(index);
    const { signal } = this.#controller;
    try {
      const { results } = await this.#load(token, signal);
      if (signal.aborted) return;
      this.#atMs = Date.now();
      // Facts that were inserted meanwhile would move all rows.
      this.#keep(index, results.slice(0, rows));
    } catch (error) {
      if (signal.aborted) return;
      this.#fail(error);
    }
    this.#loading.delete(index);
    this.#changed();
  }

  #keep(index: number, facts: readonly Fact[]): void {
    this.#kept.delete(index);
    this.#kept.set(index, facts);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > pagesKeptMax && oldest !== undefined) this.#kept.delete(oldest);
  }

  /** The page of a row, by bisection. */
  #pageOf(row: number): number {
    let [low, high] = [0, this.#pages.length];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((this.#pages[middle]?.start ?? 0) <= row) low = middle;
      else high = middle;
    }
    return low;
  }
}
