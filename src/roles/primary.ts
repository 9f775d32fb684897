/**
 * The primary: it writes the log and serves it to other nodes, over brokers and over HTTP. It needs no other node.
 * `startPrimary` opens its parts in the order in which they start.
 */
import { developmentKey, type Config } from "../config/config.ts";
import { createBackupServer } from "../replication/backup/backup-server.ts";
import { keepDirectory } from "../replication/directory-keeper.ts";
import { Acks } from "../replication/failover/acks.ts";
import { canFollow, type Fence, type FenceOptions } from "../replication/failover/fence.ts";
import type { Handover } from "../replication/failover/handover.ts";
import { type Leadership, staticLeadership } from "../replication/failover/leadership.ts";
import { foreignHealth } from "../replication/history-guard.ts";
import { noteHistory } from "../replication/history-notes.ts";
import { nodeKeyVerifier } from "../replication/identity.ts";
import { recordCommitTimes } from "../log/reader/commit-times.ts";
import { createEventReader } from "../log/reader/event-reader.ts";
import type { Node, Promoted, PromoteOptions, Writes } from "../replication/node.ts";
import type { NodeHealth } from "../replication/node-health.ts";
import { mintEpoch } from "../log/event/position.ts";
import { type DamageMonitor, monitorDamage } from "../replication/replica/damage-monitor.ts";
import { historyContains, type ReportedPosition } from "../replication/replica/divergence-point.ts";
import { OffsetWaiters } from "../replication/replica/offset-waiters.ts";
import { openSnapshotCache } from "../replication/snapshots/snapshot-cache.ts";
import { serveSnapshot } from "../replication/snapshots/snapshot-server.ts";
import { reporterOf } from "../replication/survey/node-report.ts";
import { PrimarySurvey } from "../replication/survey/primary-survey.ts";
import { openEventStream, type EventStream, type EventStreamListener } from "../replication/transport/event-stream.ts";
import { forwardedClientMac } from "../replication/transport/forwarded-client.ts";
import { epochOf } from "../replication/transport/messages.ts";
import { createNodeServer } from "../replication/transport/node-server.ts";
import type { NodeKeyHashes } from "../store/keys/node-keys.ts";
import { operator } from "../store/log/audit-entry.ts";
import { firstEpoch, readEpochs } from "../store/log/epochs.ts";
import { openLog } from "../store/log/log.ts";
import { readState, type StoreState } from "../store/log/store-state.ts";
import { AppError } from "../util/app-error.ts";
import { recordExpiredKeys } from "./expired-keys.ts";
import type { NodeParts } from "./node-parts.ts";
import {
  beginTerm,
  type Claim,
  createVoter,
  openClaim,
  openHandover,
  type OpenedData,
  settleClaim,
  type Takeover,
} from "./primary-claim.ts";
import { openPrimaryDatabase, refuseDevelopmentKey } from "./primary-database.ts";
import { acceptAdminKey, ensureSecrets, type AnnounceKeys } from "./primary-keys.ts";
import { createWrites } from "./primary-writes.ts";

export interface PrimaryNode extends Node {
  readonly writes: Writes;
}

export interface PrimaryOptions {
  /** Gets the keys that a first start makes. */
  readonly announce?: AnnounceKeys | undefined;
  /** For another environment than the default one: SHA-256 of the node keys of that one. */
  readonly nodeKeyHashes?: NodeKeyHashes | undefined;
  /** Whether an empty directory may begin a history although other nodes know one. */
  readonly ignoresKnownHistory?: boolean;
  /** With it the node continues from the database that is open. */
  readonly takeover?: Takeover | undefined;
  /** Of a node that begins the first history. A takeover has its own. */
  readonly leadership?: Leadership | undefined;
  /** Makes this node the primary again after it was replaced, if it has no peers that could vote. */
  readonly reinstate?: (options: PromoteOptions) => Promise<Promoted>;
  /** Called once when this node is no longer the primary, possibly before it has started. */
  readonly onFenced?: FenceOptions["onFenced"];
}

