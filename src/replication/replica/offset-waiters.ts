/**
 * Requests that wait, for a limited time, until this node has applied a position: reads with a consistency token, and
 * forwarded writes. A token of an earlier epoch is valid if this history contains its position. A token of an unknown
 * epoch waits because that epoch may be about to arrive; not on the primary, which has the latest. Only a node that has
 * all events may finally answer that there is no such epoch.
 */
import { containsOffset, type Epoch } from "../../store/log/epochs.ts";
import type { StoreState } from "../../store/log/store-state.ts";
import { AppError } from "../../util/app-error.ts";
import type { Clock } from "../../util/clock.ts";
import { parseToken } from "../../log/event/position.ts";

export interface OffsetWaitersOptions {
  readonly state: () => StoreState | undefined;
  /** The epochs of the database. Called only for tokens of another than the current epoch. */
  readonly epochs: () => readonly Epoch[];
  /** Whether this node is known to have had all events at a moment of the last `withinMs`. */
  readonly isNewest: (withinMs: number) => boolean;
  /** A request waits for an unknown epoch: the primary should be asked whether this node has all events. */
  readonly onUnknownEpoch?: () => void;
  /** A request has waited longer than the event stream usually takes. */
  readonly onSlowWait?: () => void;
  /** Whether epochs of other primaries may still arrive. */
  readonly mayLearnEpochs: boolean;
}

/** The event stream usually delivers an event sooner. */
const slowWaitMs = 50;

/** `unknown`: of an unknown epoch. `never`: this history does not contain the position. */
type Reach = "reached" | "pending" | "unknown" | "never";

export class OffsetWaiters {
  /** Each ends one wait if its position is applied, or cannot be. */
  readonly #waiters = new Set<() => void>();
  readonly #clock: Clock;
  readonly #options: OffsetWaitersOptions;

  constructor(clock: Clock, options: OffsetWaitersOptions) {
    this.#clock = clock;
    this.#options = options;
  }

  /** The position has changed. */
  onStateChange(): void {
    for (const check of this.#waiters) check();
  }

  /** Resolves when the token's position is applied. `Node.waitFor` lists what it throws. */
  async waitFor(token: string, waitMs: number): Promise<void> {
    const { epoch, offset } = parseToken(token);
    const clock = this.#clock;
    const begunMs = clock.monotonicMs();
    let reach = this.#reach(epoch, offset);
    const mayArrive = reach === "pending" || (reach === "unknown" && this.#options.mayLearnEpochs);
    if (reach === "unknown") this.#options.onUnknownEpoch?.();
    if (mayArrive) {
      await this.#wait(epoch, offset, waitMs);
      reach = this.#reach(epoch, offset);
    }
    if (reach === "reached") return;
    if (reach === "pending" || this.#options.state() === undefined)
      throw new AppError("not_ready", "this node has not yet reached the position of the consistency token, try again");
    // The write of the token was before the request.
    if (reach === "unknown" && !this.#options.isNewest(clock.monotonicMs() - begunMs))
      throw new AppError(
        "not_ready",
        "this node does not know the epoch of the consistency token yet, ask another node or try again",
      );
    throw new AppError(
      "conflict",
      reach === "never"
        ? "the write of this consistency token is not part of this environment's history any more: an older state was restored, or another node became the primary before it had the write. Read again without the token"
        : "the consistency token belongs to another history of this environment, read again without it",
    );
  }

  #reach(epoch: string, offset: number): Reach {
    const { epochs } = this.#options;
    const state = this.#options.state();
    if (state === undefined) return "pending";
    if (state.epoch === epoch) return state.offset >= offset ? "reached" : "pending";
    const isContained = containsOffset(epochs(), state.offset, epoch, offset);
    if (isContained === undefined) return "unknown";
    return isContained ? "reached" : "never";
  }

  #wait(epoch: string, offset: number, waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const settle = (): void => {
        cancelWait();
        cancelSlowWait?.();
        this.#waiters.delete(check);
        resolve();
      };
      const clock = this.#clock;
      const { onSlowWait } = this.#options;
      const cancelWait = clock.after(waitMs, settle);
      const cancelSlowWait = onSlowWait && clock.after(slowWaitMs, onSlowWait);
      const check = (): void => {
        if (["reached", "never"].includes(this.#reach(epoch, offset))) settle();
      };
      this.#waiters.add(check);
    });
  }
}
