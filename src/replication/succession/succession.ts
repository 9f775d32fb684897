/**
 * A primary watches where other nodes stand: its peers, which it asks before its first write and then every few seconds, those that ask for its log,
 * and heads at brokers. A later term that nodes have voted for means that it was replaced. A later start of this very primary, or more events of its
 * present epoch than it has, mean that its directory is not the newest: it was rolled back. Then its peers have the rest.
 */
import type { EpochName } from "../../store/epochs.ts";
import type { State } from "../../store/state.ts";
import { isSameSuccession, isStart } from "../../store/terms.ts";
import { getLogger } from "../../telemetry/logger.ts";
import type { Clock } from "../../util/clock.ts";
import { epochOf, type NodeHead } from "../feed/envelope.ts";
import type { Upstream } from "../following/upstream.ts";
import type { Fence } from "./fence.ts";

const log = getLogger("primary");

export interface SuccessionOptions {
  readonly peers: Upstream | undefined;
  readonly fence: Fence;
  readonly present: () => State;
  /** How many edges have each write that was acknowledged, besides this primary. */
  readonly ack: number;
  /** Without peers nobody can give back what others have and this primary has not: it begins a term after this one. */
  readonly passOver: (term: number) => void;
  readonly intervalMs: number;
  readonly clock: Clock;
}

/** Where somebody stands in the history of a primary. */
export interface Seen extends EpochName {
  readonly offset: number;
}

export interface Succession {
  /** Another node stands there. `epochs` is its history, where that is known. */
  seen(standing: Seen, epochs?: NodeHead["epochs"]): void;
  /** Asks the peers once. */
  look(): Promise<void>;
  start(): void;
  stop(): void;
}

export function watchSuccession(options: SuccessionOptions): Succession {
  const { peers, fence, present, ack, passOver, intervalMs, clock } = options;
  let cancel = (): void => {};

  const seen: Succession["seen"] = (standing, epochs) => {
    const isAhead = isFurther(standing, present());
    if (!isAhead) return fence.consider(standing, epochs);
    if (peers !== undefined) return fence.stepAside(standing);
    if (ack > 0)
      return fence.fence(
        `an edge has come to ${standing.epoch}:${standing.offset}, which this primary has not, though it was acknowledged: the data directory is an old one. Set \`--peers\`, so that this node can fetch it, or promote that edge`,
      );
    log.error(
      "an edge has come to {epoch}:{offset}, which this primary has not: its data directory is an old one. It goes on from its own state, and the edge saves what only it has; with `--peers` this node would have fetched it",
      { epoch: standing.epoch, offset: standing.offset },
    );
    passOver(standing.term);
  };
  const look = async (): Promise<void> => {
    const heads = (await peers?.heads()) ?? [];
    // Whoever was replaced shall know of its successor first.
    const standings = heads.map(({ head }) => ({ head, standing: { ...epochOf(head), offset: head.l } }));
    const isLater = ({ standing }: (typeof standings)[number]): boolean => !isFurther(standing, present());
    for (const { head, standing } of [...standings.filter(isLater), ...standings]) seen(standing, head.epochs);
  };
  const again = (): void => {
    cancel = clock.after(intervalMs, () => void look().then(again, again));
  };
  return { seen, look, start: again, stop: () => cancel() };
}

/** Whether a node that stands there has more of what this primary wrote than the primary itself. */
function isFurther({ epoch, term, offset }: Seen, present: State): boolean {
  if (epoch === present.epoch) return offset > present.offset;
  if (!isSameSuccession(term, present.term)) return false;
  // Of two directories with the same past, both had their next start.
  return term > present.term || (term === present.term && isStart(term));
}
