/**
 * An edge: a full copy that follows the primary over the feed and answers from its own file. What it can't do itself, writing, it sends on. It
 * hands its copy and its log on to others, and can become the primary.
 */
import { join } from "node:path";
import type { Config } from "../config/config.ts";
import { lockDirectory, type DataDirectory } from "../store/data-directory.ts";
import { compareEpochs } from "../store/epochs.ts";
import { hashKey, verifyKey } from "../store/keys.ts";
import { getLogger } from "../telemetry/logger.ts";
import { AppError } from "../util/app-error.ts";
import { must } from "../util/assert.ts";
import { backupsOf } from "./backup/backup-server.ts";
import { openEdgeFeed, type EdgeFeed } from "./feed/edge-feed.ts";
import { epochOf } from "./feed/envelope.ts";
import { openFollowingCopy, type FollowingCopy } from "./following/following-copy.ts";
import { keyLookup } from "./following/key-lookup.ts";
import { createLogServer } from "./following/log-server.ts";
import { Moves } from "./following/moves.ts";
import type { Lease } from "./failover/lease.ts";
import { openPromotions, type PromotionsOptions } from "./failover/promotions.ts";
import { createForwarder } from "./forward.ts";
import { foreignHealth } from "./history-guard.ts";
import { nodeIdOf } from "./identity.ts";
import type { Node, NodeHealth, Promoted } from "./node.ts";
import { formatToken } from "./position.ts";
import type { Takeover } from "./primary-node.ts";
import { keepSnapshots } from "./snapshots/snapshot-keeper.ts";
import { type Candidate, openCandidate } from "./succession/candidate.ts";
import { Pledge } from "./succession/pledge.ts";
import { realSystem, type System } from "./system.ts";

const log = getLogger("edge");

export interface EdgeOptions {
  /** Starts a primary where this edge has just ended, and lets it answer in its place. Without it the edge can't be promoted. */
  readonly becomePrimary?: (takeover: Takeover) => Promise<Promoted>;
  /** Called when this edge is about to end, so that a primary takes its place; `requests` of those under way wait for that. */
  readonly onEnding?: (requests: number) => Promise<void>;
  /** The lease of the primary, with `failover`. The edge takes it when it is free, and then asks for votes. */
  readonly lease?: Lease | undefined;
}

export async function startEdgeNode(
  config: Config,
  { becomePrimary, onEnding = async () => {}, lease }: EdgeOptions = {},
  system: System = realSystem,
): Promise<Node> {
  const { limits, environment } = config;
  // What was started is ended in reverse order, also where a later part fails to start.
  await using started = new AsyncDisposableStack();
  const directory = lockDirectory(config.data);
  const lock = keepLock(directory);
  started.defer(lock.release);
  const id = nodeIdOf(config);
  const pledge = new Pledge(config.data);
  const counts = (): boolean => pledge.to === undefined;
  const following = await openFollowingCopy(config, () => (counts() ? id : undefined), started, system);
  const { follower, upstream, arrivals } = following;
  const candidate = openCandidate({ config, id, following, pledge, system }, started);
  const health = (): NodeHealth => healthOf(following, feed, pledge, limits.readyAgeMsMax);
  const feed = openEdgeFeed({ config, id, upstream, follower, health, present: following.present, counts, system });
  started.defer(() => feed.close());
  following.onMoved(feed.moved);
  const moves = new Moves(system.clock);
  following.onMoved(moves.wake);
  const serveLog = serveOthers(config, id, { following, candidate, moves }, system);
  follower.start();
  feed.start();

  const running = started.move();
  const perform: PromotionsOptions["perform"] = async ({ force, graceful = false, automatic = false }, acquire) => {
    const mandate = await candidate.stand({ force, graceful, automatic, acquire });
    try {
      const { path } = following.copy.engine();
      lock.keep();
      await onEnding(automatic ? 0 : 1);
      // The primary opens all of it anew, so what this edge could not end is no reason to be neither.
      await running.disposeAsync().catch(complainOfEnd);
      return await must(becomePrimary)({ directory, path, ...mandate, aheadIsLost: force || config.ack > 0 });
    } catch (error) {
      await mandate.leadership?.release();
      throw error;
    }
  };
  const promotions = openPromotions({ config, id, following, candidate, pledge, lease, perform, system });
  running.defer(promotions.stop);
  promotions.start();
  return {
    role: "edge",
    id,
    environment,
    engine: following.engine,
    history: following.history,
    writes: undefined,
    forward: createForwarder({
      system,
      primaryUrl: () => upstream.primary.url,
      history: () => following.guard.own,
      isForeign: () => following.guard.foreign?.from === upstream.primary.url,
      timeoutMs: limits.forwardTimeoutMs,
      // Of the wait for its turn, the check, and what is said of it.
      policyTimeoutMs: 2.5 * limits.policyCheckTimeMsMax,
      waitMs: config.consistencyWait,
      arrivals,
      primaryAlive: () => follower.feedState === "LIVE",
      onSilence: () => void upstream.findPrimary(),
    }),
    lookUpKey: keyLookup(config, () => upstream.primary.client, system.clock),
    promote: becomePrimary && promotions.promote,
    waitFor: (token) => arrivals.waitFor(token, config.consistencyWait),
    waitForLatest: () => waitForLatest(following, config.consistencyWait),
    requireFresh: () => requireConfirmed(following, config.maxStaleness),
    reportDamage: following.reportDamage,
    present: following.present,
    health,
    replication: serveLog,
    endWaits: moves.wake,
    backup: backupsOf(following, config, system),
    mqttConnection: undefined,
    async stop() {
      await running.disposeAsync();
      // It may be on its way to a primary, or hold the lease.
      await promotions.settled();
    },
  };
}

