/**
 * A replica: the local database of an edge or of a fallback with `follow`, the writer thread that applies events to it,
 * and the loop that keeps it at the primary's position. It starts from its database file if that is sound, and can
 * answer before it has reached another node.
 */
import type { Config } from "../../config/config.ts";
import type { Engine } from "../../engine/engine.ts";
import { compareEpochs, firstEpoch, readEpochs, type Epoch, type EpochId } from "../../store/log/epochs.ts";
import { openLog } from "../../store/log/log.ts";
import type { StoreState } from "../../store/log/store-state.ts";
import { databaseFiles, removeFiles } from "../../store/snapshot/snapshot.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { AppError } from "../../util/app-error.ts";
import { reasonOf } from "../../util/reason.ts";
import { damageIn, storageFailureIn } from "../../util/storage-failure.ts";
import { keepDirectory } from "../directory-keeper.ts";
import { HistoryGuard } from "../history-guard.ts";
import { nodeKeyHashesOf } from "../identity.ts";
import { noteReplica } from "../role-notes.ts";
import { CommitTimes } from "../../log/reader/commit-times.ts";
import { createEventReader, type EventReader } from "../../log/reader/event-reader.ts";
import { ageOf } from "../../log/event/event-time.ts";
import type { Writer } from "../../log/writer/writer.ts";
import { formatToken } from "../../log/event/position.ts";
import { chooseInitialDatabase } from "../snapshots/import-snapshot.ts";
import { fetchSnapshot } from "../snapshots/install-snapshot.ts";
import { auditDatabaseInWorker, auditDigestInWorker } from "../snapshots/snapshot-jobs.ts";
import type { StorageStatus } from "../../store/directory/storage-status.ts";
import { epochOf } from "../transport/messages.ts";
import type { PeerSystem } from "../transport/node-client.ts";
import { type AckName, openReplicaPeers } from "../transport/open-peers.ts";
import type { Peers } from "../transport/peers.ts";
import { createRecheck } from "./damage-monitor.ts";
import { lastCommonOffset } from "./divergence-point.ts";
import type { LocalDatabase } from "./local-database.ts";
import { OffsetWaiters } from "./offset-waiters.ts";
import type { ReplicaParts } from "./replica-parts.ts";
import { ReplicaLoop, type ReplicaLoopOptions } from "./replica-loop.ts";
import { describeUnreplicated, saveUnreplicated, type UnreplicatedEvents } from "./unreplicated-events.ts";

const log = getLogger("replica");

export interface Replica {
  readonly database: LocalDatabase;
  readonly writer: Writer;
  readonly loop: ReplicaLoop;
  readonly peers: Peers;
  readonly waiters: OffsetWaiters;
  readonly events: EventReader;
  readonly historyGuard: HistoryGuard;
  state(): StoreState | undefined;
  /** AppError `not_ready` while there is no database that may answer. */
  engine(): Engine;
  /** Returns whether the error is damage. Then the database no longer answers. */
  reportDamage(error: unknown): boolean;
  /** Compares pages with their checksums for at most `maxMs`. If one is damaged, the database no longer answers. */
  checkPages(maxMs: number): Promise<void>;
  /**
   * How long ago this replica was last known to have all events, in ms. Before the primary has answered, estimated from
   * the last event. Null while there is no database.
   */
  ageMs(): number | null;
  /** Why a load balancer should prefer other nodes: the primary has not confirmed this replica within `maxMs`. */
  staleness(maxMs: number): string | undefined;
  /** AppError `not_ready` if this replica is older than `maxMs`, or its age is unknown. */
  requireFresh(maxMs: number | undefined): void;
  /** Waits until this replica has the primary's current position. AppError `not_ready` if that fails. */
  waitForLatest(waitMs: number): Promise<void>;
  onStateChange(listener: () => void): void;
  /** When an event became visible here, in ms since 1970; null if that is unknown. */
  appliedMs(offset: number): number | null;
  /** Another node is in this epoch. If it is a later one, this replica searches for the new primary. */
  onPeerPosition(epoch: EpochId): void;
}

/**
 * `started` stops what this starts. If the database is open already, it was this node's in another role. The primary may
 * count this node's acknowledgements under `ackName`. `onQuestions` gets what the primary asks, after the start of the
 * loop.
 */
