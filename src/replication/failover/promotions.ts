/** The promotions of an edge, one at a time: by an operator, or by the edge itself if there is a lease. */
import type { Promoted, PromoteOptions } from "../node.ts";
import type { CandidateOptions } from "./candidate.ts";
import type { AcquireLease } from "./promotion.ts";
import { Campaign } from "./campaign.ts";
import type { Lease } from "./lease/lease.ts";

export interface PromotionsOptions extends CandidateOptions {
  readonly lease: Lease | undefined;
  /** Requests votes and makes this node the primary. */
  readonly perform: (options: PromoteOptions, acquire: AcquireLease) => Promise<Promoted>;
}

export function openPromotions(options: PromotionsOptions) {
  const { lease, perform } = options;
  let current: Promise<Promoted> | undefined;
  /** The last promotion that the edge began by itself. */
  let own: Promise<Promoted | undefined> | undefined;
  const once: PromotionsOptions["perform"] = (how, acquire) =>
    (current ??= perform(how, acquire).finally(() => (current = undefined)));
  const promoteItself = (acquire: AcquireLease): Promise<Promoted> => {
    // A primary that has lost its lease may still answer: it is asked to hand over.
    const promoted = once({ force: false, graceful: true, automatic: true }, acquire);
    own = promoted.catch(() => undefined);
    return promoted;
  };
  const isPromoting = (): boolean => current !== undefined;
  const campaign = lease && new Campaign({ ...options, lease, isPromoting, promote: promoteItself });
  return {
    /** A promotion by an operator. */
    async promote(how: PromoteOptions): Promise<Promoted> {
      // The edge began its own promotion with other options, for example without force.
      const promoted = current === undefined ? undefined : await own;
      if (promoted !== undefined) return promoted;
      return once(how, async (askToHandOver) => {
        if (campaign === undefined) return undefined;
        if (how.graceful === true) await askToHandOver();
        return campaign.acquireForOperator(how.force);
      });
    },
    /** From now on the edge acquires the lease when it is free. */
    start: () => campaign?.start(),
    stop: () => campaign?.stop(),
    waitUntilIdle: async () => void (await current?.catch(() => undefined)),
  };
}
