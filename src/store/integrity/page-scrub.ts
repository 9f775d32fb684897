/**
 * A scrub: it reads an open database again and again, a part each second, and compares its pages with their checksums.
 * It reads a small database completely in one second, a large one within the configured interval.
 */
import { reasonOf } from "../../util/reason.ts";
import type { PageChecksums } from "./page-checksums.ts";

/** How often `tick` is to be called. */
export const scrubTickMs = 1000;
const tickBytesMin = 4 * 2 ** 20;
/** In the first pass. The check at the start has just read the file, so it is in memory. */
const firstPassTickBytesMin = 64 * 2 ** 20;
/** Small enough not to block the thread for long. */
const stepBytes = 2 ** 20;

export interface ScrubReports {
  /** Called at each tick while there is damage. */
  readonly onDamage: (problem: string) => void;
  /** Called when the file cannot be read, which does not mean that it is damaged. */
  readonly onUnreadable: (reason: string) => void;
}

export class PageScrub {
  readonly #pages: PageChecksums;
  readonly #intervalMs: number;
  readonly #reports: ScrubReports;
  #next = 1;
  #isFirstPass = true;
  #isRunning = false;
  #isStopped = false;

  constructor(pages: PageChecksums, intervalMs: number, reports: ScrubReports) {
    this.#pages = pages;
    this.#intervalMs = intervalMs;
    this.#reports = reports;
  }

  /** Reads the part that is due. */
  tick(): void {
    if (this.#isRunning || this.#isStopped) return;
    this.#isRunning = true;
    this.#step(this.#dueBytes());
  }

  /** To be called before the files are closed. */
  stop(): void {
    this.#isStopped = true;
  }

  #dueBytes(): number {
    const leastBytes = this.#isFirstPass ? firstPassTickBytesMin : tickBytesMin;
    return this.#orUnreadable(leastBytes, () => {
      const bytes = this.#pages.pages * this.#pages.pageBytes;
      return Math.max(leastBytes, Math.ceil((bytes * scrubTickMs) / this.#intervalMs));
    });
  }

  #step(bytes: number): void {
    if (this.#isStopped) return;
    const skipped = this.#next + Math.max(1, Math.floor(stepBytes / this.#pages.pageBytes));
    this.#next = this.#orUnreadable(skipped, () => this.#pages.check(this.#next, Math.min(bytes, stepBytes)));
    const { problem } = this.#pages;
    if (problem !== undefined) this.#reports.onDamage(problem);
    const isEnd = this.#next === 1;
    this.#isFirstPass &&= !isEnd;
    const left = bytes - stepBytes;
    if (!isEnd && left > 0 && problem === undefined) return void setImmediate(() => this.#step(left));
    this.#isRunning = false;
  }

  #orUnreadable<T>(otherwise: T, body: () => T): T {
    try {
      return body();
    } catch (error) {
      this.#reports.onUnreadable(reasonOf(error));
      return otherwise;
    }
  }
}
