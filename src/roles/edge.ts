/**
 * An edge: a replica that applies the primary's event stream and answers from its own database. It forwards writes to
 * the primary, serves its log and its snapshots to other nodes, and can become the primary. `startEdgeNode` wires its
 * parts in the order in which they start.
 */
import { join } from "node:path";
import type { Config } from "../config/config.ts";
import { startAuditExchange } from "../replication/audit/audit-exchange.ts";
import { createAuditRecorder, type AuditLog } from "../replication/audit/audit-recorder.ts";
import { serveReplicaBackups } from "../replication/backup/backup-server.ts";
import { openCandidate } from "../replication/failover/candidate.ts";
import type { Lease } from "../replication/failover/lease/lease.ts";
import { previewPromotion } from "../replication/failover/promotion-preview.ts";
import { openPromotions, type PromotionsOptions } from "../replication/failover/promotions.ts";
import { Votes } from "../replication/failover/votes.ts";
import { foreignHealth } from "../replication/history-guard.ts";
import { nodeIdOf, nodeKeyHashesOf, nodeKeyVerifier } from "../replication/identity.ts";
import { KeyUses } from "../replication/key-uses.ts";
import type { Node, Promoted } from "../replication/node.ts";
import { keyLookup, keyLookupLimit } from "../replication/replica/key-lookup.ts";
import { openReplica, type Replica } from "../replication/replica/replica.ts";
import { createWriteForwarder } from "../replication/replica/write-forwarding.ts";
import { reporterOf } from "../replication/survey/node-report.ts";
import { ReplicaSurvey } from "../replication/survey/replica-survey.ts";
import { openSnapshotCache } from "../replication/snapshots/snapshot-cache.ts";
import { serveSnapshot } from "../replication/snapshots/snapshot-server.ts";
import { openEventSubscriber } from "../replication/transport/event-subscriber.ts";
import { LongPolls } from "../replication/transport/long-polls.ts";
import { forwardedClientMac } from "../replication/transport/forwarded-client.ts";
import type { NodeClient } from "../replication/transport/node-client.ts";
import { createNodeServer } from "../replication/transport/node-server.ts";
import { lockNodeDirectory } from "../store/directory/data-directory.ts";
import type { Connection } from "../store/connection/connection.ts";
import type { AuditDraft, AuditEntry } from "../store/log/audit-entry.ts";
import type { StoreState } from "../store/log/store-state.ts";
import { getLogger } from "../telemetry/logger.ts";
import { must } from "../util/assert.ts";
import type { TokenBuckets } from "../util/token-buckets.ts";
import type { NodeHealth } from "../replication/node-health.ts";
import { realClusterSystem, type ClusterSystem } from "./cluster-system.ts";
import type { Takeover } from "./primary.ts";

const log = getLogger("edge");

export interface EdgeOptions {
  /** Starts a primary after this edge, which has just ended. Without it the edge cannot be promoted. */
  readonly becomePrimary?: (takeover: Takeover) => Promise<Promoted>;
  /** Called before this edge ends so that a primary can start. `requests` of those under way wait for the primary. */
  readonly onEnding?: (requests: number) => Promise<void>;
  /** Why it may still become the primary by itself. Until that is decided, other nodes should be asked. */
  readonly unsettled?: () => string | undefined;
  /** The lease of the primary, with `failover`. The edge acquires it when it is free, and then asks for votes. */
  readonly lease?: Lease | undefined;
  /** `keyLookupLimit` of the process. */
  readonly keyLookups?: TokenBuckets | undefined;
}

