/**
 * Detects that events which a head announces do not arrive. They may be on their way when it arrives, so the check
 * waits. At most one check is pending: heads arrive each second, and a snapshot may keep the node busy for an hour.
 */
import type { StoreState } from "../../store/log/store-state.ts";
import type { Clock } from "../../util/clock.ts";
import type { Head } from "../transport/messages.ts";

export interface GapCheckOptions {
  readonly graceMs: number;
  readonly clock: Pick<Clock, "after">;
  readonly state: () => StoreState | undefined;
  /** Whether events are being fetched or applied: the missing ones may be among them. */
  readonly isBusy: () => boolean;
  readonly onGap: () => void;
}

export class GapCheck {
  readonly #options: GapCheckOptions;
  #pending: { readonly epoch: string; readonly offset: number; readonly cancel: () => void } | undefined;

  constructor(options: GapCheckOptions) {
    this.#options = options;
  }

  /** The head announces an event after this position. */
  schedule(head: Head, { epoch, offset }: StoreState): void {
    if (this.#pending?.epoch === epoch && this.#pending.offset === offset) return;
    this.stop();
    const { clock, graceMs, state, isBusy, onGap } = this.#options;
    const cancel = clock.after(graceMs, () => {
      this.#pending = undefined;
      const now = state();
      if (now?.epoch !== head.e || now.offset !== offset || offset >= head.l) return;
      if (isBusy()) this.schedule(head, now);
      else onGap();
    });
    this.#pending = { epoch, offset, cancel };
  }

  stop(): void {
    this.#pending?.cancel();
    this.#pending = undefined;
  }
}
