/**
 * An edge: a replica that applies the primary's event stream and answers from its own database. It forwards writes to
 * the primary, serves its log and its snapshots to other nodes, and can become the primary. `startEdge` opens its parts
 * in the order in which they start.
 */
import type { Config } from "../config/config.ts";
import { startAuditExchange } from "../replication/audit/audit-exchange.ts";
import { serveReplicaBackups } from "../replication/backup/backup-server.ts";
import { type Candidate, openCandidate } from "../replication/failover/candidate.ts";
import type { Lease } from "../replication/lease/lease.ts";
import { previewPromotion } from "../replication/failover/promotion-preview.ts";
import { foreignHealth } from "../replication/history-guard.ts";
import { nodeKeyHashesOf, nodeKeyVerifier } from "../replication/identity.ts";
import type { Node } from "../replication/node.ts";
import type { NodeHealth } from "../replication/node-health.ts";
import { keyLookup, keyLookupLimit } from "../replication/replica/key-lookup.ts";
import { openReplica, type Replica } from "../replication/replica/replica.ts";
import { createWriteForwarder } from "../replication/replica/write-forwarding.ts";
import { openSnapshotCache } from "../replication/snapshots/snapshot-cache.ts";
import { serveSnapshot } from "../replication/snapshots/snapshot-server.ts";
import { reporterOf } from "../replication/survey/node-report.ts";
import { ReplicaSurvey } from "../replication/survey/replica-survey.ts";
import { openEventSubscriber } from "../replication/transport/event-subscriber.ts";
import { forwardedClientMac } from "../replication/transport/forwarded-client.ts";
import { createNodeServer } from "../replication/transport/node-server.ts";
import type { NodeKeyHashes } from "../store/keys/node-keys.ts";
import type { StoreState } from "../store/log/store-state.ts";
import { must } from "../util/assert.ts";
import type { TokenBuckets } from "../util/token-buckets.ts";
import { type BecomePrimary, openEdgePromotions } from "./edge-promotions.ts";
import type { NodeParts } from "./node-parts.ts";

export interface EdgeOptions {
  /** Starts a primary in place of this edge. Without it the edge cannot be promoted. */
  readonly becomePrimary?: BecomePrimary;
  /** Why it may still become the primary by itself. Until that is decided, other nodes should be asked. */
  readonly unsettled?: () => string | undefined;
  /** The lease of the primary, with `failover`. The edge acquires it when it is free, and then asks for votes. */
  readonly lease?: Lease | undefined;
  /** `keyLookupLimit` of the process. */
  readonly keyLookups?: TokenBuckets | undefined;
}

/** An edge whose role has ended may still be a candidate until `whenIdle` resolves. */
export interface EdgeNode extends Node {
  whenIdle(): Promise<void>;
}

/** `stop` of the result ends the role, not the parts. */
export async function startEdge(
  parts: NodeParts,
  config: Config,
  { becomePrimary, unsettled, lease, keyLookups }: EdgeOptions = {},
): Promise<EdgeNode> {
  const { id, data, votes, keyUses, longPolls, limits, clock } = parts;
  const { consistencyWait } = config;
  const nodeKeyHashes = must(nodeKeyHashesOf(config), "an edge has a node key");
  // The parts stop in reverse order, also if a later part fails to start.
  await using started = new AsyncDisposableStack();

  // An edge that has voted for a candidate no longer counts for acknowledgements.
  const mayAcknowledge = (): boolean => votes.candidate === undefined;
  const ackName = (): string | undefined => (mayAcknowledge() ? id : undefined);
  const replica = await openReplica(config, parts, ackName, started, (asked) => survey.answer(asked));
  const { loop, peers, waiters, state } = replica;
  const voting = { id, data, clock, config, votes, replica };
  const candidate = openCandidate(voting, started);
  startReports(parts, replica, started);

  const health = (): NodeHealth => ({
    ...replicaHealth(replica, limits.readyAgeMsMax, unsettled?.()),
    role: "edge",
    isBrokerConnected: subscriber.brokers.some(({ connected }) => connected),
    brokers: subscriber.brokers,
    ...(votes.candidate === undefined ? {} : { votedFor: votes.candidate }),
  });
  const own = reporterOf({ node: id, nodeKeyHashes, health, appliedMs: replica.appliedMs });
  const survey = new ReplicaSurvey(own, peers, clock);
  const subscriber = openEventSubscriber(parts, config, { peers, receiver: loop, health, state, mayAcknowledge });
  started.defer(() => subscriber.close());
  replica.onStateChange(subscriber.onStateChange);
  replica.onStateChange(longPolls.wake);
  const replication = serveNodes(parts, replica, candidate, nodeKeyHashes);
  loop.start();
  subscriber.start();

  const promotions = becomePrimary && openEdgePromotions(voting, candidate, lease, becomePrimary);
  if (promotions !== undefined) started.defer(promotions.stop);
  promotions?.start();
  const running = started.move();
  return {
    role: "edge",
    id,
    environment: config.environment,
    clock,
    keyUses,
    engine: replica.engine,
    shared: replica.database,
    events: replica.events,
    writes: undefined,
    forward: forwarderOf(parts, config, replica, nodeKeyHashes),
    lookUpKey: keyLookup(keyLookups ?? keyLookupLimit(config, clock), () => peers.primary.client),
    promote: promotions?.promote,
    previewPromotion: promotions && ((how) => previewPromotion(voting, candidate.lastLedEpoch, lease, how)),
    waitFor: (token) => waiters.waitFor(token, consistencyWait),
    waitForLatest: () => replica.waitForLatest(consistencyWait),
    requireFresh: () => replica.requireFresh(config.maxStaleness),
    reportDamage: replica.reportDamage,
    audit: parts.audit,
    state,
    health,
    survey: (wanted) => survey.ask(wanted),
    replication,
    endLongPolls: longPolls.wake,
    backup: serveReplicaBackups(parts, replica, nodeKeyHashes[0]),
    mqttConnection: undefined,
    stop: () => running.disposeAsync(),
    whenIdle: async () => promotions?.waitUntilIdle(),
  };
}