/** `stop` of the result ends the role, not the parts. AppError `conflict` if another process is the primary of the same data. */
export async function startPrimary(
  parts: NodeParts,
  config: Config,
  options: PrimaryOptions = {},
): Promise<PrimaryNode> {
  const { takeover, onFenced = () => {} } = options;
  const { writer, database, longPolls, limits, clock, keyUses } = parts;
  const leadership = takeover?.leadership ?? options.leadership ?? staticLeadership;
  /** Each start has its own. */
  const instance = mintEpoch(clock);
  // The parts stop in reverse order, also if a later part fails to start.
  await using started = new AsyncDisposableStack();

  const opened = await openData(parts, config, options, started);
  let stream: EventStream | undefined = undefined;
  const claim = await openClaim(
    parts,
    {
      ...{ config, opened, instance, takeover, leadership },
      onFenced(...why) {
        stream?.stop();
        onFenced(...why);
      },
      publishHead: () => stream?.publishHead(),
    },
    started,
  );
  const replicas = await openReplicas(
    parts,
    claim,
    (error) => damage.report(error),
    () => health(),
    started,
  );
  stream = replicas.stream;
  await settleClaim(parts, claim, started);
  const handover = openHandover(parts, claim, started);
  const { audit } = parts;
  await beginTerm(parts, claim, started);
  if (config.adminKey === developmentKey)
    audit.record({ actor: operator(), action: "node.start", target: parts.id, details: { developmentKey: true } });

  const damage = watchDamage(parts, claim, started);
  started.defer(keyUses.start(limits.keyUsesIntervalMs));

  const waiters = new OffsetWaiters(clock, {
    state: () => writer.state,
    epochs: () => readEpochs(database.reader()),
    isNewest: () => !claim.fence.isFenced,
    mayLearnEpochs: false,
  });
  const events = createEventReader(() => database.reader(), true);
  started.defer(writer.onNext((next) => replicas.stream.announce(next)));
  // Each commit, from the writer to everything that waits for it.
  const onCommit = writer.onStateChange((change) => {
    replicas.stream.wake(change);
    database.onStateChange(change.state);
    waiters.onStateChange();
    events.notify();
    longPolls.wake();
  });
  started.defer(onCommit);
  const health = (): NodeHealth => primaryHealth(parts, claim, replicas.stream, damage);
  const replication = serveNodes(parts, claim, replicas, handover, damage);
  replicas.stream.start();
  const writes = createWrites(parts, { claim, acks: replicas.acks, handover, damage, stream: replicas.stream });
  started.defer(recordExpiredKeys(parts, writes));
  const role = { claim, replicas, damage, waiters, events, writes, replication, health };
  return nodeOf(parts, role, options.reinstate, started.move());
}

async function openData(
  parts: NodeParts,
  config: Config,
  options: PrimaryOptions,
  started: AsyncDisposableStack,
): Promise<OpenedData> {
  const { writer, database, directory, data, limits, clock } = parts;
  const { announce = async () => {}, nodeKeyHashes, ignoresKnownHistory = false, takeover } = options;
  writer.mode = {
    synchronous: "FULL",
    reserveBytes: limits.diskReserveBytes,
    sharesDisk: nodeKeyHashes !== undefined,
  };
  started.defer(() => writer.endRole());
  const { path, isNew } =
    takeover === undefined
      ? await openPrimaryDatabase(parts, config, { ignoresKnownHistory })
      : { path: database.path, isNew: false };
  await parts.open(path);
  const commits = recordCommitTimes(writer, started);
  const store = database.reader();
  const { epoch: history } = firstEpoch(store);
  noteHistory(data, history);
  refuseDevelopmentKey(config, database.engine());
  const secrets = await ensureSecrets(config, writer, store, { announce, nodeKeyHashes });
  // The operator has seen the keys of a first start, so they must be stored even if the start fails later.
  if (writer.state.offset === 0 && secrets.adminKey !== undefined)
    await acceptAdminKey(parts, secrets.adminKey, config.nodeId ?? null);
  started.defer(keepDirectory(directory, writer.storage, clock, { isReplica: false }));
  return { ...secrets, store, history, commits, isNew };
}

function watchDamage(parts: NodeParts, { takeover, leadership, fence }: Claim, started: AsyncDisposableStack) {
  const onFound = (): void => {
    // With a lease, another node has all acknowledged events and can take over.
    if (leadership.isLeased) fence.giveUpDamaged();
  };
  const damage = monitorDamage(parts, takeover !== undefined, onFound, started);
  // The next role must not answer from it.
  started.defer(() => (damage.found ? parts.closeDatabase() : undefined));
  return damage;
}

