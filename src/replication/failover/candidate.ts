/**
 * The roles of an edge in a promotion: it is a candidate itself, or it votes for another candidate. It has one role at
 * a time.
 */
import { randomBytes } from "node:crypto";
import { requireWritable } from "../../store/directory/data-directory.ts";
import { compareEpochs } from "../../store/log/epochs.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { AppError } from "../../util/app-error.ts";
import { lastLedEpoch } from "../role-notes.ts";
import type { VoteRequest } from "../transport/messages.ts";
import { type PromotionRequest, type VotingEdge, type WonPromotion, winPromotion } from "./promotion.ts";

const log = getLogger("edge");

/** How often an edge checks whether the candidate that has its vote is still being promoted. */
const voteCheckMs = 1000;

export interface Candidate {
  /** The last epoch in which this node was the primary. */
  readonly lastLedEpoch: string | undefined;
  /** Identifies the current attempt to become the primary. It stays set when the promotion was won. */
  readonly token: string | undefined;
  /** AppError `conflict` if the node may not become the primary, `internal` if it cannot store its promise. */
  winPromotion(options: PromotionRequest): Promise<WonPromotion>;
  /** AppError `conflict` if this node does not grant its vote. */
  grantVote(request: VoteRequest): Promise<void>;
}

/** `started` ends what this starts. */
export function openCandidate(edge: VotingEdge, started: AsyncDisposableStack): Candidate {
  const { id, data, config, replica, votes } = edge;
  const { state, peers } = replica;
  monitorVotes(edge, started);
  const lastEpoch = lastLedEpoch(data);
  let token: string | undefined;
  /** The term of the lease for this attempt. Undefined without a lease. */
  let leasedTerm: number | undefined;
  let isDecided = false;
  /** A later lease supersedes a candidate without a lease or with an earlier one. */
  const isSupersededBy = ({ leased, wanted = 0 }: VoteRequest): boolean =>
    leased && config.failover !== undefined && !isDecided && wanted > (leasedTerm ?? 0);
  return {
    lastLedEpoch: lastEpoch,
    get token() {
      return token;
    },
    async winPromotion({ acquire, ...how }) {
      // A primary first writes an event. A node that cannot do so must not give up its replica for nothing.
      requireWritable(data);
      const own = randomBytes(8).toString("hex");
      try {
        const won = await winPromotion(edge, {
          ...how,
          lastLedEpoch: lastEpoch,
          candidate: { node: id, token: own },
          onCandidate() {
            // Before that, this node has asked no other node for anything, and may still vote for another.
            token = own;
          },
          async acquire(askToHandOver) {
            const leadership = await acquire(askToHandOver);
            leasedTerm = leadership.term;
            return leadership;
          },
        });
        isDecided = true;
        return won;
      } catch (error) {
        token = undefined;
        leasedTerm = undefined;
        throw error;
      }
    },
    async grantVote(request) {
      // The candidate may be this node, if its own URL is among its peers. In a later epoch there is nothing to
      // promise.
      const isIdle = (): boolean => request.token === token || compareEpochs(state() ?? request, request) > 0;
      if (isIdle()) return;
      // The request was for a primary, to hand over. With a lease, the candidate requests votes with the lease's term.
      if (config.failover !== undefined && request.graceful && request.wanted === undefined)
        throw new AppError("conflict", "it is not a primary that could hand over");
      // A vote without a candidate would never end, and a late request may be for an attempt that is over.
      if (!(await peers.confirmsCandidate(request)))
        throw new AppError(
          "conflict",
          `none of its peers confirms that it is ${request.node} and about to be promoted`,
        );
      if (isIdle()) return;
      if (token !== undefined && !request.force && !isSupersededBy(request))
        throw new AppError("conflict", "it is about to be promoted itself");
      votes.grant(request);
    },
  };
}

/** Checks whether granted votes still hold, by this node's epoch and by the heads of the others. */
function monitorVotes({ replica, votes, clock }: VotingEdge, started: AsyncDisposableStack): void {
  const { peers, state, onStateChange } = replica;
  const updateEpoch = (): void => {
    const current = state();
    if (current !== undefined) votes.onEpoch(current);
  };
  updateEpoch();
  onStateChange(updateEpoch);
  const check = async (): Promise<void> => {
    const { granted } = votes;
    if (granted.length === 0) return;
    const heads = (await peers.heads()).map(({ head }) => head);
    votes.onHeads(heads, granted);
  };
  const logFailure = (error: unknown): void => log.error("the granted votes cannot be checked: {error}", { error });
  started.defer(clock.every(voteCheckMs, () => void check().catch(logFailure)));
}