export async function startEdgeNode(
  config: Config,
  { becomePrimary, onEnding = async () => {}, unsettled, lease, keyLookups: given }: EdgeOptions = {},
  system: ClusterSystem = realClusterSystem,
): Promise<Node> {
  const { limits, environment, data, consistencyWait } = config;
  const { clock } = system;
  const keyLookups = given ?? keyLookupLimit(config, clock);
  const nodeKeyHashes = must(nodeKeyHashesOf(config), "an edge has a node key");
  // The parts stop in reverse order, also if a later part fails to start.
  await using started = new AsyncDisposableStack();

  // The data directory. After a promotion its lock belongs to the primary.
  const directory = lockNodeDirectory(data);
  let isLockPassedOn = false;
  started.defer(() => {
    if (!isLockPassedOn) directory.unlock();
  });
  // Not earlier: at a first start the id is stored in the directory, which the lock creates.
  const id = nodeIdOf(config);

  // The replica. An edge that has voted for a candidate no longer counts for acknowledgements.
  const votes = new Votes(data);
  const mayAcknowledge = (): boolean => votes.candidate === undefined;
  const ackName = (): string | undefined => (mayAcknowledge() ? id : undefined);
  const replica = await openReplica(config, directory, ackName, started, system, (asked) => survey.answer(asked));
  const { loop, peers, waiters, state } = replica;
  const candidate = openCandidate({ config, id, replica, votes, system }, started);

  // The last uses of API keys.
  const keyUses = new KeyUses(data, clock);
  started.defer(keyUses.start(limits.keyUsesIntervalMs, (uses) => peers.primary.client.keyUses(uses)));

  // The event stream.
  const health = (): NodeHealth => ({
    ...replicaHealth(replica, limits.readyAgeMsMax, unsettled?.()),
    role: "edge",
    isBrokerConnected: subscriber.brokers.some(({ connected }) => connected),
    brokers: subscriber.brokers,
    ...(votes.candidate === undefined ? {} : { votedFor: votes.candidate }),
  });
  const own = reporterOf({ node: id, nodeKeyHashes, health: () => health(), appliedMs: replica.appliedMs });
  const survey = new ReplicaSurvey(own, peers, clock);
  const subscriber = openEventSubscriber({ config, id, peers, receiver: loop, health, state, mayAcknowledge, system });
  started.defer(() => subscriber.close());
  replica.onStateChange(subscriber.onStateChange);

  // The server for other nodes.
  const longPolls = new LongPolls(clock);
  replica.onStateChange(longPolls.wake);
  const snapshots = openSnapshotCache({
    storePath: () => replica.database.path,
    directory: join(data, "snapshots"),
    reuseMs: limits.snapshotReuseMs,
    state() {
      // Throws with the reason why there is none.
      replica.engine();
      return must(state());
    },
    nodeKeyHash: nodeKeyHashes[0],
    system,
  });
  const replication = createNodeServer({
    store() {
      // A database that must not answer must not be followed either.
      replica.engine();
      return replica.database.reader();
    },
    role: () => "edge",
    node: id,
    primaryHead: () => peers.primaryHead(),
    led: candidate.lastLedEpoch,
    candidacy: () => candidate.token,
    promised: () => votes.promisedTerm,
    votedFor: () => votes.candidate,
    vote: candidate.grantVote,
    ack: false,
    freshness: () => ({ sequenceNumber: undefined, ageMs: loop.monitor.ageMs }),
    limits,
    clock,
    keyUses,
    verifyNodeKey: nodeKeyVerifier(nodeKeyHashes, "request"),
    serveSnapshot: (request) => serveSnapshot(request, snapshots),
    // A node of a later term follows the successor of this edge's primary.
    onPeerPosition: (position) => replica.onPeerPosition(position),
    waitForChange: longPolls.wait,
    reportDamage: replica.reportDamage,
  });
  loop.start();
  subscriber.start();

  // The audit log.
  const audit = openReplicaAudit(config, id, replica, started, system);

  // Promotion: win the election, end this edge, and start a primary on the same directory.
  const running = started.move();
  const clientMac = forwardedClientMac(nodeKeyHashes);
  const perform: PromotionsOptions["perform"] = async (
    { force, graceful = false, automatic = false, audit: asked },
    acquire,
  ) => {
    const mandate = await candidate.runElection({ force, graceful, automatic, acquire });
    try {
      const { path } = replica.database.engine();
      isLockPassedOn = true;
      await onEnding(automatic ? 0 : 1);
      // The primary opens everything anew, so a part of the edge that fails to stop must not prevent its start.
      await running
        .disposeAsync()
        .catch((error: unknown) => log.error("this edge did not end well: {error}", { error }));
      const details = { force, graceful, automatic };
      const draft: AuditDraft = { ...(asked ?? ownPromotion), details };
      const aheadIsLost = force || config.ack > 0;
      return await must(becomePrimary)({ directory, path, ...mandate, aheadIsLost, audit: draft });
    } catch (error) {
      await mandate.leadership?.release();
      throw error;
    }
  };
  const promotions = openPromotions({ config, id, replica, votes, lease, perform, system });
  running.defer(promotions.stop);
  promotions.start();

  return {
    role: "edge",
    id,
    environment,
    clock,
    keyUses,
    engine: replica.engine,
    events: replica.events,
    writes: undefined,
    forward: createWriteForwarder({
      system,
      primaryUrl: () => peers.primary.url,
      describeClient: (address, requestId) => clientMac.sign({ node: id, address }, requestId),
      history: () => replica.historyGuard.own,
      isForeign: () => replica.historyGuard.foreign?.from === peers.primary.url,
      timeoutMs: limits.forwardTimeoutMs,
      // A policy waits for its turn, is checked, and its report is rendered.
      policyTimeoutMs: 2.5 * limits.policyCheckTimeMsMax,
      waitMs: consistencyWait,
      waiters,
      isPrimaryAlive: () => loop.stateName === "LIVE",
      onNoAnswer: () => void peers.findPrimary(),
    }),
    lookUpKey: keyLookup(keyLookups, () => peers.primary.client),
    promote: becomePrimary && promotions.promote,
    previewPromotion:
      becomePrimary &&
      ((how) => {
        const { lastLedEpoch } = candidate;
        return previewPromotion({ ...how, id, replica, votes, lastLedEpoch, ack: config.ack, lease });
      }),
    waitFor: (token) => waiters.waitFor(token, consistencyWait),
    waitForLatest: () => replica.waitForLatest(consistencyWait),
    requireFresh: () => replica.requireFresh(config.maxStaleness),
    reportDamage: replica.reportDamage,
    audit,
    state,
    health,
    survey: (wanted) => survey.ask(wanted),
    replication,
    endLongPolls: longPolls.wake,
    backup: serveReplicaBackups(replica, config, system),
    mqttConnection: undefined,
    async stop() {
      await running.disposeAsync();
      // A promotion may be under way or hold the lease.
      await promotions.waitUntilIdle();
    },
  };
}

