/**
 * An edge: a full copy that follows the primary over the feed and answers from its own file. What it can't do itself, writing, it sends on. It
 * hands its copy and its log on to others, and can become the primary.
 */
import { join } from "node:path";
import type { Config } from "../config/config.ts";
import { lockDirectory, type DataDirectory } from "../store/directory/data-directory.ts";
import { compareEpochs } from "../store/log/epochs.ts";
import { hashKey, verifyKey } from "../store/keys/api-keys.ts";
import { getLogger } from "../telemetry/logger.ts";
import { AppError } from "../util/app-error.ts";
import { must } from "../util/assert.ts";
import { serveReplicaBackups } from "../replication/backup/backup-server.ts";
import { openEventSubscriber, type EventSubscriber } from "../replication/transport/event-subscriber.ts";
import { epochOf } from "../replication/transport/messages.ts";
import { openReplica, type Replica } from "../replication/replica/replica.ts";
import { keyLookup } from "../replication/replica/key-lookup.ts";
import { createNodeServer } from "../replication/transport/node-server.ts";
import { LongPolls } from "../replication/transport/long-polls.ts";
import type { Lease } from "../replication/failover/lease/lease.ts";
import { openPromotions, type PromotionsOptions } from "../replication/failover/promotions.ts";
import { createWriteForwarder } from "../replication/replica/write-forwarding.ts";
import { foreignHealth } from "../replication/history-guard.ts";
import { nodeIdOf } from "../replication/identity.ts";
import type { Node, NodeHealth, Promoted } from "../replication/node.ts";
import { formatToken } from "../replication/position.ts";
import type { Takeover } from "./primary.ts";
import { openSnapshotCache } from "../replication/snapshots/snapshot-cache.ts";
import { serveSnapshot } from "../replication/snapshots/snapshot-server.ts";
import { type Candidate, openCandidate } from "../replication/failover/candidate.ts";
import { Votes } from "../replication/failover/votes.ts";
import { realClusterSystem, type ClusterSystem } from "./cluster-system.ts";

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
  system: ClusterSystem = realClusterSystem,
): Promise<Node> {
  const { limits, environment } = config;
  // What was started is ended in reverse order, also where a later part fails to start.
  await using started = new AsyncDisposableStack();
  const directory = lockDirectory(config.data);
  const lock = holdLock(directory);
  started.defer(lock.release);
  const id = nodeIdOf(config);
  const pledge = new Votes(config.data);
  const counts = (): boolean => pledge.candidate === undefined;
  const following = await openReplica(config, () => (counts() ? id : undefined), started, system);
  const { loop: follower, peers: upstream, waiters: arrivals } = following;
  const candidate = openCandidate({ config, id, replica: following, votes: pledge, system }, started);
  const health = (): NodeHealth => edgeHealth(following, feed, pledge, limits.readyAgeMsMax);
  const feed = openEventSubscriber({
    config,
    id,
    peers: upstream,
    receiver: follower,
    health,
    state: following.state,
    mayAcknowledge: counts,
    system,
  });
  started.defer(() => feed.close());
  following.onStateChange(feed.onStateChange);
  const moves = new LongPolls(system.clock);
  following.onStateChange(moves.wake);
  const serveLog = servePeers(config, id, { following, candidate, moves }, system);
  follower.start();
  feed.start();

  const running = started.move();
  const perform: PromotionsOptions["perform"] = async ({ force, graceful = false, automatic = false }, acquire) => {
    const mandate = await candidate.runElection({ force, graceful, automatic, acquire });
    try {
      const { path } = following.database.engine();
      lock.keep();
      await onEnding(automatic ? 0 : 1);
      // The primary opens all of it anew, so what this edge could not end is no reason to be neither.
      await running.disposeAsync().catch(logStopFailure);
      return await must(becomePrimary)({ directory, path, ...mandate, aheadIsLost: force || config.ack > 0 });
    } catch (error) {
      await mandate.leadership?.release();
      throw error;
    }
  };
  const promotions = openPromotions({
    config,
    id,
    replica: following,
    candidate,
    votes: pledge,
    lease,
    perform,
    system,
  });
  running.defer(promotions.stop);
  promotions.start();
  return {
    role: "edge",
    id,
    environment,
    engine: following.engine,
    events: following.events,
    writes: undefined,
    forward: createWriteForwarder({
      system,
      primaryUrl: () => upstream.primary.url,
      history: () => following.historyGuard.own,
      isForeign: () => following.historyGuard.foreign?.from === upstream.primary.url,
      timeoutMs: limits.forwardTimeoutMs,
      // Of the wait for its turn, the check, and what is said of it.
      policyTimeoutMs: 2.5 * limits.policyCheckTimeMsMax,
      waitMs: config.consistencyWait,
      waiters: arrivals,
      isPrimaryAlive: () => follower.feedState === "LIVE",
      onNoAnswer: () => void upstream.findPrimary(),
    }),
    lookUpKey: keyLookup(config, () => upstream.primary.client, system.clock),
    promote: becomePrimary && promotions.promote,
    waitFor: (token) => arrivals.waitFor(token, config.consistencyWait),
    waitForLatest: () => waitForLatest(following, config.consistencyWait),
    requireFresh: () => requireConfirmed(following, config.maxStaleness),
    reportDamage: following.reportDamage,
    state: following.state,
    health,
    replication: serveLog,
    endLongPolls: moves.wake,
    backup: serveReplicaBackups(following, config, system),
    mqttConnection: undefined,
    async stop() {
      await running.disposeAsync();
      // It may be on its way to a primary, or hold the lease.
      await promotions.waitUntilIdle();
    },
  };
}