function complainOfEnd(error: unknown): void {
  log.error("this edge did not end well: {error}", { error });
}

/** The same that a primary serves to nodes, from this copy. */
function serveOthers(
  { data, limits, nodeKey }: Config,
  id: string,
  {
    following,
    candidate,
    moves,
  }: { readonly following: FollowingCopy; readonly candidate: Candidate; readonly moves: Moves },
  system: System,
): Node["replication"] {
  const { copy, present } = following;
  const nodeKeyHash = hashKey(must(nodeKey, "an edge has a node key"));
  const snapshots = keepSnapshots({
    storePath: () => copy.engine().path,
    directory: join(data, "snapshots"),
    reuseMs: limits.snapshotReuseMs,
    present() {
      // Says why there is none.
      following.engine();
      return must(present());
    },
    nodeKeyHash,
    system,
  });
  return createLogServer({
    store() {
      // Nobody shall follow what this node itself does not trust.
      following.engine();
      return copy.reader();
    },
    role: () => "edge",
    node: id,
    primaryHead: () => following.upstream.primaryHead(),
    led: candidate.led,
    candidacy: () => candidate.token,
    promised: () => candidate.promised,
    pledgedTo: () => candidate.pledgedTo,
    pledge: candidate.pledgeTo,
    ack: false,
    freshness: () => ({ number: undefined, ageMs: following.follower.ageMs }),
    limits,
    clock: system.clock,
    verifyNodeKey: (key) => verifyKey(key, nodeKeyHash),
    snapshots,
    // Who is in a later term and asks is the successor of the primary that this node follows.
    onPosition: (asked) => following.heardOf(asked),
    untilMoved: moves.wait,
    reportDamage: following.reportDamage,
  });
}

interface Lock {
  readonly release: () => void;
  /** From now on the lock is somebody else's to release. */
  readonly keep: () => void;
}

function keepLock(directory: DataDirectory): Lock {
  let kept = false;
  return {
    release() {
      if (!kept) directory.unlock();
    },
    keep: () => void (kept = true),
  };
}

/** Asks the primary where it stands, and waits to be there. */
async function waitForLatest({ upstream, arrivals, present }: FollowingCopy, waitMs: number): Promise<void> {
  const head = await upstream.primaryHead().catch((cause: unknown) => {
    throw new AppError("not_ready", "the primary can't be asked for the latest, read without `Ostiary-Consistency`", {
      cause,
    });
  });
  const own = present();
  if (head.role === "primary" && typeof head.a === "number")
    throw new AppError(
      "not_ready",
      "the primary can't renew its lease and does not know that it is the only one: read without `Ostiary-Consistency`",
    );
  if (head.role !== "primary" || head.a !== undefined)
    throw new AppError(
      "not_ready",
      "the node that was the primary is not any more, its successor is not known here yet",
    );
  if (own !== undefined && compareEpochs(epochOf(head), own) < 0)
    throw new AppError("not_ready", "the primary was replaced, and its successor is not known here yet");
  await arrivals.waitFor(formatToken(head.e, head.l), waitMs);
}

/** AppError `not_ready` where the copy is too old, or nobody knows how old it is. */
export function requireConfirmed({ staleness }: FollowingCopy, maxMs: number | undefined): void {
  const reason = maxMs === undefined ? undefined : staleness(maxMs);
  if (reason !== undefined)
    throw new AppError("not_ready", `this node answers nothing while ${reason}: \`maxStaleness\` demands a newer copy`);
}

/** AppError `not_ready` where a copy of that age is too old. */
export function requireFresh(ageMs: number | null, maxMs: number | undefined): void {
  if (maxMs === undefined || ageMs === null || ageMs <= maxMs) return;
  throw new AppError(
    "not_ready",
    `this copy was last known to be the newest ${Math.round(ageMs / 1000)} s ago, longer than \`maxStaleness\` lets it answer`,
  );
}

function healthOf(following: FollowingCopy, feed: EdgeFeed, pledge: Pledge, ageMsMax: number): NodeHealth {
  const { follower, writer } = following;
  const state = following.present();
  const { brokers } = feed;
  return {
    ok: following.copy.ready && !follower.diverged && !writer.failed,
    degraded: writer.storage.problem ?? following.staleness(ageMsMax),
    storageOk: writer.storage.problem === undefined,
    role: "edge",
    state: follower.feedState,
    epoch: state?.epoch ?? null,
    term: state?.term ?? null,
    offset: state?.offset ?? null,
    digest: state?.digest ?? null,
    ageMs: following.ageMs(),
    visibleAfterMs: follower.visibleAfterMs,
    feedConnected: brokers.some(({ connected }) => connected),
    brokers,
    ...foreignHealth(following.guard),
    ...(pledge.to === undefined ? {} : { pledgedTo: pledge.to }),
  };
}