export async function openReplica(
  config: Config,
  parts: ReplicaParts,
  ackName: AckName,
  started: AsyncDisposableStack,
  onQuestions: NonNullable<ReplicaLoopOptions["onQuestions"]> = () => {},
): Promise<Replica> {
  const { directory, writer, database, data, limits, system, clock } = parts;
  // A node that counts for acknowledgements must not lose an acknowledged write in a power cut.
  writer.mode = { synchronous: config.ack > 0 ? "FULL" : "NORMAL", reserveBytes: undefined, sharesDisk: undefined };
  started.defer(() => writer.endRole());
  started.defer(keepDirectory(directory, writer.storage, clock, { isReplica: true }));
  const historyGuard = new HistoryGuard(data, clock);
  const onUnverified = (path: string): void => void verifyDigest(path, database, damage.suspect, system);
  const position = trackPosition(parts, config, historyGuard, onUnverified);
  started.defer(position.stop);
  const { state, events, onStateChange } = position;
  const peers = openReplicaPeers(parts, config, ackName, state, historyGuard);
  // These requests tell a primary that was replaced while it was down about its successor.
  started.defer(clock.every(limits.peerCheckIntervalMs, () => void peers.findPrimary()));
  if (!database.isOpen || !(await position.keep())) {
    const initial = await chooseInitialDatabase(parts, config, historyGuard);
    if (initial !== undefined) await position.adopt(initial);
  }
  noteReplica(data, config.role);

  const loop = new ReplicaLoop(parts, {
    maxStalenessMs: config.maxStaleness,
    writer,
    peers,
    state,
    installSnapshot: position.installSnapshot,
    onTrustChange: () => database.gate.change(),
    onDamage: (error) => void damage.report(error),
    // If another history replaces this one, the whole database is kept.
    onDivergence: (theirs) =>
      theirs[0]?.epoch === historyGuard.own && saveBeforeDivergence(data, database, writer.storage, state(), theirs),
    onVerified: () => database.markVerified(),
    onQuestions,
  });
  started.defer(() => loop.stop());
  started.defer(() => peers.close());
  peers.onPrimaryChange(() => loop.onSubscribed());
  started.defer(writer.onFilesReplaced(() => loop.onFilesLost()));
  const damage = handleDamage(parts, loop, started);
  // A disk may lose data that nobody reads, so the whole database is read from time to time.
  started.defer(clock.every(limits.databaseCheckIntervalMs, () => void audit(database, loop, damage.suspect, system)));
  const waiters = new OffsetWaiters(clock, {
    state,
    epochs: () => readEpochs(database.reader()),
    // A broker may hold back heads of later epochs.
    isNewest: (withinMs) => loop.monitor.isConfirmed(withinMs),
    onUnknownEpoch: () => loop.monitor.requestConfirmation(),
    onSlowWait: () => loop.requestCatchUp(),
    mayLearnEpochs: true,
  });
  onStateChange(() => waiters.onStateChange());
  const staleness = (maxMs: number): string | undefined => {
    if (state() === undefined) return undefined;
    const { ageMs } = loop.monitor;
    if (ageMs === null) return "the primary has not confirmed its copy since it was started";
    return ageMs > maxMs ? `its copy was last known to be the newest ${ageMs} ms ago` : undefined;
  };
  return {
    ...{ database, writer, loop, peers, waiters, events, historyGuard, state, staleness, onStateChange },
    appliedMs: position.appliedMs,
    reportDamage: damage.report,
    engine() {
      if (!loop.isDiverged) return database.engine();
      throw new AppError("not_ready", "this node's copy differs from the primary's, it waits for a fresh one");
    },
    async checkPages(maxMs) {
      if (!database.isOpen) return;
      const problem = await writer.checkPages(maxMs).catch(warnUnreadable);
      if (problem !== undefined) damage.suspect(problem);
    },
    ageMs() {
      const own = state();
      return loop.monitor.ageMs ?? (own === undefined ? null : ageOf(own.timeMs, clock));
    },
    requireFresh(maxMs) {
      const reason = maxMs === undefined ? undefined : staleness(maxMs);
      if (reason !== undefined)
        throw new AppError(
          "not_ready",
          `this node answers nothing while ${reason}: \`maxStaleness\` demands a newer copy`,
        );
    },
    waitForLatest: (waitMs) => waitForLatest(peers, waiters, state, waitMs),
    onPeerPosition(epoch) {
      const own = state();
      if (own !== undefined && compareEpochs(epoch, own) > 0)
        void peers.findPrimary(epoch).then(() => loop.onSubscribed());
    },
  };
}

