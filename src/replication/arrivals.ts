/**
 * Who waits for this copy to reach a position: reads that carry a consistency token, and forwarded writes before they are answered. Waiting is
 * bounded. A token of another epoch waits too, since a new epoch may be on its way, except on the primary, whose epoch is the present one.
 */
import type { State } from "../store/state.ts";
import { AppError } from "../util/app-error.ts";
import { parseToken } from "./position.ts";

interface Waiter {
  readonly epoch: string;
  readonly offset: number;
  readonly resolve: () => void;
}

export class Arrivals {
  readonly #waiters = new Set<Waiter>();
  readonly #present: () => State | undefined;
  readonly #primary: boolean;

  constructor(present: () => State | undefined, options: { readonly primary: boolean }) {
    this.#present = present;
    this.#primary = options.primary;
  }

  /** The copy moved on: lets those go whose position it contains now. */
  moved(state: State): void {
    for (const waiter of this.#waiters) {
      if (waiter.epoch === state.epoch && waiter.offset <= state.offset) waiter.resolve();
    }
  }

  /** Resolves when the copy contains the token's position; see `Node.waitFor` for what it throws. */
  async waitFor(token: string, waitMs: number): Promise<void> {
    const { epoch, offset } = parseToken(token);
    const state = this.#present();
    if (state?.epoch === epoch && state.offset >= offset) return;
    const hopeless = this.#primary && state?.epoch !== epoch;
    if (!hopeless && (await this.#wait(epoch, offset, waitMs))) return;
    const present = this.#present();
    if (present !== undefined && present.epoch !== epoch) {
      throw new AppError(
        "conflict",
        "the consistency token belongs to another history of this environment, read again without it",
      );
    }
    throw new AppError("not_ready", "this node has not yet reached the position of the consistency token, try again");
  }

  #wait(epoch: string, offset: number, waitMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const settle = (arrived: boolean): void => {
        clearTimeout(timer);
        this.#waiters.delete(waiter);
        resolve(arrived);
      };
      const timer = setTimeout(() => settle(false), waitMs);
      const waiter: Waiter = { epoch, offset, resolve: () => settle(true) };
      this.#waiters.add(waiter);
    });
  }
}
