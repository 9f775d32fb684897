/**
 * A primary watches where other nodes stand: its peers, which it asks before its first write and then every few seconds, those that ask for its log,
 * and heads at brokers. A later term that nodes have voted for means that it was replaced. A later start of this very primary, or more events of its
 * present epoch than it has, mean that its directory is not the newest: it was rolled back. Then its peers have the rest.
 */
import { compareEpochs } from "../../store/log/epochs.ts";
import type { StoreState } from "../../store/log/store-state.ts";
import { isSameFailover, isStartTerm } from "../../store/log/terms.ts";
import { getLogger } from "../../telemetry/logger.ts";
import type { Clock } from "../../util/clock.ts";
import { epochOf, type NodeHead } from "../transport/messages.ts";
import type { Peers } from "../transport/peers.ts";
import type { Fence, ObservedPosition } from "./fence.ts";

const log = getLogger("primary");

export interface SuccessorDetectorOptions {
  readonly peers: Peers | undefined;
  readonly fence: Fence;
  readonly state: () => StoreState;
  /** How many edges have each write that was acknowledged, besides this primary. */
  readonly ack: number;
  /** Begins a later term than this one. Without peers the missing events cannot be fetched. */
  readonly beginAfter: (term: number) => void;
  readonly intervalMs: number;
  readonly clock: Clock;
}

export interface SuccessorDetector {
  /** A node with a replica stands there. `epochs` is its history, where that is known. */
  onPeerPosition(standing: ObservedPosition, epochs?: NodeHead["epochs"]): void;
  /** A head at a broker says that a primary stood there. Nobody may have it any more. */
  onBrokerPosition(standing: ObservedPosition, epochs?: NodeHead["epochs"]): void;
  /** Asks the peers once. */
  askPeers(): Promise<void>;
  start(): void;
  stop(): void;
}

export function createSuccessorDetector(options: SuccessorDetectorOptions): SuccessorDetector {
  const { peers, fence, state: present, ack, beginAfter, intervalMs, clock } = options;
  let cancel = (): void => {};
  let isStopped = false;

  const judge = (standing: ObservedPosition, epochs: NodeHead["epochs"] | undefined, isHeld: boolean): void => {
    const isAhead = isAheadOf(standing, present());
    if (!isAhead) return fence.onEpoch(standing, epochs);
    if (peers !== undefined) return fence.stepDown(standing, isHeld);
    if (ack > 0)
      return fence.fence(
        `another node has come to ${standing.epoch}:${standing.offset}, which this primary has not, though it was acknowledged: the data directory is not the newest. Set \`--peers\`, so that this node can fetch it, or promote that edge`,
      );
    log.error(
      "another node has come to {epoch}:{offset}, which this primary has not: its data directory is not the newest. It goes on from its own state, and edges save what only they have; with `--peers` this node would have fetched it",
      { epoch: standing.epoch, offset: standing.offset },
    );
    beginAfter(standing.term);
  };
  const seen: SuccessorDetector["onPeerPosition"] = (standing, epochs) => judge(standing, epochs, true);
  const look = async (): Promise<void> => {
    const heads = ((await peers?.heads()) ?? []).map(({ head }) => head);
    // The latest first: a primary that was replaced must learn of its successor before it takes itself for one that is only behind.
    for (const head of heads.toSorted((one, other) => compareEpochs(epochOf(other), epochOf(one))))
      seen({ ...epochOf(head), offset: head.l }, head.epochs);
  };
  const again = (): void => {
    if (isStopped) return;
    cancel = clock.after(intervalMs, () => void look().then(again, again));
  };
  return {
    onPeerPosition: seen,
    onBrokerPosition: (standing, epochs) => judge(standing, epochs, false),
    askPeers: look,
    start: again,
    stop() {
      isStopped = true;
      cancel();
    },
  };
}

/** Whether a node that stands there has more of what this primary wrote than the primary itself. */
function isAheadOf({ epoch, term, offset }: ObservedPosition, present: StoreState): boolean {
  if (epoch === present.epoch) return offset > present.offset;
  if (!isSameFailover(term, present.term)) return false;
  // Two copies of one directory may both have begun the next term.
  return term > present.term || (term === present.term && isStartTerm(term));
}