/** The edge asks for its promotion itself when the lease of the primary is free. */
const ownPromotion: AuditDraft = { actor: { kind: "system", id: null, name: null }, action: "node.promote" };

/** The audit log of an edge or a fallback that follows its primary. */
export function openReplicaAudit(
  { data, limits }: Config,
  node: string,
  { writer, database, peers, reportDamage }: Replica,
  started: AsyncDisposableStack,
  { clock }: ClusterSystem,
): AuditLog {
  const reader = (): Connection => database.reader();
  const store = (entries: readonly AuditEntry[]): Promise<void> => writer.recordAudit({ entries, received: false });
  const audit = createAuditRecorder({ node, clock, directory: data, reader, store });
  started.defer(() => audit.close());
  const primary = (): NodeClient => peers.primary.client;
  const intervalMs = limits.auditExchangeIntervalMs;
  startAuditExchange({ writer, reader, primary, intervalMs, clock, reportDamage }, started);
  return audit;
}

/** The health of an edge or a fallback, as far as its replica determines it. `problem` is one of its role. */
export function replicaHealth(replica: Replica, ageMsMax: number, problem?: string) {
  const { loop, writer } = replica;
  return {
    ok: replica.database.isOpen && !loop.isDiverged && !writer.hasFailed,
    degraded: problem ?? writer.storage.problem ?? replica.staleness(ageMsMax),
    storageOk: writer.storage.problem === undefined,
    state: loop.stateName,
    ...positionHealth(replica.state()),
    ageMs: replica.ageMs(),
    visibleAfterMs: loop.visibleAfterMs,
    ...foreignHealth(replica.historyGuard),
    ...replica.database.formatHealth(),
  };
}

export function positionHealth(state: StoreState | undefined) {
  const { epoch = null, term = null, offset = null, digest = null } = state ?? {};
  return { epoch, term, offset, digest };
}
