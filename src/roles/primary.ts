/**
 * The primary: it writes the log and serves it to other nodes, over brokers and over HTTP. It needs no other node.
 * `startPrimaryNode` wires its parts in the order in which they start.
 */
import { join } from "node:path";
import { developmentKey, type Config } from "../config/config.ts";
import { createAuditRecorder } from "../replication/audit/audit-recorder.ts";
import { createBackupServer } from "../replication/backup/backup-server.ts";
import { Acks } from "../replication/failover/acks.ts";
import { DuplicatePrimaryMonitor, findPrimaries } from "../replication/failover/duplicate-primary.ts";
import { canFollow, Fence, type FenceReason, type ObservedPosition } from "../replication/failover/fence.ts";
import { Handover } from "../replication/failover/handover.ts";
import type { Leadership, TermConfirmation } from "../replication/failover/leadership.ts";
import type { Mandate } from "../replication/failover/promotion.ts";
import { StartTerm } from "../replication/failover/start-term.ts";
import { createSuccessorDetector, type SuccessorDetector } from "../replication/failover/successor-detector.ts";
import { readPromisedTerm, Votes } from "../replication/failover/votes.ts";
import { keepDirectory } from "../replication/directory-keeper.ts";
import { foreignHealth, ForeignHistoryMonitor } from "../replication/history-guard.ts";
import { noteHistory } from "../replication/history-notes.ts";
import { nodeIdOf, nodeKeyVerifier } from "../replication/identity.ts";
import { KeyUses } from "../replication/key-uses.ts";
import { recordCommitTimes } from "../log/reader/commit-times.ts";
import { createEventReader } from "../log/reader/event-reader.ts";
import { Writer } from "../log/writer/writer.ts";
import type { Node, Promoted, PromoteOptions, Writes } from "../replication/node.ts";
import { mintEpoch } from "../log/event/position.ts";
import { monitorDamage, type DamageMonitor } from "../replication/replica/damage-monitor.ts";
import { historyContains, type ReportedPosition } from "../replication/replica/divergence-point.ts";
import { LocalDatabase } from "../replication/replica/local-database.ts";
import { OffsetWaiters } from "../replication/replica/offset-waiters.ts";
import { claimOf, noteReplica, tryToNote, wasReplica } from "../replication/role-notes.ts";
import { reporterOf } from "../replication/survey/node-report.ts";
import { PrimarySurvey } from "../replication/survey/primary-survey.ts";
import { openSnapshotCache } from "../replication/snapshots/snapshot-cache.ts";
import { serveSnapshot } from "../replication/snapshots/snapshot-server.ts";
import { openEventStream, type EventStream, type EventStreamListener } from "../replication/transport/event-stream.ts";
import { LongPolls } from "../replication/transport/long-polls.ts";
import { epochOf, type VoteRequest } from "../replication/transport/messages.ts";
import { forwardedClientMac } from "../replication/transport/forwarded-client.ts";
import { createNodeServer, type NodeServerOptions } from "../replication/transport/node-server.ts";
import { openPrimaryPeers } from "../replication/transport/open-peers.ts";
import type { Peers } from "../replication/transport/peers.ts";
import { lockNodeDirectory, type DataDirectory } from "../store/directory/data-directory.ts";
import type { NodeKeyHashes } from "../store/keys/node-keys.ts";
import { operator, type AuditDraft } from "../store/log/audit-entry.ts";
import { compareEpochs, firstEpoch, readEpochs } from "../store/log/epochs.ts";
import { openLog } from "../store/log/log.ts";
import { readState, type StoreState } from "../store/log/store-state.ts";
import { nextFailoverTerm, nextStartTerm } from "../store/log/terms.ts";
import { AppError } from "../util/app-error.ts";
import type { Clock } from "../util/clock.ts";
import { storageFailureIn } from "../util/storage-failure.ts";
import type { NodeHealth } from "../replication/node-health.ts";
import { realClusterSystem, type ClusterSystem } from "./cluster-system.ts";
import {
  beginFirstTerm,
  openPrimaryDatabase,
  recordLeadership,
  recordPositionPeriodically,
  refuseDevelopmentKey,
} from "./primary-database.ts";
import { acceptAdminKey, acceptAdminKeyLater, ensureSecrets, type AnnounceKeys } from "./primary-keys.ts";
import { createWrites } from "./primary-writes.ts";
import { recordExpiredKeys } from "./expired-keys.ts";

