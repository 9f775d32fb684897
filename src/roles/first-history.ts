/** How the first primary gets its lease with `failover`: it begins the history only if no node has begun one. */
import type { Config } from "../config/config.ts";
import type { Lease } from "../replication/lease/lease.ts";
import { LeaseLeadership } from "../replication/failover/lease-leadership.ts";
import { approvedHistory } from "../replication/history-notes.ts";
import { currentStorePath } from "../store/directory/data-directory.ts";
import { getLogger } from "../telemetry/logger.ts";
import { AppError } from "../util/app-error.ts";
import { sleep, type Clock } from "../util/clock.ts";
import { reasonOf } from "../util/reason.ts";

const log = getLogger("node");

/** For how long an environment that begins waits for its lease. */
const firstLeaseMsMax = 10_000;
const pauseMs = 1000;

function acquire(lease: Lease, { failoverTtl: ttlMs }: Config, clock: Clock): Promise<LeaseLeadership | undefined> {
  return LeaseLeadership.acquire(lease, ttlMs, clock, { minTerm: 0, force: false });
}

/**
 * For an environment that begins with this start; `anew`: what others know of its id is of an earlier environment, which
 * was deleted. AppError `not_ready`: the lease cannot be acquired in time; `conflict`: the environment has begun already.
 */
export async function acquireFirstLease(
  lease: Lease,
  begins: "once" | "anew",
  config: Config,
  clock: Clock,
): Promise<LeaseLeadership> {
  for (const endMs = clock.monotonicMs() + firstLeaseMsMax; clock.monotonicMs() < endMs; await sleep(clock, pauseMs)) {
    const state = begins === "once" ? await lease.holder() : undefined;
    if (state?.record.hasHistory === true && approvedHistory(config.data, "abandon-history") === undefined)
      throw new AppError("conflict", `${lease.service} knows a history of \`${config.environment}\` already`);
    const leadership = await acquire(lease, config, clock);
    if (leadership !== undefined) return leadership;
  }
  throw new AppError("not_ready", "the environment got no lease as the primary in time, try again");
}

/**
 * Resolves with the lease under which this node may begin the history. Undefined if it stays an edge: it has received a
 * history or was stopped; or there is a history, and its data directory is empty because the node is new, or because its
 * volume is not mounted.
 */
export async function awaitFirstLease(
  lease: Lease,
  config: Config,
  clock: Clock,
  isStopped: () => boolean,
): Promise<LeaseLeadership | undefined> {
  const { data } = config;
  for (; !isStopped() && currentStorePath(data) === undefined; await sleep(clock, pauseMs)) {
    try {
      const state = await lease.holder();
      if (state?.record.hasHistory === true && approvedHistory(data, "abandon-history") === undefined) {
        log.warning("{service} knows a history that has begun: this node stays an edge", { service: lease.service });
        return undefined;
      }
      const leadership = state?.isHeld === true ? undefined : await acquire(lease, config, clock);
      if (leadership !== undefined) return leadership;
    } catch (error) {
      log.warning("the first history cannot begin yet: {reason}", { reason: reasonOf(error) });
    }
  }
  return undefined;
}
