/**
 * Who waits for this copy to reach a position: reads that carry a consistency token, and forwarded writes before they are answered. Waiting is
 * bounded. A token of an earlier epoch is as good as one of the present as far as this history contains it. One of an epoch that is not known waits
 * too, since that epoch may be on its way, except on the primary, whose epoch is the present one. Only who has the newest copy may say in the end
 * that there is no such epoch.
 */
import { containsOffset, type Epoch } from "../../store/log/epochs.ts";
import type { StoreState } from "../../store/log/store-state.ts";
import { AppError } from "../../util/app-error.ts";
import type { Clock } from "../../util/clock.ts";
import { parseToken } from "../position.ts";

interface Waiter {
  readonly epoch: string;
  readonly offset: number;
  readonly resolve: () => void;
}

export interface OffsetWaitersOptions {
  readonly state: () => StoreState | undefined;
  /** The epochs of the present copy. Asked only for tokens of another epoch than the present. */
  readonly epochs: () => readonly Epoch[];
  /** Whether nobody is known, or to be feared, to have more than this copy. */
  readonly isNewest: () => boolean;
  /** A token of an epoch that is not known is waited for: whether this copy is the newest is worth a question now. */
  readonly onUnknownEpoch?: () => void;
  /** Somebody has waited for a moment, as one does not where the feed works. */
  readonly onSlowWait?: () => void;
  /** Whether epochs may yet come that others began. */
  readonly mayLearnEpochs: boolean;
  readonly clock: Clock;
}

/** An event is here sooner than that where the feed works. */
const slowWaitMs = 50;

type Reach = "reached" | "to come" | "unknown" | "never";

export class OffsetWaiters {
  readonly #waiters = new Set<Waiter>();
  readonly #options: OffsetWaitersOptions;

  constructor(options: OffsetWaitersOptions) {
    this.#options = options;
  }

  /** The copy moved on: lets those go whose position it contains now. */
  onStateChange(): void {
    for (const waiter of this.#waiters) {
      if (["reached", "never"].includes(this.#reach(waiter.epoch, waiter.offset))) waiter.resolve();
    }
  }

  /** Resolves when the copy contains the token's position; see `Node.waitFor` for what it throws. */
  async waitFor(token: string, waitMs: number): Promise<void> {
    const { epoch, offset } = parseToken(token);
    let reach = this.#reach(epoch, offset);
    const hopeful = reach === "to come" || (reach === "unknown" && this.#options.mayLearnEpochs);
    if (reach === "unknown") this.#options.onUnknownEpoch?.();
    if (hopeful) {
      await this.#wait(epoch, offset, waitMs);
      reach = this.#reach(epoch, offset);
    }
    if (reach === "reached") return;
    if (reach === "to come" || this.#options.state() === undefined)
      throw new AppError("not_ready", "this node has not yet reached the position of the consistency token, try again");
    if (reach === "unknown" && !this.#options.isNewest())
      throw new AppError(
        "not_ready",
        "this node does not know the epoch of the consistency token yet, ask another or try again",
      );
    throw new AppError(
      "conflict",
      reach === "never"
        ? "the write of this consistency token is not part of this environment's history any more: an older state was restored, or another node became the primary before it had the write. Read again without the token"
        : "the consistency token belongs to another history of this environment, read again without it",
    );
  }

  #reach(epoch: string, offset: number): Reach {
    const { state: present, epochs } = this.#options;
    const state = present();
    if (state === undefined) return "to come";
    if (state.epoch === epoch) return state.offset >= offset ? "reached" : "to come";
    const known = containsOffset(epochs(), state.offset, epoch, offset);
    if (known === undefined) return "unknown";
    return known ? "reached" : "never";
  }

  #wait(epoch: string, offset: number, waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const settle = (): void => {
        cancel();
        this.#waiters.delete(waiter);
        resolve();
      };
      const { clock, onSlowWait: onWaiting } = this.#options;
      const cancelWait = clock.after(waitMs, settle);
      const cancelCall = onWaiting && clock.after(slowWaitMs, onWaiting);
      const cancel = (): void => {
        cancelWait();
        cancelCall?.();
      };
      const waiter: Waiter = { epoch, offset, resolve: settle };
      this.#waiters.add(waiter);
    });
  }
}
