/**
 * A fixed number of places that several holders share, such as streams that are open or questions that are being answered. A holder may take one
 * more as long as it holds fewer than are free (dynamic thresholds: Choudhury and Hahne, 1998). Alone it gets half of all places; two that take what
 * they can get a third each. So no share has to be configured, and a holder that has nothing finds a free place at once.
 */
import { AppError } from "./app-error.ts";

export class SlotPool {
  readonly #max: number;
  readonly #description: string;
  readonly #held = new Map<string, number>();
  #used = 0;

  /** `what` is in the text of a refusal: too many of this. */
  constructor(max: number, what: string) {
    this.#max = max;
    this.#description = what;
  }

  heldBy(holder: string): number {
    return this.#held.get(holder) ?? 0;
  }

  canAcquire(holder: string): boolean {
    return this.heldBy(holder) < this.#max - this.#used;
  }

  /** Throws `too_many_requests`. Who takes a place releases it. */
  acquire(holder: string): void {
    if (!this.canAcquire(holder)) throw this.refusalError(holder);
    this.#held.set(holder, this.heldBy(holder) + 1);
    this.#used += 1;
  }

  release(holder: string): void {
    const left = this.heldBy(holder) - 1;
    if (left > 0) this.#held.set(holder, left);
    else this.#held.delete(holder);
    this.#used -= 1;
  }

  refusalError(holder: string): AppError {
    const free = this.#max - this.#used;
    const rest = free === 0 ? "none is free" : `the ${free} free ones are kept for other keys`;
    return new AppError(
      "too_many_requests",
      `too many ${this.#description}: this API key holds ${this.heldBy(holder)} of ${this.#max} places, ${rest}, try again later`,
    );
  }
}