async function waitForLatest(
  peers: Peers,
  waiters: OffsetWaiters,
  state: () => StoreState | undefined,
  waitMs: number,
): Promise<void> {
  const head = await peers.primaryHead().catch((cause: unknown) => {
    throw new AppError("not_ready", "the primary can't be asked for the latest, read without `Ostiary-Consistency`", {
      cause,
    });
  });
  const own = state();
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
  await waiters.waitFor(formatToken(head.e, head.l), waitMs);
}

/** After damage the database no longer answers until it is replaced or its file proves to be sound. */
function handleDamage({ database, writer, system }: ReplicaParts, loop: ReplicaLoop, started: AsyncDisposableStack) {
  const openPath = (): string | undefined => (database.isOpen ? database.path : undefined);
  const recheck = createRecheck(
    {
      path: openPath,
      isSuspected: () => loop.isDamaged,
      checkDamagedPages: (checked) => writer.checkDamagedPages(checked),
      onSound(path) {
        log.warning("the copy {path} is sound, the disk could not read it for a while: it answers again", { path });
        loop.onFileVerified();
      },
    },
    started,
    system,
  );
  const suspect = (reason: string): void => {
    loop.markDiverged(reason, true);
    recheck();
  };
  started.defer(writer.onDamaged((damaged) => damaged.path === openPath() && suspect(damaged.problem)));
  started.defer(writer.onAddedTablesReplaced(() => database.reattachAddedTables()));
  return {
    suspect,
    report(error: unknown): boolean {
      const damage = damageIn(error);
      if (damage === undefined) return false;
      if (database.hasDamagedAddedTables()) writer.replaceDamagedAddedTables();
      else suspect(`its file is damaged: ${damage}`);
      return true;
    },
  };
}

/**
 * Tracks the position while events advance it and snapshots replace the database. `onUnverified` gets the path of a
 * database that answers, although the digest of its content was not verified yet.
 */