/** Reports the uses of API keys to the primary, and exchanges the audit log with it. For an edge or a fallback. */
export function startReports(parts: NodeParts, { peers, reportDamage }: Replica, started: AsyncDisposableStack): void {
  const { keyUses, writer, database, limits } = parts;
  started.defer(keyUses.start(limits.keyUsesIntervalMs, (uses) => peers.primary.client.keyUses(uses)));
  const primary = () => peers.primary.client;
  startAuditExchange(parts, { writer, reader: () => database.reader(), primary, reportDamage }, started);
}

/** The server for other nodes. */
function serveNodes(
  parts: NodeParts,
  replica: Replica,
  candidate: Candidate,
  nodeKeyHashes: NodeKeyHashes,
): Node["replication"] {
  const { votes } = parts;
  const { peers, loop } = replica;
  const state = (): StoreState => {
    // Throws with the reason why there is none.
    replica.engine();
    return must(replica.state());
  };
  const snapshots = openSnapshotCache(parts, () => replica.database.path, state, nodeKeyHashes[0]);
  return createNodeServer(parts, {
    store() {
      // A database that must not answer must not be followed either.
      replica.engine();
      return replica.database.reader();
    },
    role: () => "edge",
    primaryHead: () => peers.primaryHead(),
    led: candidate.lastLedEpoch,
    candidacy: () => candidate.token,
    promised: () => votes.promisedTerm,
    votedFor: () => votes.candidate,
    vote: candidate.grantVote,
    ack: false,
    freshness: () => ({ sequenceNumber: undefined, ageMs: loop.monitor.ageMs }),
    verifyNodeKey: nodeKeyVerifier(nodeKeyHashes, "request"),
    serveSnapshot: (request) => serveSnapshot(request, snapshots),
    // A node of a later term follows the successor of this edge's primary.
    onPeerPosition: (position) => replica.onPeerPosition(position),
    reportDamage: replica.reportDamage,
  });
}

function forwarderOf(
  { id, system }: NodeParts,
  { limits, consistencyWait }: Config,
  { peers, historyGuard, waiters, loop }: Replica,
  nodeKeyHashes: NodeKeyHashes,
): Node["forward"] {
  const clientMac = forwardedClientMac(nodeKeyHashes);
  return createWriteForwarder({
    system,
    primaryUrl: () => peers.primary.url,
    describeClient: (address, requestId) => clientMac.sign({ node: id, address }, requestId),
    history: () => historyGuard.own,
    isForeign: () => historyGuard.foreign?.from === peers.primary.url,
    timeoutMs: limits.forwardTimeoutMs,
    // A policy waits for its turn, is checked, and its report is rendered.
    policyTimeoutMs: 2.5 * limits.policyCheckTimeMsMax,
    waitMs: consistencyWait,
    waiters,
    isPrimaryAlive: () => loop.stateName === "LIVE",
    onNoAnswer: () => void peers.findPrimary(),
  });
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
    ...replica.database.health(),
  };
}

export function positionHealth(state: StoreState | undefined) {
  const { epoch = null, term = null, offset = null, digest = null } = state ?? {};
  return { epoch, term, offset, digest };
}