function logStopFailure(error: unknown): void {
  log.error("this edge did not end well: {error}", { error });
}

/** The same that a primary serves to nodes, from this copy. */
function servePeers(
  { data, limits, nodeKey }: Config,
  id: string,
  {
    following,
    candidate,
    moves,
  }: { readonly following: Replica; readonly candidate: Candidate; readonly moves: LongPolls },
  system: ClusterSystem,
): Node["replication"] {
  const { database: copy, state: present } = following;
  const nodeKeyHash = hashKey(must(nodeKey, "an edge has a node key"));
  const snapshots = openSnapshotCache({
    storePath: () => copy.engine().path,
    directory: join(data, "snapshots"),
    reuseMs: limits.snapshotReuseMs,
    state() {
      // Says why there is none.
      following.engine();
      return must(present());
    },
    nodeKeyHash,
    system,
  });
  return createNodeServer({
    store() {
      // Nobody shall follow what this node itself does not trust.
      following.engine();
      return copy.reader();
    },
    role: () => "edge",
    node: id,
    primaryHead: () => following.peers.primaryHead(),
    led: candidate.lastLedEpoch,
    candidacy: () => candidate.token,
    promised: () => candidate.promisedTerm,
    pledgedTo: () => candidate.votedFor,
    vote: candidate.grantVote,
    ack: false,
    freshness: () => ({ sequenceNumber: undefined, ageMs: following.loop.ageMs }),
    limits,
    clock: system.clock,
    verifyNodeKey: (key) => verifyKey(key, nodeKeyHash),
    serveSnapshot: (request) => serveSnapshot(request, snapshots),
    // Who is in a later term and asks is the successor of the primary that this node follows.
    onPeerPosition: (asked) => following.onPeerPosition(asked),
    waitForChange: moves.wait,
    reportDamage: following.reportDamage,
  });
}

interface Lock {
  readonly release: () => void;
  /** From now on the lock is somebody else's to release. */
  readonly keep: () => void;
}

function holdLock(directory: DataDirectory): Lock {
  let kept = false;
  return {
    release() {
      if (!kept) directory.unlock();
    },
    keep: () => void (kept = true),
  };
}

/** Asks the primary where it stands, and waits to be there. */
async function waitForLatest(
  { peers: upstream, waiters: arrivals, state: present }: Replica,
  waitMs: number,
): Promise<void> {
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
export function requireConfirmed({ staleness }: Replica, maxMs: number | undefined): void {
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

function edgeHealth(following: Replica, feed: EventSubscriber, pledge: Votes, ageMsMax: number): NodeHealth {
  const { loop: follower, writer } = following;
  const state = following.state();
  const { brokers } = feed;
  return {
    ok: following.database.isOpen && !follower.isDiverged && !writer.hasFailed,
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
    ...foreignHealth(following.historyGuard),
    ...(pledge.candidate === undefined ? {} : { pledgedTo: pledge.candidate }),
  };
}
