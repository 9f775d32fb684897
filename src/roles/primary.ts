/**
 * A primary: the log, its writer, and what hands the log on: a broker or the way to one, the publisher, and the log server. Alone it is a
 * complete service; nobody else has to exist for it to answer.
 */
import { join } from "node:path";
import type { Config } from "../config/config.ts";
import type { Connection } from "../store/connection/connection.ts";
import { lockDirectory, type DataDirectory } from "../store/directory/data-directory.ts";
import { compareEpochs, firstEpoch, readEpochs } from "../store/log/epochs.ts";
import { verifyKey } from "../store/keys/api-keys.ts";
import { openLog } from "../store/log/log.ts";
import { readState, type StoreState } from "../store/log/store-state.ts";
import { nextStartTerm, nextFailoverTerm } from "../store/log/terms.ts";
import { metrics } from "../telemetry/metrics.ts";
import { AppError } from "../util/app-error.ts";
import { storageFailureIn } from "../util/storage-failure.ts";
import { createBackupServer } from "../replication/backup/backup-server.ts";
import { LocalDatabase } from "../replication/replica/local-database.ts";
import { monitorDamage, type DamageMonitor } from "../replication/replica/damage-monitor.ts";
import { createEventReader } from "../replication/log/event-reader.ts";
import { epochOf } from "../replication/transport/messages.ts";
import { openEventStream, type EventStream, type EventStreamListener } from "../replication/transport/event-stream.ts";
import type { TermConfirmation, Leadership } from "../replication/failover/leadership.ts";
import { OffsetWaiters } from "../replication/replica/offset-waiters.ts";
import { historyContains, type ReportedPosition } from "../replication/replica/divergence-point.ts";
import { createNodeServer, type NodeServerOptions } from "../replication/transport/node-server.ts";
import { LongPolls } from "../replication/transport/long-polls.ts";
import { openPrimaryPeers } from "../replication/transport/open-peers.ts";
import type { Peers } from "../replication/transport/peers.ts";
import { foreignHealth } from "../replication/history-guard.ts";
import { noteHistory } from "../replication/history-notes.ts";
import {
  acceptAdminKey,
  acceptAdminKeyLater,
  nodeIdOf,
  ensureSecrets,
  type AnnounceKeys,
  type PrimarySecrets,
} from "../replication/identity.ts";
import type { Node, NodeHealth, WriteMeta, WriteResult, Writes } from "../replication/node.ts";
import { mintEpoch } from "../replication/position.ts";
import {
  beginFirstTerm,
  recordPositionPeriodically,
  recordLeadership,
  refuseDevelopmentKey,
  openPrimaryDatabase,
  mayStillLead,
  wasReplica,
} from "./primary-database.ts";
import { openSnapshotCache } from "../replication/snapshots/snapshot-cache.ts";
import { Acks } from "../replication/failover/acks.ts";
import { Fence, type FenceOptions, type FenceReason, type ObservedPosition } from "../replication/failover/fence.ts";
import { ForeignHistoryMonitor } from "../replication/failover/foreign-history-monitor.ts";
import { Handover } from "../replication/failover/handover.ts";
import { Votes, readPromisedTerm, type VoteRequest } from "../replication/failover/votes.ts";
import type { Mandate } from "../replication/failover/promotion.ts";
import { StartTerm } from "../replication/failover/start-term.ts";
import { type SuccessorDetector, createSuccessorDetector } from "../replication/failover/successor-detector.ts";
import { DuplicatePrimaryMonitor } from "../replication/failover/duplicate-primary-monitor.ts";
import { findPrimaries } from "../replication/failover/duplicate-primary.ts";
import { realSystem, type System } from "../replication/system.ts";
import { type CommitTimes, recordCommitTimes } from "../replication/log/commit-times.ts";
import { countWrite } from "../replication/log/write-metrics.ts";
import { Writer } from "../replication/log/writer.ts";

export interface PrimaryNode extends Node {
  readonly writes: Writes;
}

/** What an edge leaves to the primary that it becomes: its directory, whose lock goes over with it, and its sound database. */
export interface Takeover extends Mandate {
  readonly directory: DataDirectory;
  readonly path: string;
  /** Whether it becomes the primary also where another node has more by now: nothing of that was acknowledged, or it is to be lost. */
  readonly aheadIsLost: boolean;
}