export interface PrimaryNode extends Node {
  readonly writes: Writes;
}

/** What an edge passes on to the primary that it becomes: its locked directory and its verified database. */
export interface Takeover extends Mandate {
  /** Who asked for the promotion, for the audit log. */
  readonly audit: AuditDraft;
  readonly directory: DataDirectory;
  readonly path: string;
  /** Whether other nodes may have more events: none was acknowledged, or the operator accepts their loss. */
  readonly aheadIsLost: boolean;
}

export interface PrimaryOptions {
  /** Gets the keys that a first start makes. */
  readonly announce?: AnnounceKeys | undefined;
  /** For another environment than the default one: SHA-256 of the node keys of that one. */
  readonly nodeKeyHashes?: NodeKeyHashes | undefined;
  /** Whether an empty directory may begin a history although other nodes know one. */
  readonly ignoresKnownHistory?: boolean;
  /** With it the node continues from an edge of this process that has ended. */
  readonly takeover?: Takeover | undefined;
  /** The lease under which it is the primary. */
  readonly leadership?: Leadership | undefined;
  /** Makes this node the primary again after it was replaced, if it has no peers that could vote. */
  readonly reinstate?: (options: PromoteOptions) => Promise<Promoted>;
  /** Called once when this node is no longer the primary, possibly before it has started. */
  readonly onFenced?: (reason: FenceReason, lacking?: ObservedPosition) => void;
}

