/**
 * A primary watches its peers: where one of them knows of a later term, this primary was replaced while it was away, and where one is further on in
 * the same epoch, this primary's data are older than what it had published (a backup that was put back). It looks before its first write, and then
 * every few seconds.
 */
import type { Clock } from "../util/clock.ts";
import type { State } from "../store/state.ts";
import type { Fence } from "./fence.ts";
import type { Upstream } from "./upstream.ts";

export interface SuccessionOptions {
  readonly peers: Upstream | undefined;
  readonly fence: Fence;
  readonly present: () => State;
  /** Begins a new epoch, since somebody has seen more of this one than this node has. */
  readonly startEpoch: () => Promise<unknown>;
  readonly intervalMs: number;
  readonly clock: Clock;
}

export interface Succession {
  /** Somebody stands there in the history of a primary. */
  seen(position: { readonly term: number; readonly epoch: string; readonly offset: number }): void;
  /** Asks the peers once. */
  look(): Promise<void>;
  start(): void;
  stop(): void;
}

export function watchSuccession(options: SuccessionOptions): Succession {
  const { peers, fence, present, startEpoch, intervalMs, clock } = options;
  let starting: Promise<unknown> | undefined;
  let cancel = (): void => {};

  const seen: Succession["seen"] = ({ term, epoch, offset }) => {
    fence.consider(term);
    const state = present();
    if (fence.fenced || epoch !== state.epoch || offset <= state.offset) return;
    starting ??= startEpoch().finally(() => (starting = undefined));
  };
  const look = async (): Promise<void> => {
    for (const { head } of (await peers?.heads()) ?? []) {
      fence.consider(head.n, head.epochs);
      seen({ term: head.n, epoch: head.e, offset: head.l });
    }
    await starting;
  };
  const again = (): void => {
    cancel = clock.after(intervalMs, () => void look().then(again, again));
  };
  return { seen, look, start: again, stop: () => cancel() };
}