/** What a primary sends to the nodes that follow it, and what it knows of them. */
interface Replicas {
  readonly stream: EventStream;
  readonly acks: Acks;
  readonly survey: PrimarySurvey;
  /** Another node has all events up to this position. */
  readonly acknowledge: (nodeId: string, reported: ReportedPosition) => void;
  /** See `Leadership.ageMs`; null also while this node may not write. */
  readonly ageMs: () => number | null | undefined;
}

async function openReplicas(
  parts: NodeParts,
  claim: Claim,
  reportDamage: (error: unknown) => boolean,
  health: () => NodeHealth,
  started: AsyncDisposableStack,
): Promise<Replicas> {
  const { writer, database, longPolls, clock, id } = parts;
  const { config, opened, instance, fence, term, leadership } = claim;
  const { store, nodeKeyHashes, commits } = opened;
  const acks = new Acks(config.ack, clock);
  const eventLog = openLog(store);
  const acknowledge: Replicas["acknowledge"] = (nodeId, reported) => {
    if (config.ack > 0 && database.isOpen && historyContains(readState(store), eventLog, reported))
      acks.record(nodeId, reported.epoch, reported.offset);
  };
  // Then it cannot confirm that a replica has all events.
  const ageMs = (): number | null | undefined => (fence.isFenced || !term.isBegun ? null : leadership.ageMs);
  const own = reporterOf({ node: id, nodeKeyHashes, health, appliedMs: (offset) => commits.at(offset) });
  const announce = (): void => {
    stream.publishHead();
    longPolls.wakeReporters();
  };
  const survey = new PrimarySurvey(own, () => writer.state, announce, clock);
  const listener = createListener(claim, { acknowledge, survey }, clock.wallMs());
  const setAnnouncing = (isWanted: boolean): void => writer.announce(isWanted);
  const sender = { instance, ageMs, commits, questions: () => survey.questions, setAnnouncing, reportDamage };
  const stream = await openEventStream(parts, config, store, nodeKeyHashes, sender, listener);
  started.defer(() => stream.close());
  return { stream, acks, survey, acknowledge, ageMs };
}

/** The server for other nodes. */
function serveNodes(
  parts: NodeParts,
  claim: Claim,
  { stream, survey, acknowledge, ageMs }: Replicas,
  handover: Handover,
  damage: DamageMonitor,
): Node["replication"] {
  const { writer, database } = parts;
  const { config, opened, instance, leadership, foreign, successor, duplicates } = claim;
  const { nodeKeyHashes, commits } = opened;
  const snapshots = openSnapshotCache(
    parts,
    () => database.engine().path,
    () => writer.state,
    nodeKeyHashes[0],
  );
  return createNodeServer(parts, {
    store() {
      damage.requireNone();
      return database.reader();
    },
    role: () => "primary",
    instance,
    led: undefined,
    candidacy: () => undefined,
    leased: leadership.isLeased,
    handsOverTo: () => handover.target,
    ...createVoter(parts, claim, handover),
    ack: config.ack > 0,
    freshness: () => ({ sequenceNumber: stream.headSequenceNumber, ageMs: ageMs() }),
    commits,
    verifyNodeKey: nodeKeyVerifier(nodeKeyHashes, "request"),
    serveSnapshot: (request) => serveSnapshot(request, snapshots),
    onPeerPosition(position, nodeId) {
      if (position.first !== undefined && !foreign.admits(position.first, nodeId ?? "a node")) return;
      successor.onPeerPosition(position);
      // A request without an id may be of this node itself, because one list of peers may serve all nodes.
      if (nodeId === undefined) return;
      duplicates.onReplicaEpoch(position.epoch);
      acknowledge(nodeId, position);
      survey.notePosition(nodeId, position);
    },
    survey,
    receiveAudit: (entries) => writer.recordAudit({ entries, received: false }),
    reportDamage: damage.report,
  });
}

/** What the interface of the node needs of the role. */
interface PrimaryRole {
  readonly claim: Claim;
  readonly replicas: Replicas;
  readonly damage: DamageMonitor;
  readonly waiters: OffsetWaiters;
  readonly events: Node["events"];
  readonly writes: Writes;
  readonly replication: Node["replication"];
  readonly health: () => NodeHealth;
}

