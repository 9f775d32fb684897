/**
 * A primary watches its peers: where one of them knows of a later epoch, this primary was replaced while it was away, and where one is further on in
 * the same epoch, this primary's data are older than what it had published (a backup that was put back). It looks before its first write, and then
 * every few seconds.
 */
import type { EpochName } from "../../store/epochs.ts";
import type { State } from "../../store/state.ts";
import { getLogger } from "../../telemetry/logger.ts";
import type { Clock } from "../../util/clock.ts";
import { reasonOf } from "../../util/reason.ts";
import { epochOf } from "../feed/envelope.ts";
import type { Upstream } from "../following/upstream.ts";
import type { Fence } from "./fence.ts";

const log = getLogger("primary");

export interface SuccessionOptions {
  readonly peers: Upstream | undefined;
  readonly fence: Fence;
  readonly present: () => State;
  /** Begins a new epoch, since somebody has seen more of this one than this node has. */
  readonly startEpoch: () => Promise<unknown>;
  readonly intervalMs: number;
  readonly clock: Clock;
}

/** Where somebody stands in the history of a primary. */
export interface Seen extends EpochName {
  readonly offset: number;
}

export interface Succession {
  /** Somebody stands there. */
  seen(standing: Seen): void;
  /** Asks the peers once. */
  look(): Promise<void>;
  start(): void;
  stop(): void;
}

export function watchSuccession(options: SuccessionOptions): Succession {
  const { peers, fence, present, startEpoch, intervalMs, clock } = options;
  let starting: Promise<unknown> | undefined;
  let cancel = (): void => {};

  const isAhead = ({ epoch, offset }: Seen): boolean => {
    const state = present();
    return epoch === state.epoch && offset > state.offset;
  };
  /** Where all stand. All of them are heard before anything follows from it: who was replaced must not begin an epoch over that of its successor. */
  const ask = async (): Promise<readonly Seen[]> => {
    const heads = (await peers?.heads()) ?? [];
    for (const { head } of heads) fence.consider(epochOf(head), head.epochs);
    return heads.map(({ head }) => ({ ...epochOf(head), offset: head.l }));
  };
  const start = async (): Promise<void> => {
    if (!fence.fenced) await startEpoch();
  };
  const once = (begin: () => Promise<void>): void => {
    if (starting !== undefined) return;
    starting = begin().finally(() => (starting = undefined));
    // `look` reports a failure to its caller. For `seen` it is logged, and the next message of another node starts another attempt.
    starting.catch((error: unknown) =>
      log.warning("a new epoch could not be started, this is tried again: {reason}", { reason: reasonOf(error) }),
    );
  };
  const look = async (): Promise<void> => {
    const standings = await ask();
    if (standings.some(isAhead)) once(start);
    await starting;
  };
  const again = (): void => {
    cancel = clock.after(intervalMs, () => void look().then(again, again));
  };
  return {
    seen(standing) {
      fence.consider(standing);
      if (!fence.fenced && isAhead(standing)) once(() => ask().then(start));
    },
    look,
    start: again,
    stop: () => cancel(),
  };
}