export interface PrimaryOptions {
  /** Is given the keys that a first start makes. */
  readonly announce?: AnnounceKeys | undefined;
  /** With it the node goes on where an edge of this process ended. */
  readonly takeover?: Takeover | undefined;
  /** The lease under which it is the primary, where there is one. */
  readonly leadership?: Leadership | undefined;
  /** Called once, when the node is no primary any more; possibly before it has started. */
  readonly onFenced?: (reason: FenceReason, lacking?: ObservedPosition) => void;
}

/** AppError `conflict` where another process is the primary of the same data. */
export async function startPrimaryNode(
  config: Config,
  { announce = async () => {}, takeover, leadership, onFenced = () => {} }: PrimaryOptions = {},
  system: System = realSystem,
): Promise<PrimaryNode> {
  const { limits, environment, data } = config;
  // What was started is ended in reverse order, also where a later part fails to start.
  await using started = new AsyncDisposableStack();
  const directory = takeover?.directory ?? lockDirectory(data);
  started.defer(directory.unlock);
  const opened = await openData(started, config, announce, takeover, system);
  const { writer, copy, path, nodeKeyHash } = opened;
  // Until it ended, the edge went on following.
  if (takeover !== undefined && compareEpochs(writer.state, takeover.after) !== 0)
    throw superseded("another node was promoted meanwhile");
  const id = nodeIdOf(config);
  const store = copy.reader();
  const parts = { config, id, store, takeover, leadership, onFenced, system };
  const place = await startLeading(started, { ...parts, ...opened });
  const { fence, feed } = place;
  // Only now: what could still fail has not, and whoever was replaced must not begin a term over that of its successor.
  if (!fence.isFenced) {
    await beginTerm(started, config, opened, place, takeover !== undefined, system.clock);
    recordPositionPeriodically(started, data, writer, limits.headIntervalMs, system.clock);
  }
  const onFound = (): void => {
    // Another node has all that was acknowledged, and can answer.
    if (leadership !== undefined) fence.giveUpDamaged();
  };
  const intervalMs = limits.databaseCheckIntervalMs;
  const damage = monitorDamage({ path, writer, intervalMs, atOnce: takeover !== undefined, onFound }, started, system);
  const moves = new LongPolls(system.clock);
  const serveLog = servePeers(config, id, { ...opened, damage, moves }, place, system);
  const arrivals = new OffsetWaiters({
    state: () => writer.state,
    epochs: () => readEpochs(copy.reader()),
    isNewest: () => !fence.isFenced,
    mayLearnEpochs: false,
    clock: system.clock,
  });
  const history = createEventReader({ reader: () => copy.reader(), primary: true });
  writer.onStateChange((moved) => {
    feed.wake(moved);
    copy.onStateChange(moved.state);
    arrivals.onStateChange();
    history.moved();
    moves.wake();
  });
  feed.start();

  const running = started.move();
  return {
    role: "primary",
    id,
    environment,
    engine() {
      damage.requireNone();
      return copy.engine();
    },
    events: history,
    writes: createWrites(writer, place, damage, limits.ackTimeoutMs),
    forward: undefined,
    promote: undefined,
    waitFor: (token) => arrivals.waitFor(token, config.consistencyWait),
    waitForLatest: async () => requireNewest(place, 0),
    requireFresh() {
      if (config.maxStaleness !== undefined) requireNewest(place, config.maxStaleness);
    },
    reportDamage: damage.report,
    state: () => writer.state,
    health: () => healthOf(writer, place, damage.found),
    replication: serveLog,
    endLongPolls: moves.wake,
    backup: backupsOfPrimary(writer, { path, data, nodeKeyHash }, system),
    mqttConnection: feed.embedded?.handle,
    stop: () => running.disposeAsync(),
  };
}

async function beginTerm(
  started: AsyncDisposableStack,
  { data }: Config,
  { writer, adminKey }: OpenedData,
  { term, fence, leadership }: Leading,
  isPromoted: boolean,
  clock: System["clock"],
): Promise<void> {
  // Opening may have taken so long that the lease has to be confirmed again.
  await leadership?.waitUntilValid();
  await beginFirstTerm(term, writer, data, isPromoted);
  if (adminKey === undefined || !term.isBegun) return;
  try {
    await acceptAdminKey(adminKey, writer, clock);
  } catch (error) {
    // The others follow the term that has begun, so a promotion can't fail any more.
    if (!isPromoted || storageFailureIn(error) === undefined) throw error;
    const mayWrite = (): boolean => !fence.isFenced && leadership?.problem === undefined;
    acceptAdminKeyLater(adminKey, writer, mayWrite, started, clock);
  }
}

