/**
 * Detects whether a primary was replaced or rolled back, from the positions of other nodes: its peers, which it asks
 * before its first write and then every few seconds, nodes that request its log, and heads at brokers. A later term
 * that nodes have voted for means that it was replaced. A later start of the same primary, or more events of its
 * current epoch than it has, mean that its directory was rolled back. Then its peers have the missing events.
 */
import { compareEpochs } from "../../store/log/epochs.ts";
import type { StoreState } from "../../store/log/store-state.ts";
import { isSameFailover, isStartTerm } from "../../store/log/terms.ts";
import { getLogger } from "../../telemetry/logger.ts";
import type { TimeContext } from "../node-context.ts";
import { epochOf, type NodeHead } from "../transport/messages.ts";
import type { Peers } from "../transport/peers.ts";
import type { Fence, ObservedPosition } from "./fence.ts";

const log = getLogger("primary");

export interface SuccessorDetectorOptions {
  readonly peers: Peers | undefined;
  readonly fence: Fence;
  readonly state: () => StoreState;
  /** How many edges must have a write before it is acknowledged. */
  readonly ack: number;
  /** Begins a later term than this one. Without peers, the missing events cannot be fetched. */
  readonly beginAfter: (term: number) => void;
}

export interface SuccessorDetector {
  /** A node with a replica is at this position. `epochs` is its history, if known. */
  onPeerPosition(position: ObservedPosition, epochs?: NodeHead["epochs"]): void;
  /** A head at a broker says that a primary was at this position. Perhaps no node has it any more. */
  onBrokerPosition(position: ObservedPosition, epochs?: NodeHead["epochs"]): void;
  askPeers(): Promise<void>;
  start(): void;
  stop(): void;
}

export function createSuccessorDetector(
  { limits, clock }: TimeContext,
  { peers, fence, state, ack, beginAfter }: SuccessorDetectorOptions,
): SuccessorDetector {
  let cancel = (): void => {};
  let isStopped = false;

  const judge = (position: ObservedPosition, epochs: NodeHead["epochs"] | undefined, isHeld: boolean): void => {
    const isAhead = isAheadOf(position, state());
    if (!isAhead) return fence.onEpoch(position, epochs);
    if (fence.isFenced) return;
    if (peers !== undefined) return fence.stepDown(position, isHeld);
    if (ack > 0)
      return fence.fence(
        `another node is at ${position.epoch}:${position.offset}, which was acknowledged, but this primary does not have it: its data directory is not the newest. Set \`--peers\`, so that this node can fetch it, or promote that edge`,
      );
    log.error(
      "another node is at {epoch}:{offset}, which this primary does not have: its data directory is not the newest. It continues from its own state, and edges save the events that only they have; with `--peers` this node would have fetched them",
      { epoch: position.epoch, offset: position.offset },
    );
    beginAfter(position.term);
  };
  const seen: SuccessorDetector["onPeerPosition"] = (position, epochs) => judge(position, epochs, true);
  const askPeers = async (): Promise<void> => {
    const heads = ((await peers?.heads()) ?? []).map(({ head }) => head);
    // The latest first: a primary that was replaced must notice its successor before it considers itself only behind.
    for (const head of heads.toSorted((one, other) => compareEpochs(epochOf(other), epochOf(one))))
      seen({ ...epochOf(head), offset: head.l }, head.epochs);
  };
  const scheduleCheck = (): void => {
    if (isStopped) return;
    cancel = clock.after(limits.peerCheckIntervalMs, () => void askPeers().then(scheduleCheck, scheduleCheck));
  };
  return {
    onPeerPosition: seen,
    onBrokerPosition: (position, epochs) => judge(position, epochs, false),
    askPeers,
    start: scheduleCheck,
    stop() {
      isStopped = true;
      cancel();
    },
  };
}

/** Whether a node at this position has more of this primary's own events than the primary itself. */
function isAheadOf({ epoch, term, offset }: ObservedPosition, state: StoreState): boolean {
  if (epoch === state.epoch) return offset > state.offset;
  if (!isSameFailover(term, state.term)) return false;
  // Two copies of one directory may both have begun the next term.
  return term > state.term || (term === state.term && isStartTerm(term));
}