function trackPosition(parts: ReplicaParts, config: Config, guard: HistoryGuard, onUnverified: (path: string) => void) {
  const { data, writer, database } = parts;
  const { keepLock: requireLock } = parts.directory;
  let state: StoreState | undefined;
  const listeners: (() => void)[] = [];
  const events = createEventReader(() => database.reader(), false);
  const advance = (to: StoreState): void => {
    state = to;
    database.onStateChange(to);
    events.notify();
    for (const listener of listeners) listener();
  };
  let applied = new CommitTimes(Number.MAX_SAFE_INTEGER);
  const stop = writer.onStateChange((change, committedMs) => {
    writer.storage.recovered("snapshot");
    applied.record(change.state.offset, committedMs);
    advance(change.state);
  });
  /** Makes the database at `path` this node's database. */
  const adopt = async (path: string, isDistrusted = false, onInstalled = (): void => {}): Promise<StoreState> => {
    const opened = await writer.open(path, { create: false });
    // Reads must use the new file before anybody learns of the new position.
    if (!database.isOpenAt(path)) database.open(path, isDistrusted);
    guard.adopt(firstEpoch(database.reader()).epoch);
    // It is unknown when the events in the snapshot became visible.
    applied = new CommitTimes(opened.offset);
    onInstalled();
    advance(opened);
    return opened;
  };
  /** Continues from the open database. If that fails, for example because its files are gone, it is closed. */
  const keep = async (): Promise<boolean> => {
    try {
      database.requireFiles();
      await adopt(database.path);
      return true;
    } catch (error) {
      log.warning("the database that was open cannot be used any more: {reason}", { reason: reasonOf(error) });
      database.close();
      return false;
    }
  };
  /** The writer closes the current database before it opens the next one, so a failure leaves it without any. */
  const reopen = async (isDistrusted: boolean): Promise<void> => {
    if (isDistrusted || !database.isOpen) return;
    await writer
      .open(database.path, { create: false })
      .catch((error: unknown) =>
        log.error("the copy can't be written until there is a fresh snapshot: {error}", { error }),
      );
  };
  const installSnapshot: ReplicaLoopOptions["installSnapshot"] = async (from, replacing, isDistrusted, onInstalled) => {
    if (writer.hasFailed) throw new Error("there is no writer that could open a snapshot");
    // The notes are gone as well if somebody has emptied the directory.
    requireLock();
    noteReplica(data, config.role);
    const { storage } = writer;
    const installed = await fetchSnapshot(parts, {
      ...{ primary: from, requireLock, storage, guard, state },
      nodeKeyHashes: nodeKeyHashesOf(config),
      // A database that answers, or has diverged, is replaced by a verified one only.
      mayVerifyLater: !database.isOpen,
    });
    if (installed === "unchanged") throw new Error("the other node sent no snapshot although none was known");
    const replaced = database.isOpen ? database.path : null;
    try {
      replacing();
      const adopted = await adopt(installed.path, isDistrusted, onInstalled);
      if (installed.isDigestLater) onUnverified(installed.path);
      await writer
        .adoptAudit(replaced)
        .catch((error: unknown) => log.warning("the audit log of {replaced} is lost: {error}", { replaced, error }));
      return adopted;
    } catch (error) {
      // The previous database stays in use. Without this, each attempt would leave another file.
      if (!database.isOpen || database.path !== installed.path) removeFiles(databaseFiles(installed.path));
      await reopen(isDistrusted);
      throw error;
    }
  };
  return {
    events,
    state: () => state,
    onStateChange: (listener: () => void) => void listeners.push(listener),
    appliedMs: (offset: number) => applied.at(offset),
    adopt,
    keep,
    installSnapshot,
    stop,
  };
}

/** Saves the events that only this replica has, before a diverged history replaces its database. */
function saveBeforeDivergence(
  directory: string,
  database: LocalDatabase,
  storage: StorageStatus,
  state: StoreState | undefined,
  theirs: readonly Epoch[],
): void {
  if (state === undefined || !database.isOpen) return;
  const own = openLog(database.reader());
  let saved: UnreplicatedEvents | undefined;
  try {
    const common = lastCommonOffset(state, own, readEpochs(database.reader()), theirs);
    saved = saveUnreplicated(directory, own, state, common);
    storage.recovered("events");
  } catch (error) {
    storage.failed("events", error, directory);
    throw error;
  }
  if (saved === undefined) return;
  log.error(
    "{events} of this replica are not part of the history that survives. They are saved in {path}: decide which of them to write again",
    { events: describeUnreplicated(saved), path: saved.path },
  );
}

/** A disk that cannot be read now says nothing about the data on it. */
function warnUnreadable(error: unknown): undefined {
  log.warning("the copy cannot be checked now: {reason}", { reason: reasonOf(error) });
}

async function audit(
  database: LocalDatabase,
  loop: ReplicaLoop,
  suspect: (reason: string) => void,
  system: PeerSystem,
): Promise<void> {
  if (!database.isOpen || loop.isDiverged) return;
  const { path } = database;
  try {
    await auditDatabaseInWorker(system, path);
  } catch (error) {
    if (storageFailureIn(error) !== undefined) return warnUnreadable(error);
    // It may have been replaced or closed meanwhile.
    if (database.isOpen && database.path === path) suspect(reasonOf(error));
  }
}

/** Verifies the digest of a snapshot that answers already. If that fails for any reason, it no longer answers. */
async function verifyDigest(
  path: string,
  database: LocalDatabase,
  suspect: (reason: string) => void,
  system: PeerSystem,
): Promise<void> {
  const startMs = system.clock.monotonicMs();
  try {
    await auditDigestInWorker(system, path);
    const ms = Math.round(system.clock.monotonicMs() - startMs);
    log.info("verified the digest of the snapshot in {ms} ms", { ms });
  } catch (error) {
    if (database.isOpen && database.path === path) suspect(reasonOf(error));
  }
}
