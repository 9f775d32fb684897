/**
 * Notices that a head names events which do not come. They may be on their way when the head arrives, so the check waits. At most one check is pending:
 * heads come each second, and the node may be busy with a snapshot for an hour.
 */
import type { StoreState } from "../../store/log/store-state.ts";
import type { Clock } from "../../util/clock.ts";
import type { Head } from "../transport/messages.ts";

export interface GapCheckOptions {
  readonly graceMs: number;
  readonly clock: Pick<Clock, "after">;
  /** Where this node stands. */
  readonly state: () => StoreState | undefined;
  /** Whether events are being fetched or applied, which may be those that the head names. */
  readonly isBusy: () => boolean;
  /** Called when the events have not come. */
  readonly onGap: () => void;
}

export class GapCheck {
  readonly #options: GapCheckOptions;
  #pending: { readonly epoch: string; readonly offset: number; readonly cancel: () => void } | undefined;

  constructor(options: GapCheckOptions) {
    this.#options = options;
  }

  /** The head names an event behind `present`. */
  schedule(head: Head, { epoch, offset }: StoreState): void {
    if (this.#pending?.epoch === epoch && this.#pending.offset === offset) return;
    this.stop();
    const { clock, graceMs, state: present, isBusy, onGap } = this.#options;
    const cancel = clock.after(graceMs, () => {
      this.#pending = undefined;
      const now = present();
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