function backupsOfPrimary(
  writer: Writer,
  { path, data, nodeKeyHash }: Pick<OpenedData, "path" | "nodeKeyHash"> & Pick<Config, "data">,
  system: System,
): Node["backup"] {
  const saveReplaced = (target: string): Promise<boolean> => writer.copyIfReplaced(target);
  return createBackupServer({ storePath: () => path, copyIfReplaced: saveReplaced, data, nodeKeyHash, system });
}

interface OpenedData extends PrimarySecrets {
  readonly writer: Writer;
  readonly commits: CommitTimes;
  readonly copy: LocalDatabase;
  readonly path: string;
  /** Whether the history begins with this start. */
  readonly isNew: boolean;
}

async function openData(
  started: AsyncDisposableStack,
  config: Config,
  announce: AnnounceKeys,
  takeover: Takeover | undefined,
  system: System,
): Promise<OpenedData> {
  const { limits, environment, data } = config;
  const reserveBytes = limits.diskReserveBytes;
  const writer = new Writer({ environment, synchronous: "FULL", limits, reserveBytes }, system);
  started.defer(() => writer.stop());
  const { path, isNew } =
    takeover === undefined ? await openPrimaryDatabase(writer, config, system) : { path: takeover.path, isNew: false };
  await writer.open(path, { create: false });
  const commits = recordCommitTimes(writer);
  const copy = new LocalDatabase(data, limits, system.clock, writer.changes);
  started.defer(() => copy.close());
  copy.open(path);
  noteHistory(data, firstEpoch(copy.reader()).epoch);
  refuseDevelopmentKey(config, copy.engine());
  const secrets = await ensureSecrets(config, writer, announce);
  // A first start that fails later must have stored the keys that it has shown.
  if (writer.state.offset === 0 && secrets.adminKey !== undefined)
    await acceptAdminKey(secrets.adminKey, writer, system.clock);
  return { writer, commits, copy, path, isNew, ...secrets };
}

interface LeadingOptions {
  readonly config: Config;
  /** This node's. */
  readonly id: string;
  readonly isNew: boolean;
  readonly writer: Writer;
  readonly commits: CommitTimes;
  readonly copy: LocalDatabase;
  readonly store: Connection;
  readonly nodeKeyHash: string;
  readonly takeover: Takeover | undefined;
  readonly leadership: Leadership | undefined;
  readonly onFenced: (reason: FenceReason, lacking?: ObservedPosition) => void;
  readonly system: System;
}

/** What a primary has only as long as nobody took its place: its feed, the word of those who follow, and the fence that ends it. */
interface Leading {
  /** Which start of its process it is. */
  readonly instance: string;
  readonly peers: Peers | undefined;
  readonly foreign: ForeignHistoryMonitor;
  readonly feed: EventStream;
  readonly fence: Fence;
  readonly leadership: Leadership | undefined;
  readonly term: StartTerm;
  readonly handOver: Handover;
  /** Null while its word that a copy is the newest is worth nothing: while it may not write. */
  readonly ageMs: () => number | null | undefined;
  readonly acks: Acks;
  readonly onPosition: NodeServerOptions["onPeerPosition"];
}

