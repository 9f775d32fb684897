/**
 * A scrub: it reads a database in use from end to end, again and again, and compares its pages with their checksums. It reads a little each second: a
 * small database completely, a large one within the configured interval.
 */
import { reasonOf } from "../../util/reason.ts";
import type { PageChecksums } from "./page-checksums.ts";

/** How often `tick` is to be called. */
export const scrubTickMs = 1000;
const tickBytesMin = 4 * 2 ** 20;
/** In the first pass: the check at the start has just read the file, so it is in memory. */
const firstPassTickBytesMin = 64 * 2 ** 20;
/** Little enough to keep nobody waiting for the thread. */
const stepBytes = 2 ** 20;

export interface ScrubReports {
  /** Called with the damage, at each tick while there is some. */
  readonly onDamage: (problem: string) => void;
  /** The file can't be read now, which says nothing about its content. */
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

  /** Reads as much as is due. */
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
