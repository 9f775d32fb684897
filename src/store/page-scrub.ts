/**
 * Reads a database in use from end to end, again and again, a little at a time, and compares its pages with their checksums. A small one is read through
 * every second, a large one within the interval that is configured.
 */
import { reasonOf } from "../util/reason.ts";
import type { PageChecksums } from "./page-checksums.ts";

/** How often `tick` is to be called. */
export const scrubTickMs = 1000;
const tickBytesMin = 4 * 2 ** 20;
/** While pages are not known yet: they were checked just now, and are in memory mostly. */
const firstTickBytesMin = 64 * 2 ** 20;
/** So little that nobody who waits for the thread notices. */
const stepBytes = 2 ** 20;

export class PageScrub {
  readonly #pages: PageChecksums;
  readonly #intervalMs: number;
  readonly #onProblem: (problem: string) => void;
  #isRunning = false;
  #isStopped = false;

  /** `onProblem` is called with what is wrong, at each tick for as long as it is. */
  constructor(pages: PageChecksums, intervalMs: number, onProblem: (problem: string) => void) {
    this.#pages = pages;
    this.#intervalMs = intervalMs;
    this.#onProblem = onProblem;
  }

  /** Reads as much as is due. */
  tick(): void {
    if (this.#isRunning || this.#isStopped) return;
    this.#isRunning = true;
    const { bytes, isComplete } = this.#pages;
    const leastBytes = isComplete ? tickBytesMin : firstTickBytesMin;
    this.#step(Math.max(leastBytes, Math.ceil((bytes * scrubTickMs) / this.#intervalMs)));
  }

  /** Before the files are closed. */
  stop(): void {
    this.#isStopped = true;
  }

  #step(bytes: number): void {
    if (this.#isStopped) return;
    const isEnd = this.#check(Math.min(bytes, stepBytes));
    const left = bytes - stepBytes;
    if (!isEnd && left > 0) return void setImmediate(() => this.#step(left));
    this.#isRunning = false;
  }

  /** Whether nothing more is to be read in this tick. */
  #check(bytes: number): boolean {
    try {
      const { problem, isEnd } = this.#pages.check(bytes);
      if (problem !== undefined) this.#onProblem(problem);
      return isEnd || problem !== undefined;
    } catch (error) {
      this.#onProblem(`\`${this.#pages.path}\` can't be read: ${reasonOf(error)}`);
      return true;
    }
  }
}