function nodeOf(
  parts: NodeParts,
  role: PrimaryRole,
  reinstate: PrimaryOptions["reinstate"],
  running: AsyncDisposableStack,
): PrimaryNode {
  const { id, environment, clock, writer, database, longPolls, keyUses, audit } = parts;
  const { claim, replicas, damage, waiters, events, writes, replication, health } = role;
  const { config, fence, leadership } = claim;
  const { nodeKeyHashes } = claim.opened;
  const requireNewest = (maxMs: number): void => requireConfirmedTerm(replicas.ageMs(), maxMs, fence, leadership);
  return {
    role: "primary",
    id,
    environment,
    nodeKeyHashes,
    clock,
    keyUses,
    engine() {
      damage.requireNone();
      return database.engine();
    },
    shared: database,
    events,
    writes,
    forward: undefined,
    get promote() {
      return fence.isFenced && !canFollow(config) ? reinstate : undefined;
    },
    waitFor: (token) => waiters.waitFor(token, config.consistencyWait),
    waitForLatest: async () => requireNewest(0),
    requireFresh() {
      if (config.maxStaleness !== undefined) requireNewest(config.maxStaleness);
    },
    reportDamage: damage.report,
    audit,
    forwardedClient: forwardedClientMac(nodeKeyHashes).verify,
    state: (): StoreState => writer.state,
    health,
    survey: (wanted) => replicas.survey.ask(wanted),
    replication,
    endLongPolls: longPolls.wake,
    backup: createBackupServer(
      parts,
      () => database.path,
      nodeKeyHashes[0],
      (target) => writer.copyIfReplaced(target),
    ),
    mqttConnection: replicas.stream.embedded?.handle,
    stop: () => running.disposeAsync(),
  };
}

/** Handles what other nodes publish at brokers. `startMs` is when this node was started, in ms since 1970. */
function createListener(
  { opened: { history }, peers, foreign, duplicates, successor, fence }: Claim,
  { acknowledge, survey }: Pick<Replicas, "acknowledge" | "survey">,
  startMs: number,
): EventStreamListener {
  return {
    head(head, isRetained) {
      // A retained head of another history may be left from a primary that was once started on an empty directory.
      if (head.f !== undefined && head.f !== history)
        return void (head.t >= startMs && foreign.admits(head.f, "a primary at a broker"));
      if (duplicates.isOfThisNode(head, isRetained)) return;
      const [offset, hash] = head.from;
      const epoch = epochOf(head);
      // A head names one epoch of its history. A peer names all, so with peers this node saves exactly the events that
      // only it has.
      const known = peers !== undefined ? undefined : [{ ...epoch, offset, hash, timeMs: head.t }];
      successor.onBrokerPosition({ ...epoch, offset: head.l }, known);
    },
    status(nodeId, status) {
      const { epoch, offset, hash } = status;
      survey.noteStatus(nodeId, status);
      if (epoch === null || offset === null) return;
      duplicates.onReplicaEpoch(epoch);
      acknowledge(nodeId, { epoch, offset, hash: hash ?? undefined });
    },
    fenced: (reason) => fence.fence(reason),
  };
}

/** AppError `not_ready` if this node was known to be the only primary longer ago than `maxMs`, or may not act as it. */
function requireConfirmedTerm(
  ageMs: number | null | undefined,
  maxMs: number,
  fence: Fence,
  leadership: Leadership,
): void {
  if (ageMs === undefined || (ageMs !== null && ageMs <= maxMs)) return;
  const problem = fence.problem ?? leadership.problem ?? "the lease of the primary can't be renewed";
  throw new AppError("not_ready", `${problem}: this node does not know whether its data are the newest`);
}

function primaryHealth(
  { writer, database }: NodeParts,
  { fence, leadership, foreign }: Claim,
  stream: EventStream,
  damage: DamageMonitor,
): NodeHealth {
  const { brokers, embedded } = stream;
  const { epoch, term, offset, digest } = writer.state;
  const problem = fence.problem ?? leadership.problem ?? writer.storage.problem;
  return {
    ...foreignHealth(foreign),
    ok: !writer.hasFailed && !damage.found,
    ...(problem === undefined ? {} : { degraded: problem }),
    storageOk: writer.storage.problem === undefined,
    role: "primary",
    state: fence.isFenced ? "FENCED" : "PRIMARY",
    epoch,
    term,
    offset,
    digest,
    ageMs: 0,
    isBrokerConnected: brokers.some(({ connected }) => connected),
    brokers,
    ...(embedded === undefined ? {} : { brokerClients: embedded.clients }),
    ...(fence.unreplicated === undefined ? {} : { unreplicated: fence.unreplicated.events }),
    ...database.health(),
  };
}