/** AppError `conflict` if another process is the primary of the same data. */
export async function startPrimaryNode(
  config: Config,
  {
    announce = async () => {},
    nodeKeyHashes: knownKeyHashes,
    ignoresKnownHistory = false,
    takeover,
    leadership,
    reinstate,
    onFenced = () => {},
  }: PrimaryOptions = {},
  system: ClusterSystem = realClusterSystem,
): Promise<PrimaryNode> {
  const { limits, environment, data } = config;
  const { clock } = system;
  const isPromoted = takeover !== undefined;
  /** Each start of the process has its own. */
  const instance = mintEpoch(clock);
  // The parts stop in reverse order, also if a later part fails to start.
  await using started = new AsyncDisposableStack();

  // The data directory, the writer, the database and the keys.
  const directory = takeover?.directory ?? lockNodeDirectory(data);
  started.defer(directory.unlock);
  const known = { announce, nodeKeyHashes: knownKeyHashes, ignoresKnownHistory };
  const opened = await openData(started, config, known, takeover, system);
  // Not earlier: the id is stored in the directory, where a refused first start leaves nothing.
  const id = nodeIdOf(config);
  const { writer, commits, database, path, isNew, nodeKeyHashes } = opened;
  started.defer(keepDirectory(directory, writer.storage, clock, { isReplica: false }));
  const state = (): StoreState => writer.state;
  // The edge went on following its primary until it ended.
  if (isPromoted && compareEpochs(state(), takeover.after) !== 0)
    throw superseded("another node was promoted meanwhile");
  const store = database.reader();
  const { epoch: history } = firstEpoch(store);

  // The fence, and other nodes that may be the primary of this history or of another one.
  const foreign = new ForeignHistoryMonitor(history, clock);
  const fence = new Fence({
    ...{ directory: data, canFollow: canFollow(config), store, state, storage: writer.storage },
    onFenced(...why) {
      stream.stop();
      onFenced(...why);
    },
  });
  const peers = openPrimaryPeers(config, state, foreign, system);
  if (peers !== undefined) started.defer(() => peers.close());
  // Before it begins a new history, a node has asked the others already.
  const others =
    isPromoted || isNew
      ? { retained: [], primary: undefined }
      : await findPrimaries({ config, id, peers, state, history, nodeKeyHashes, system });
  const term = openTerm(config, id, writer, isNew, takeover, () => {
    // What a fence has noted meanwhile must stay.
    if (!fence.isFenced) recordLeadership(data, writer);
    stream.publishHead();
    // The requests tell the peers of the new term, before a broker or their next check does.
    void peers?.heads();
  });
  const successor = createSuccessorDetector({
    peers,
    fence,
    // From the file: a node may report a commit before the writer's notification of it arrives here.
    state: () => (database.isOpen ? readState(store) : state()),
    ack: config.ack,
    beginAfter: term.beginAfter,
    intervalMs: limits.peerCheckIntervalMs,
    clock,
  });
  const duplicates = new DuplicatePrimaryMonitor({ id, instance, state, fence });

  // The event stream, and the acknowledgements that arrive on it.
  const acks = new Acks(config.ack, clock);
  const eventLog = openLog(store);
  const acknowledge = (nodeId: string, reported: ReportedPosition): void => {
    if (config.ack > 0 && database.isOpen && historyContains(readState(store), eventLog, reported))
      acks.record(nodeId, reported.epoch, reported.offset);
  };
  /** Null while this node may not write, because then it cannot confirm that a replica has all events. */
  const ageMs = (): number | null | undefined => (fence.isFenced || !term.isBegun ? null : leadership?.ageMs);
  const own = reporterOf({
    node: id,
    nodeKeyHashes,
    health: () => health(),
    appliedMs: (offset) => commits.at(offset),
  });
  const askReplicas = (): void => {
    stream.publishHead();
    longPolls.wakeReporters();
  };
  const survey = new PrimarySurvey({ own, state, announce: askReplicas, clock });
  const listening = { history, peers, foreign, duplicates, successor, fence, acknowledge, survey };
  const listener = createListener(listening, clock.wallMs());
  const reportDamage = (error: unknown): boolean => damage.report(error);
  const setAnnouncing = (isWanted: boolean): void => writer.announce(isWanted);
  const sender = { node: id, instance, ageMs, commits, questions: () => survey.questions, setAnnouncing, reportDamage };
  const stream = await openEventStream(config, store, nodeKeyHashes, sender, listener, system);
  started.defer(() => stream.close());

  // Whether this node still is the primary.
  const claim = isPromoted || isNew ? "leads" : claimOf(data, readEpochs(store));
  if (others.primary !== undefined) fence.fence(others.primary.reason, others.primary.term);
  else if (claim === "follows") fence.stayReplaced();
  else if (claim === "asks" && peers !== undefined) fence.requireVotes();
  // Later than that: a former edge is behind its own primary, and may not recover as if it had been the primary.
  for (const { e: epoch, n, l: offset } of others.retained) successor.onBrokerPosition({ epoch, term: n, offset });
  if (takeover?.aheadIsLost !== true) await successor.askPeers();
  if (isPromoted && fence.isFenced)
    throw superseded("another node was promoted meanwhile, or has come further than this one");
  successor.start();
  leadership?.start({
    confirm: () => confirmTerm(peers, state()),
    ack: config.ack,
    onLost: (reason) => fence.loseLease(reason),
  });
  started.defer(() => successor.stop());
  if (peers !== undefined)
    started.defer(clock.every(limits.peerCheckIntervalMs, () => void checkDuplicates(peers, duplicates, fence)));
  const handover = new Handover(clock, (to) => {
    if (leadership !== undefined) fence.loseLease(`it gave the lease to ${to}, which did not become the primary`);
    else if (!fence.isFenced) recordLeadership(data, writer);
  });
  started.defer(() => handover.close());

  // The audit log.
  const audit = createAuditRecorder({
    node: id,
    clock,
    directory: data,
    reader: () => database.reader(),
    // An edge that this node becomes sends them to its primary.
    store: (entries) => writer.recordAudit({ entries, received: false }),
  });
  started.defer(() => audit.close());

  // The term. It begins after everything that can fail, and never over the term of a successor.
  if (!fence.isFenced) {
    await beginTerm({ config, id, writer, term, fence, leadership }, opened.adminKey, isPromoted, clock, started);
    recordPositionPeriodically(started, data, writer, limits.headIntervalMs, clock);
  }

  if (config.adminKey === developmentKey) {
    audit.record({ actor: operator(), action: "node.start", target: id, details: { developmentKey: true } });
  }

  // Checks of the database. A start has read the whole file already, a promotion has not.
  const damage = monitorDamage(
    {
      ...{ path, writer, database, intervalMs: limits.databaseCheckIntervalMs, atOnce: isPromoted },
      onFound() {
        // With a lease, another node has all acknowledged events and can take over.
        if (leadership !== undefined) fence.giveUpDamaged();
      },
    },
    started,
    system,
  );

  // The last uses of API keys.
  const keyUses = new KeyUses(data, clock);
  started.defer(keyUses.start(limits.keyUsesIntervalMs));

  // The server for other nodes, and the requests that wait for a new position.
  const longPolls = new LongPolls(clock);
  const waiters = new OffsetWaiters({
    state,
    epochs: () => readEpochs(database.reader()),
    isNewest: () => !fence.isFenced,
    mayLearnEpochs: false,
    clock,
  });
  const events = createEventReader({ reader: () => database.reader(), primary: true });
  const snapshots = openSnapshotCache({
    storePath: () => database.engine().path,
    directory: join(data, "snapshots"),
    reuseMs: limits.snapshotReuseMs,
    state,
    nodeKeyHash: nodeKeyHashes[0],
    system,
  });
  const replication = createNodeServer({
    store() {
      damage.requireNone();
      return database.reader();
    },
    role: () => "primary",
    node: id,
    instance,
    led: undefined,
    candidacy: () => undefined,
    leased: leadership !== undefined,
    handsOverTo: () => handover.target,
    ...createVoter({ config, writer, fence, peers, handover, leadership }),
    ack: config.ack > 0,
    freshness: () => ({ sequenceNumber: stream.headSequenceNumber, ageMs: ageMs() }),
    commits,
    limits,
    clock,
    keyUses,
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
    waitForChange: longPolls.wait,
    survey,
    receiveAudit: (entries) => writer.recordAudit({ entries, received: false }),
    reportDamage: damage.report,
  });

  // Each commit, from the writer to everything that waits for it.
  writer.onNext((next) => stream.announce(next));
  writer.onStateChange((change) => {
    stream.wake(change);
    database.onStateChange(change.state);
    waiters.onStateChange();
    events.notify();
    longPolls.wake();
  });
  stream.start();

  const health = (): NodeHealth => ({
    ...primaryHealth({ writer, stream, fence, leadership, foreign, damage }),
    ...database.formatHealth(),
  });
  const { ackTimeoutMs } = limits;
  const requireNewest = (maxMs: number): void => requireConfirmedTerm(ageMs(), maxMs, fence, leadership);
  const parts = { writer, term, history, acks, ackTimeoutMs, fence, leadership, handover, damage, stream, audit };
  const writes = createWrites(parts);
  started.defer(recordExpiredKeys(() => database.engine(), writes, limits, clock));
  const running = started.move();
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
    state,
    health,
    survey: (wanted) => survey.ask(wanted),
    replication,
    endLongPolls: longPolls.wake,
    backup: createBackupServer({
      storePath: () => path,
      copyIfReplaced: (target) => writer.copyIfReplaced(target),
      data,
      nodeKeyHash: nodeKeyHashes[0],
      system,
    }),
    mqttConnection: stream.embedded?.handle,
    stop: () => running.disposeAsync(),
  };
}

