/** An edge's two parts in a promotion, of which it has one at a time: it stands for its own, or pledges to a peer that stands. */
import { randomBytes } from "node:crypto";
import type { Config } from "../../config/config.ts";
import { requireWritable } from "../../store/directory/data-directory.ts";
import { compareEpochs, type Epoch, readEpochs } from "../../store/log/epochs.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { AppError } from "../../util/app-error.ts";
import type { Replica } from "../replica/replica.ts";
import { lastLedEpoch } from "../role-notes.ts";
import type { PromoteOptions } from "../node.ts";
import type { System } from "../system.ts";
import type { VoteRequest } from "../transport/vote-request.ts";
import type { Votes } from "./votes.ts";
import { type AcquireLease, type Mandate, obtainMandate } from "./promotion.ts";

const log = getLogger("edge");

/** How often an edge looks whether the one that it gave its pledge to still is about to be promoted. */
const voteCheckMs = 1000;

export interface Candidate {
  /** The last epoch that this node was the primary of. */
  readonly lastLedEpoch: string | undefined;
  /** Which attempt to become the primary is under way; it stays so once the node is to become it. */
  readonly token: string | undefined;
  /** The greatest term that this node has promised, or stood for. */
  readonly promisedTerm: number;
  /** The candidate whose promotion this edge waits for. */
  readonly votedFor: string | undefined;
  /** Gives what it may begin as the primary. AppError `conflict` where it may not, `internal` where it could store nothing. */
  runElection(options: ElectionOptions): Promise<Mandate>;
  /** AppError `conflict` where this node does not give its pledge. */
  grantVote(request: VoteRequest): Promise<void>;
}

export interface ElectionOptions extends Required<PromoteOptions> {
  readonly acquire: AcquireLease;
}

export interface CandidateOptions {
  readonly config: Config;
  /** This node's. */
  readonly id: string;
  readonly replica: Replica;
  readonly votes: Votes;
  readonly system: System;
}

/** What it starts is ended by `started`. */
export function openCandidate(options: CandidateOptions, started: AsyncDisposableStack): Candidate {
  const { config, id, replica: following, votes: pledge, system } = options;
  const { state: present, peers: upstream } = following;
  monitorVotes(options, started);
  const led = lastLedEpoch(config.data);
  let token: string | undefined;
  /** Of the lease that this node has for its candidacy. Undefined where it has none (yet). */
  let leasedTerm: number | undefined;
  let isDecided = false;
  /** A candidacy without a lease, or with an earlier one, is superseded by a later lease. */
  const isSupersededBy = ({ leased, wanted = 0 }: VoteRequest): boolean =>
    leased && config.failover !== undefined && !isDecided && wanted > (leasedTerm ?? 0);
  return {
    lastLedEpoch: led,
    get token() {
      return token;
    },
    get promisedTerm() {
      return pledge.promisedTerm;
    },
    get votedFor() {
      return pledge.candidate;
    },
    async runElection({ force, graceful, automatic, acquire }) {
      // A primary begins with an event of its own, and who could not write it would have given up its copy in vain.
      requireWritable(config.data);
      const own = randomBytes(8).toString("hex");
      try {
        const candidacy = { node: id, token: own };
        // Before that it asks nobody for anything, and may vote for another.
        const onStanding = (): void => {
          token = own;
        };
        const epochs = (): readonly Epoch[] => readEpochs(following.database.reader());
        const common = {
          replica: following,
          votes: pledge,
          lastLedEpoch: led,
          epochs,
          candidacy,
          ack: config.ack,
          system,
        };
        const acquireNoted: AcquireLease = async (askToHandOver) => {
          const leadership = await acquire(askToHandOver);
          leasedTerm = leadership?.term;
          return leadership;
        };
        const mandate = await obtainMandate({
          ...common,
          force,
          graceful,
          automatic,
          acquire: acquireNoted,
          onCandidacy: onStanding,
        });
        isDecided = true;
        return mandate;
      } catch (error) {
        token = undefined;
        leasedTerm = undefined;
        throw error;
      }
    },
    async grantVote(request) {
      // It may be among its own peers. And who is in a later epoch has nothing to promise.
      const isIdle = (): boolean => request.token === token || compareEpochs(present() ?? request, request) > 0;
      if (isIdle()) return;
      // It asked a primary to hand over, which is none any more. With a lease it asks for the vote by the number of that.
      if (config.failover !== undefined && request.graceful && request.wanted === undefined)
        throw new AppError("conflict", "it is no primary that could hand over");
      // What nobody stands for would never end, and what comes late is over.
      if (!(await upstream.confirmsCandidacy(request)))
        throw new AppError("conflict", `none of its peers says that it is ${request.node}, about to be promoted`);
      if (isIdle()) return;
      if (token !== undefined && !request.force && !isSupersededBy(request))
        throw new AppError("conflict", "it is about to be promoted itself");
      pledge.grant(request);
    },
  };
}

/** Looks whether what was pledged still stands, by this node's own epoch and by what the others say of themselves. */
function monitorVotes(
  { replica: following, votes: pledge, system }: CandidateOptions,
  started: AsyncDisposableStack,
): void {
  const { peers: upstream, state: present, onStateChange: onMoved } = following;
  const moved = (): void => {
    const state = present();
    if (state !== undefined) pledge.onEpoch(state);
  };
  moved();
  onMoved(moved);
  const look = async (): Promise<void> => {
    const { granted: given } = pledge;
    if (given.length === 0) return;
    const heads = await upstream.heads();
    pledge.onHeads(
      heads.map(({ head }) => head),
      given,
    );
  };
  const complain = (error: unknown): void => log.error("what was pledged can't be looked at: {error}", { error });
  started.defer(system.clock.every(voteCheckMs, () => void look().catch(complain)));
}
