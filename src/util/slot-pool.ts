/**
 * A pool of a fixed number of slots that several holders share, for open streams or running queries. A holder may
 * acquire another slot while it has fewer slots than are free (dynamic thresholds: Choudhury and Hahne, 1998). A single
 * holder gets half of all slots; two holders get a third each. So no share has to be configured, and a new holder finds
 * a free slot immediately.
 */
import { AppError } from "./app-error.ts";

export class SlotPool {
  readonly #max: number;
  readonly #description: string;
  readonly #holderKind: "API key" | "environment";
  readonly #held = new Map<string, number>();
  #used = 0;

  /** `description` is the plural noun in the error: too many event streams. */
  constructor(max: number, description: string, holderKind: "API key" | "environment" = "API key") {
    this.#max = max;
    this.#description = description;
    this.#holderKind = holderKind;
  }

  heldBy(holder: string): number {
    return this.#held.get(holder) ?? 0;
  }

  canAcquire(holder: string): boolean {
    return this.heldBy(holder) < this.#max - this.#used;
  }

  /** Throws `too_many_requests` if the holder may not have another slot. */
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
    const others = this.#holderKind === "API key" ? "keys" : "environments";
    const rest = free === 0 ? "none is free" : `the ${free} free ones are reserved for other ${others}`;
    return new AppError(
      "too_many_requests",
      `too many ${this.#description}: this ${this.#holderKind} holds ${this.heldBy(holder)} of ${this.#max} slots, ${rest}, try again later`,
    );
  }
}