async function startLeading(started: AsyncDisposableStack, options: LeadingOptions): Promise<Leading> {
  const { config, id, isNew, writer, commits, copy, store, nodeKeyHash, takeover, leadership, onFenced, system } =
    options;
  const { clock } = system;
  const present = (): StoreState => writer.state;
  const instance = mintEpoch(clock);
  const acks = new Acks(config.ack, clock);
  const { storage } = writer;
  const eventLog = openLog(store);
  const acknowledge = (nodeId: string, stands: ReportedPosition): void => {
    if (config.ack > 0 && copy.isOpen && historyContains(readState(store), eventLog, stands))
      acks.record(nodeId, stands.epoch, stands.offset);
  };
  const { epoch: history } = firstEpoch(store);
  const foreign = new ForeignHistoryMonitor(() => history, clock);
  const stop: FenceOptions["onFenced"] = (...why) => {
    feed.stop();
    onFenced(...why);
  };
  const fence = new Fence({ directory: config.data, store, state: present, storage, onFenced: stop });
  const peers = openPrimaryPeers(config, present, foreign, system);
  if (peers !== undefined) started.defer(() => peers.close());
  const search = { config, id, peers, state: present, history, nodeKeyHash, system };
  // Before a new history begins, others were asked already.
  const others = takeover === undefined && !isNew ? await findPrimaries(search) : { retained: [], primary: undefined };
  const term = termOf(options, () => {
    feed.publishHead();
    // Who is asked learns of the new term by that, without waiting for a broker or for the next look.
    void peers?.heads();
  });
  const ageMs = (): number | null | undefined => (fence.isFenced || !term.isBegun ? null : leadership?.ageMs);
  // From the file: the writer's word of a commit may still be on its way when somebody who was told of it by the feed is heard of.
  const stored = (): StoreState => (copy.isOpen ? readState(store) : writer.state);
  const succession = createSuccessorDetector({
    peers,
    fence,
    state: stored,
    ack: config.ack,
    beginAfter: term.beginAfter,
    intervalMs: config.limits.peerCheckIntervalMs,
    clock,
  });
  const twins = new DuplicatePrimaryMonitor({ id, instance, state: present, fence });
  const hearing = { history, startMs: clock.wallMs(), hasPeers: peers !== undefined };
  const listener = listenerFor({ ...hearing, foreign, twins, succession, fence, acknowledge });
  const feed = await openEventStream(
    config,
    store,
    nodeKeyHash,
    { node: id, instance, ageMs, commits },
    listener,
    system,
  );
  started.defer(() => feed.close());
  for (const { e: epoch, n: termThere, l: offset } of others.retained)
    succession.onBrokerPosition({ epoch, term: termThere, offset });
  if (others.primary !== undefined) fence.fence(others.primary);
  else if (takeover === undefined && !isNew && peers !== undefined && wasReplica(config.data))
    fence.requireVotes(mayStillLead(config.data, readEpochs(store)));
  // Who was promoted by force, or has what was acknowledged, may be behind others: what they have more is lost.
  if (takeover?.aheadIsLost !== true) await succession.askPeers();
  if (takeover !== undefined && fence.isFenced)
    throw superseded("another node was promoted meanwhile, or has come further than this one");
  succession.start();
  leadership?.start({
    confirm: () => confirmTerm(peers, present()),
    ack: config.ack,
    onLost: (reason) => fence.loseLease(reason),
  });
  started.defer(() => succession.stop());
  if (peers !== undefined)
    started.defer(clock.every(config.limits.peerCheckIntervalMs, () => void lookForTwins(peers, twins, fence)));
  const handOver = new Handover(clock, (to) => {
    if (leadership !== undefined) fence.loseLease(`it gave the lease to ${to}, which did not become the primary`);
  });
  started.defer(() => handOver.close());
  return {
    instance,
    peers,
    foreign,
    feed,
    fence,
    leadership,
    term,
    handOver,
    ageMs,
    acks,
    onPosition(asked, nodeId) {
      if (asked.first !== undefined && !foreign.admits(asked.first, nodeId ?? "a node")) return;
      succession.onPeerPosition(asked);
      // Without a name it may be this node itself, where one list of peers serves all nodes.
      if (nodeId === undefined) return;
      twins.onReplicaEpoch(asked.epoch);
      acknowledge(nodeId, asked);
    },
  };
}

async function lookForTwins(peers: Peers, twins: DuplicatePrimaryMonitor, fence: Fence): Promise<void> {
  if (twins.hasNoReplica && !fence.isFenced) twins.onPrimaryHeads(await peers.livePrimaries());
}

interface ListenerOptions {
  /** The first epoch of this primary's history. */
  readonly history: string;
  /** When it was started, in ms since 1970. */
  readonly startMs: number;
  readonly hasPeers: boolean;
  readonly foreign: ForeignHistoryMonitor;
  readonly twins: DuplicatePrimaryMonitor;
  readonly succession: SuccessorDetector;
  readonly fence: Fence;
  readonly acknowledge: (nodeId: string, stands: ReportedPosition) => void;
}