/** Also returns whether the history begins with this start (`isNew`). */
async function openData(
  started: AsyncDisposableStack,
  config: Config,
  known: Parameters<typeof ensureSecrets>[3] & { readonly ignoresKnownHistory: boolean },
  takeover: Takeover | undefined,
  system: ClusterSystem,
) {
  const { limits, environment, data } = config;
  const reserveBytes = limits.diskReserveBytes;
  const sharesDisk = known.nodeKeyHashes !== undefined;
  const writer = new Writer({ environment, synchronous: "FULL", limits, reserveBytes, sharesDisk }, system);
  started.defer(() => writer.stop());
  const { path, isNew } =
    takeover === undefined
      ? await openPrimaryDatabase(writer, config, known, system)
      : { path: takeover.path, isNew: false };
  await writer.open(path, { create: false });
  const commits = recordCommitTimes(writer);
  const database = new LocalDatabase(data, limits, system.clock, writer.changes);
  started.defer(() => database.close());
  database.open(path);
  noteHistory(data, firstEpoch(database.reader()).epoch);
  refuseDevelopmentKey(config, database.engine());
  const secrets = await ensureSecrets(config, writer, database.reader(), known);
  // The operator has seen the keys of a first start, so they must be stored even if the start fails later.
  if (writer.state.offset === 0 && secrets.adminKey !== undefined)
    await acceptAdminKey(secrets.adminKey, writer, config.nodeId ?? null, system.clock);
  return { writer, commits, database, path, isNew, ...secrets };
}

