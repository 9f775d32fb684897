/** The promotions of an edge, one at a time: by an operator, or with `failover` by the edge itself when the lease is free. */
import type { Candidate } from "../replication/failover/candidate.ts";
import { staticLeadership } from "../replication/failover/leadership.ts";
import type { Lease } from "../replication/lease/lease.ts";
import { LeaseWatch } from "../replication/failover/lease-watch.ts";
import type { AcquireLeadership, VotingEdge } from "../replication/failover/promotion.ts";
import type { Promoted, PromoteOptions } from "../replication/node.ts";
import type { AuditDraft } from "../store/log/audit-entry.ts";
import type { Takeover } from "./primary-claim.ts";

/** Ends the edge, of whose requests so many wait for the primary, and starts the primary. */
export type BecomePrimary = (takeover: Takeover, besides: number) => Promise<Promoted>;

/** The edge asks for its promotion itself when the lease of the primary is free. */
const ownPromotion: AuditDraft = { actor: { kind: "system", id: null, name: null }, action: "node.promote" };

export function openEdgePromotions(
  edge: VotingEdge,
  candidate: Candidate,
  lease: Lease | undefined,
  becomePrimary: BecomePrimary,
) {
  let current: Promise<Promoted> | undefined;
  /** The last promotion that the edge began by itself. */
  let own: Promise<Promoted | undefined> | undefined;
  const perform = async (
    { force, graceful = false, automatic = false, audit: asked }: PromoteOptions,
    acquire: AcquireLeadership,
  ): Promise<Promoted> => {
    const won = await candidate.winPromotion({ force, graceful, automatic, acquire });
    const audit: AuditDraft = { ...(asked ?? ownPromotion), details: { force, graceful, automatic } };
    return await becomePrimary({ ...won, audit, aheadIsLost: force || edge.config.ack > 0 }, automatic ? 0 : 1);
  };
  const once = (how: PromoteOptions, acquire: AcquireLeadership): Promise<Promoted> =>
    (current ??= perform(how, acquire).finally(() => (current = undefined)));
  const promoteItself = (acquire: AcquireLeadership): Promise<Promoted> => {
    // A primary that has lost its lease may still answer: it is asked to hand over.
    const promoted = once({ force: false, graceful: true, automatic: true }, acquire);
    own = promoted.catch(() => undefined);
    return promoted;
  };
  const isPromoting = (): boolean => current !== undefined;
  const watch = lease && new LeaseWatch(edge, { lease, isPromoting, promote: promoteItself });
  return {
    /** A promotion by an operator. */
    async promote(how: PromoteOptions): Promise<Promoted> {
      // The edge began its own promotion with other options, for example without force.
      const promoted = current === undefined ? undefined : await own;
      if (promoted !== undefined) return promoted;
      return once(how, async (askToHandOver) => {
        if (watch === undefined) return staticLeadership;
        if (how.graceful === true) await askToHandOver();
        return watch.acquireForOperator(how.force);
      });
    },
    /** From now on the edge acquires the lease when it is free. */
    start: () => watch?.start(),
    stop: () => watch?.stop(),
    waitUntilIdle: async () => void (await current?.catch(() => undefined)),
  };
}