/** What a primary makes of what others say at brokers. */
function listenerFor({
  history,
  startMs,
  hasPeers,
  foreign,
  twins,
  succession,
  fence,
  acknowledge,
}: ListenerOptions): EventStreamListener {
  return {
    head(head, retained) {
      // A retained one may be what is left of a primary that was started on an empty directory.
      if (head.f !== undefined && head.f !== history)
        return void (head.t >= startMs && foreign.admits(head.f, "a primary at a broker"));
      if (twins.isOfThisNode(head, retained)) return;
      const [offset, hash] = head.from;
      const epoch = epochOf(head);
      // That is one epoch of its history. With peers this node asks one of them for all, and saves exactly what only it has.
      const known = hasPeers ? undefined : [{ ...epoch, offset, hash, timeMs: head.t }];
      succession.onBrokerPosition({ ...epoch, offset: head.l }, known);
    },
    status(nodeId, { epoch, offset, hash }) {
      if (epoch === null || offset === null) return;
      twins.onReplicaEpoch(epoch);
      acknowledge(nodeId, { epoch, offset, hash: hash ?? undefined });
    },
    fenced: (reason) => fence.fence(reason),
  };
}

/** The term of this start: voted for at a promotion, the next one of the same primary otherwise. */
function termOf({ config, writer, isNew, takeover }: LeadingOptions, onBegun: () => void): StartTerm {
  const { term: before } = writer.state;
  const first = takeover?.term ?? (wasReplica(config.data) ? nextFailoverTerm(before) : nextStartTerm(before));
  if (isNew) recordLeadership(config.data, writer);
  return new StartTerm({
    next: (seen) => Math.max(first, nextStartTerm(seen), nextStartTerm(writer.state.term)),
    begin: (term) => writer.startEpoch(term),
    onBegun() {
      recordLeadership(config.data, writer);
      onBegun();
    },
    isBegun: isNew,
  });
}

function superseded(reason: string): AppError {
  return new AppError("conflict", `${reason}: this one goes on as an edge, look again which one to promote`);
}

function servePeers(
  { data, limits, ack }: Config,
  id: string,
  {
    writer,
    commits,
    copy,
    nodeKeyHash,
    damage,
    moves,
  }: OpenedData & { readonly damage: DamageMonitor; readonly moves: LongPolls },
  { onPosition, feed, fence, leadership, peers, handOver, instance, ageMs }: Leading,
  system: System,
): Node["replication"] {
  let promised = readPromisedTerm(data);
  const promise = (request: VoteRequest): void => {
    const pledge = new Votes(data);
    pledge.grant({ ...request, force: true });
    promised = pledge.promisedTerm;
  };
  const snapshots = openSnapshotCache({
    storePath: () => copy.engine().path,
    directory: join(data, "snapshots"),
    reuseMs: limits.snapshotReuseMs,
    state: () => writer.state,
    nodeKeyHash,
    system,
  });
  return createNodeServer({
    store() {
      damage.requireNone();
      return copy.reader();
    },
    role: () => "primary",
    node: id,
    instance,
    led: undefined,
    candidacy: () => undefined,
    promised: () => promised,
    leased: leadership !== undefined,
    handsOverTo: () => handOver.to,
    async vote(request) {
      // A candidate for this primary's own epoch sees in the head that there is a primary. One that was replaced may be an edge tomorrow.
      const isLater = compareEpochs(writer.state, request) < 0;
      const isHandOver = request.graceful && !fence.isFenced && request.epoch === writer.state.epoch;
      if (!isLater && !isHandOver) return;
      if (isHandOver && peers === undefined)
        throw new AppError("conflict", "it has no `peers`, and could not follow its successor");
      if (peers !== undefined && !(await peers.confirmsCandidacy(request)))
        throw new AppError("conflict", `none of its peers says that it is ${request.node}, about to be promoted`);
      if (isLater) promise(request);
      else {
        await handOver.start(request.node);
        const released = leadership?.release(request.node);
        // One that has the lease already does not wait for it.
        if (!request.leased) await released;
      }
    },
    ack: ack > 0,
    freshness: () => ({ sequenceNumber: feed.headSequenceNumber, ageMs: ageMs() }),
    commits,
    limits,
    clock: system.clock,
    verifyNodeKey: (key) => verifyKey(key, nodeKeyHash),
    snapshots,
    onPeerPosition: onPosition,
    waitForChange: moves.wait,
    reportDamage: damage.report,
  });
}