/** The term of this start: the one of the election after a promotion, otherwise the next term of the same primary. */
function openTerm(
  config: Config,
  id: string,
  writer: Writer,
  isNew: boolean,
  takeover: Takeover | undefined,
  onBegun: () => void,
): StartTerm {
  const { term: before } = writer.state;
  const first = takeover?.term ?? (wasReplica(config.data) ? nextFailoverTerm(before) : nextStartTerm(before));
  if (isNew) recordLeadership(config.data, writer);
  let promotion = takeover?.audit;
  return new StartTerm({
    next: (known) => Math.max(first, nextStartTerm(known), nextStartTerm(writer.state.term)),
    async begin(term) {
      const audit = promotion && { draft: promotion, node: id };
      const begun = await writer.startEpoch(term, audit);
      promotion = undefined;
      return begun;
    },
    onBegun,
    isBegun: isNew,
  });
}

/** The parts of a primary that the functions below share. */
interface PrimaryParts {
  readonly config: Config;
  readonly id: string;
  readonly writer: Writer;
  readonly term: StartTerm;
  readonly fence: Fence;
  readonly leadership: Leadership | undefined;
  readonly handover: Handover;
  readonly peers: Peers | undefined;
  readonly foreign: ForeignHistoryMonitor;
  readonly duplicates: DuplicatePrimaryMonitor;
  readonly successor: SuccessorDetector;
  readonly stream: EventStream;
  readonly damage: DamageMonitor;
  /** The first epoch of this primary's history. */
  readonly history: string;
  readonly acknowledge: (nodeId: string, reported: ReportedPosition) => void;
  readonly survey: PrimarySurvey;
}

async function beginTerm(
  parts: Pick<PrimaryParts, "config" | "id" | "writer" | "term" | "fence" | "leadership">,
  adminKey: string | undefined,
  isPromoted: boolean,
  clock: Clock,
  started: AsyncDisposableStack,
): Promise<void> {
  const { config, id, writer, term, fence, leadership } = parts;
  // The lease may need another confirmation if opening took long.
  await leadership?.waitUntilValid();
  await beginFirstTerm(term, writer, config.data, isPromoted);
  if (adminKey === undefined || !term.isBegun) return;
  try {
    await acceptAdminKey(adminKey, writer, id, clock);
  } catch (error) {
    // The other nodes follow the new term, so the promotion must not fail any more.
    if (!isPromoted || storageFailureIn(error) === undefined) throw error;
    const mayWrite = (): boolean => !fence.isFenced && leadership?.problem === undefined;
    acceptAdminKeyLater(adminKey, writer, id, mayWrite, started, clock);
  }
}

async function checkDuplicates(peers: Peers, duplicates: DuplicatePrimaryMonitor, fence: Fence): Promise<void> {
  if (duplicates.hasNoReplica && !fence.isFenced) duplicates.onPrimaryHeads(await peers.livePrimaries());
}

/** Handles what other nodes publish at brokers. `startMs` is when this node was started, in ms since 1970. */
function createListener(
  parts: Pick<
    PrimaryParts,
    "history" | "peers" | "foreign" | "duplicates" | "successor" | "fence" | "acknowledge" | "survey"
  >,
  startMs: number,
): EventStreamListener {
  const { history, peers, foreign, duplicates, successor, fence, acknowledge, survey } = parts;
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

/** Votes for a candidate of a later epoch (this node may be an edge tomorrow), or one that it hands over to. */
function createVoter(
  parts: Pick<PrimaryParts, "config" | "writer" | "fence" | "peers" | "handover" | "leadership">,
): Pick<NodeServerOptions, "promised" | "vote"> {
  const { config, writer, fence, peers, handover, leadership } = parts;
  const { data } = config;
  let promised = readPromisedTerm(data);
  const promise = (request: VoteRequest): void => {
    const votes = new Votes(data);
    votes.grant({ ...request, force: true });
    promised = votes.promisedTerm;
  };
  return {
    promised: () => promised,
    async vote(request) {
      const isLater = compareEpochs(writer.state, request) < 0;
      const isHandover = request.graceful && !fence.isFenced && request.epoch === writer.state.epoch;
      // Any other candidate for the current epoch sees in the head that there is a primary.
      if (!isLater && !isHandover) return;
      if (isHandover && peers === undefined)
        throw new AppError("conflict", "it has no `peers`, and could not follow its successor");
      if (peers !== undefined && !(await peers.confirmsCandidacy(request)))
        throw new AppError("conflict", `none of its peers says that it is ${request.node}, about to be promoted`);
      if (isLater) return promise(request);
      // If this process ends before it knows its successor, the next one has to ask for votes.
      if (leadership === undefined) tryToNote(data, () => noteReplica(data, "edge"));
      await handover.start(request.node);
      const released = leadership?.release(request.node);
      // A candidate that has the lease already does not wait for it.
      if (!request.leased) await released;
    },
  };
}

/** What the peers know of the current term of this primary. */
async function confirmTerm(peers: Peers | undefined, state: StoreState): Promise<TermConfirmation> {
  const heads = ((await peers?.heads()) ?? []).map(({ head }) => head);
  const edges = heads.filter(
    ({ role, e, pledgedTo }) => role === "edge" && e === state.epoch && pledgedTo === undefined,
  );
  return {
    edges: edges.length,
    isSuperseded: heads.some((head) => compareEpochs(epochOf(head), state) > 0),
  };
}

/** AppError `not_ready` if this node was known to be the only primary longer ago than `maxMs`, or may not act as it. */
function requireConfirmedTerm(
  ageMs: number | null | undefined,
  maxMs: number,
  fence: Fence,
  leadership: Leadership | undefined,
): void {
  if (ageMs === undefined || (ageMs !== null && ageMs <= maxMs)) return;
  const problem = fence.problem ?? leadership?.problem ?? "the lease of the primary can't be renewed";
  throw new AppError("not_ready", `${problem}: this node does not know whether its data are the newest`);
}

function primaryHealth(
  parts: Pick<PrimaryParts, "writer" | "stream" | "fence" | "leadership" | "foreign" | "damage">,
): NodeHealth {
  const { writer, stream, fence, leadership, foreign, damage } = parts;
  const { brokers, embedded } = stream;
  const { epoch, term, offset, digest } = writer.state;
  const problem = fence.problem ?? leadership?.problem ?? writer.storage.problem;
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
  };
}

function superseded(reason: string): AppError {
  return new AppError("conflict", `${reason}: this one continues as an edge, look again which one to promote`);
}