/** What the peers say of the present term of this primary. */
async function confirmTerm(peers: Peers | undefined, present: StoreState): Promise<TermConfirmation> {
  const heads = ((await peers?.heads()) ?? []).map(({ head }) => head);
  return {
    edges: heads.filter(({ role, e, pledgedTo }) => role === "edge" && e === present.epoch && pledgedTo === undefined)
      .length,
    isSuperseded: heads.some((head) => compareEpochs(epochOf(head), present) > 0),
  };
}

/** AppError `not_ready` where this primary was known to be the only one longer ago than that. One without a term or a lease does not know at all. */
function requireNewest({ fence, leadership, ageMs }: Leading, maxMs: number): void {
  const age = ageMs();
  if (age === undefined || (age !== null && age <= maxMs)) return;
  const problem = fence.problem ?? leadership?.problem ?? "the lease of the primary can't be renewed";
  throw new AppError("not_ready", `${problem}: this node does not know whether its data are the newest`);
}

function healthOf(writer: Writer, { feed, fence, leadership, foreign }: Leading, damaged: boolean): NodeHealth {
  const { brokers, embedded } = feed;
  const { epoch, term, offset, digest } = writer.state;
  const feedConnected = brokers.some(({ connected }) => connected);
  const problem = fence.problem ?? leadership?.problem;
  return {
    ...foreignHealth(foreign),
    ok: !writer.hasFailed && !damaged,
    ...(writer.storage.problem === undefined ? {} : { degraded: writer.storage.problem }),
    ...(problem === undefined ? {} : { degraded: problem }),
    storageOk: writer.storage.problem === undefined,
    role: "primary",
    state: fence.isFenced ? "FENCED" : "PRIMARY",
    epoch,
    term,
    offset,
    digest,
    ageMs: 0,
    feedConnected,
    brokers,
    ...(embedded === undefined ? {} : { brokerClients: embedded.clients }),
    ...(fence.unreplicated === undefined ? {} : { unreplicated: fence.unreplicated.events }),
  };
}

type WriteRequest = Parameters<Writer["write"]>[0];

function createWrites(
  writer: Writer,
  { fence, leadership, acks, feed, foreign, term, handOver }: Leading,
  damage: DamageMonitor,
  ackTimeoutMs: number,
): Writes {
  const attempt = async (request: WriteRequest, meta: WriteMeta, onCommitted: () => void): Promise<WriteResult> => {
    const requireUnfenced = (): void => {
      if (fence.problem !== undefined)
        throw new AppError("not_ready", `${fence.problem}: this primary writes nothing any more, send the write again`);
    };
    const admit = (): void => {
      requireUnfenced();
      damage.requireNone();
      handOver.requireInactive();
      leadership?.requireValid();
      if (feed.isOwnershipUncertain)
        throw new AppError(
          "not_ready",
          "another primary may have taken over: this one looks whether it has, send the write again in a moment",
        );
    };
    if (!term.isBegun) {
      admit();
      await term.begin();
    }
    const result = await handOver.trackWrite(() => writer.write(request, meta, admit));
    onCommitted();
    if (result.unchanged !== true && result.repeated !== true) metrics.eventsApplied.inc({ source: "write" });
    // What was done in an earlier epoch is part of the present one, and that is what edges speak of.
    const epoch = result.repeated === true ? writer.state.epoch : result.epoch;
    const isReached = await acks.waitFor(epoch, result.offset, ackTimeoutMs);
    // It is committed and may survive. But another node may have the lease now, and have begun without it.
    if (isReached && leadership?.problem === undefined) return result;
    if (leadership?.problem !== undefined)
      throw new AppError(
        "not_ready",
        `the write is committed here, but ${leadership.problem}: send it again to be sure of it, it is done only once`,
      );
    requireUnfenced();
    throw new AppError(
      "not_ready",
      "the write is committed here, but not enough edges have it yet: send it again to be sure of it, it is done only once",
    );
  };
  const write = (request: WriteRequest, meta: WriteMeta): Promise<WriteResult> =>
    countWrite(request.kind, (onCommitted) => attempt(request, meta, onCommitted));
  return {
    history: foreign.own,
    batch: (changes, meta) =>
      write(typeof changes === "string" ? { kind: "batch", json: changes } : { kind: "batch", changes }, meta),
    policy: (policy, meta) => write({ kind: "policy", ...policy }, meta),
    clear: (meta) => write({ kind: "clear" }, meta),
    keys: (change, meta) => write({ kind: "keys", ...change }, meta),
  };
}
