/**
 * A copy that follows: its database, the thread that writes it, and the loop that keeps it at the primary's position. An edge has one, and so has a
 * fallback that follows. It starts from its file where that is sound, and can be answered from before anybody was heard of.
 */
import type { Config } from "../../config/config.ts";
import type { Engine } from "../../engine/engine.ts";
import { damageIn } from "../../runtime/sqlite.ts";
import { writeNodeFile } from "../../store/directory/data-directory.ts";
import { compareEpochs, firstEpoch, readEpochs, type Epoch, type EpochId } from "../../store/log/epochs.ts";
import { openLog } from "../../store/log/log.ts";
import { databaseFiles, removeFiles } from "../../store/snapshot/snapshot.ts";
import type { StoreState } from "../../store/log/store-state.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { AppError } from "../../util/app-error.ts";
import type { Clock } from "../../util/clock.ts";
import { reasonOf } from "../../util/reason.ts";
import { storageFailureIn } from "../../util/storage-failure.ts";
import { LocalDatabase } from "./local-database.ts";
import { createRecheck } from "./damage-monitor.ts";
import { HistoryGuard } from "../history-guard.ts";
import { createEventReader, type EventReader } from "../log/event-reader.ts";
import { nodeKeyHashOf } from "../identity.ts";
import { chooseInitialDatabase } from "../snapshots/import-snapshot.ts";
import { fetchSnapshot } from "../snapshots/install-snapshot.ts";
import { auditDatabaseInWorker } from "../snapshots/snapshot-jobs.ts";
import type { StorageStatus } from "../storage-status.ts";
import type { System } from "../system.ts";
import { ageOf } from "../log/event-time.ts";
import { Writer } from "../log/writer.ts";
import { OffsetWaiters } from "./offset-waiters.ts";
import { ReplicaLoop } from "./replica-loop.ts";
import type { ReplicaLoopOptions } from "./replica-loop-options.ts";
import { lastCommonOffset } from "./divergence-point.ts";
import { type AckName, openReplicaPeers } from "../transport/open-peers.ts";
import { describeUnreplicated, saveUnreplicated, type UnreplicatedEvents } from "./unreplicated-events.ts";
import type { Peers } from "../transport/peers.ts";

const log = getLogger("copy");

export interface Replica {
  readonly database: LocalDatabase;
  readonly writer: Writer;
  readonly loop: ReplicaLoop;
  readonly peers: Peers;
  readonly waiters: OffsetWaiters;
  readonly events: EventReader;
  /** Which histories it takes over. */
  readonly historyGuard: HistoryGuard;
  /** Where it stands; undefined before there is one. */
  state(): StoreState | undefined;
  /** AppError `not_ready` while there is none that can be trusted. */
  engine(): Engine;
  /** Whether it was damage, and the copy is given up. */
  reportDamage(error: unknown): boolean;
  /** Compares its pages for at most `maxMs`; where one is damaged, the copy is given up. */
  checkPages(maxMs: number): Promise<void>;
  /**
   * For people: how long ago it was last known to be the newest, in ms. Before the primary was heard of, that is guessed from the time that the last
   * event names. Null before there is one.
   */
  ageMs(): number | null;
  /** Why it should rather not be asked: it was not confirmed by the primary since the start, or not since `maxMs`. */
  staleness(maxMs: number): string | undefined;
  /** Called each time it has moved on. */
  onStateChange(listener: () => void): void;
  /** Another node stands there: where it is in a later epoch, this one looks who is the primary. */
  onPeerPosition(standing: EpochId): void;
}

/** Whatever it starts is ended by `started`. */
export async function openReplica(
  config: Config,
  countedAs: AckName,
  started: AsyncDisposableStack,
  system: System,
): Promise<Replica> {
  const { clock } = system;
  const { limits, environment, data } = config;
  // Who counts for a write's acknowledgement must not lose it to a power cut.
  const writer = new Writer({ environment, synchronous: config.ack > 0 ? "FULL" : "NORMAL", limits }, system);
  started.defer(() => writer.stop());
  const copy = new LocalDatabase(data, limits, clock, writer.changes);
  started.defer(() => copy.close());
  const guard = new HistoryGuard(data, clock);
  const standing = trackPosition(config, writer, copy, guard, system);
  const upstream = openReplicaPeers(config, countedAs, standing.present, guard, system);
  // A primary that comes back after it was replaced learns of that from those who follow another now.
  started.defer(clock.every(limits.peerCheckIntervalMs, () => void upstream.findPrimary()));
  const sound = await chooseInitialDatabase(config, guard, system);
  if (sound !== undefined) await standing.adopt(sound);
  writeNodeFile(data, "role", config.role);

  const follower = new ReplicaLoop({
    environment,
    limits,
    maxStalenessMs: config.maxStaleness,
    clock,
    writer,
    peers: upstream,
    state: standing.present,
    installSnapshot: standing.installSnapshot,
    onDamage: (error) => void reportDamage(error),
    // Before another history the whole database is kept.
    onDivergence: (theirs) =>
      theirs[0]?.epoch === guard.own && saveBeforeDivergence(data, copy, writer.storage, standing.present(), theirs),
    onVerified: () => copy.markVerified(),
  });
  started.defer(() => follower.stop());
  started.defer(() => upstream.close());
  upstream.onPrimaryChange(() => follower.onSubscribed());
  writer.onFilesReplaced(() => follower.onFilesLost());
  const { reportDamage, distrustDamaged } = reportDamageTo(copy, writer, follower, started, system);
  // Disks forget: what is never looked at is never missed.
  const audit = (): void => void auditOnce(copy, distrustDamaged, follower, system);
  started.defer(clock.every(limits.databaseCheckIntervalMs, audit));
  const { history, present, onMoved } = standing;
  const arrivals = openWaiters(standing, copy, follower, clock);
  return {
    database: copy,
    writer,
    loop: follower,
    peers: upstream,
    waiters: arrivals,
    events: history,
    historyGuard: guard,
    state: present,
    onStateChange: onMoved,
    onPeerPosition(standing) {
      const state = present();
      if (state !== undefined && compareEpochs(standing, state) > 0)
        void upstream.findPrimary(standing).then(() => follower.onSubscribed());
    },
    engine() {
      if (!follower.isDiverged) return copy.engine();
      throw new AppError("not_ready", "this node's copy differs from the primary's, it waits for a fresh one");
    },
    reportDamage,
    async checkPages(maxMs) {
      if (!copy.isOpen) return;
      const problem = await writer.checkPages(maxMs).catch(warnUnreadable);
      if (problem !== undefined) distrustDamaged(problem);
    },
    ...agesOf(follower, present, clock),
  };
}

function agesOf(follower: ReplicaLoop, present: Replica["state"], clock: Clock): Pick<Replica, "ageMs" | "staleness"> {
  return {
    ageMs() {
      const state = present();
      // Without any contact yet, the last commit that it contains says how old it is at most.
      return follower.ageMs ?? (state === undefined ? null : ageOf(state.timeMs, clock));
    },
    staleness(maxMs) {
      if (present() === undefined) return undefined;
      const { ageMs } = follower;
      if (ageMs === null) return "the primary has not confirmed its copy since it was started";
      return ageMs > maxMs ? `its copy was last known to be the newest ${ageMs} ms ago` : undefined;
    },
  };
}

function openWaiters(
  { present, onMoved }: ReplicaPosition,
  copy: LocalDatabase,
  follower: ReplicaLoop,
  clock: Clock,
): OffsetWaiters {
  const arrivals = new OffsetWaiters({
    state: present,
    epochs: () => readEpochs(copy.reader()),
    // A broker may hold back what it knows of later epochs.
    isNewest: () => follower.isConfirmed,
    onUnknownEpoch: () => follower.requestConfirmation(),
    onSlowWait: () => follower.requestCatchUp(),
    mayLearnEpochs: true,
    clock,
  });
  onMoved(() => arrivals.onStateChange());
  return arrivals;
}

interface DamageReports {
  /** Whether it was damage: then the copy is not answered from until it is replaced, or found sound. */
  readonly reportDamage: (error: unknown) => boolean;
  readonly distrustDamaged: (reason: string) => void;
}

function reportDamageTo(
  copy: LocalDatabase,
  writer: Writer,
  follower: ReplicaLoop,
  started: AsyncDisposableStack,
  system: System,
): DamageReports {
  const onSound = (path: string): void => {
    log.warning("the copy {path} is sound, the disk could not read it for a while: it is answered from again", {
      path,
    });
    follower.onFileVerified();
  };
  const path = (): string | undefined => (copy.isOpen ? copy.path : undefined);
  const checkDamagedPages = (checked: string): Promise<string | undefined> => writer.checkDamagedPages(checked);
  const isSuspected = (): boolean => follower.isDamaged;
  const recheck = createRecheck({ path, isSuspected, checkDamagedPages, onSound }, started, system);
  const distrustDamaged = (reason: string): void => {
    follower.markDiverged(reason, true);
    recheck();
  };
  writer.onDamaged((damaged) => damaged.path === path() && distrustDamaged(damaged.problem));
  return {
    distrustDamaged,
    reportDamage(error) {
      const damage = damageIn(error);
      if (damage !== undefined) distrustDamaged(`its file is damaged: ${damage}`);
      return damage !== undefined;
    },
  };
}

interface ReplicaPosition {
  readonly history: EventReader;
  readonly present: () => StoreState | undefined;
  readonly onMoved: (listener: () => void) => void;
  /** Makes the database at `path` this node's copy. */
  readonly adopt: (path: string) => Promise<StoreState>;
  readonly installSnapshot: ReplicaLoopOptions["installSnapshot"];
}

/** Knows where the copy stands, while events move it and snapshots replace it. */
function trackPosition(
  config: Config,
  writer: Writer,
  copy: LocalDatabase,
  guard: HistoryGuard,
  system: System,
): ReplicaPosition {
  let state: StoreState | undefined;
  const listeners: (() => void)[] = [];
  const history = createEventReader({ reader: () => copy.reader(), primary: false });
  const move = (to: StoreState): void => {
    state = to;
    copy.onStateChange(to);
    history.moved();
    for (const listener of listeners) listener();
  };
  writer.onStateChange(({ state: moved }) => {
    writer.storage.recovered("snapshot");
    move(moved);
  });
  const adopt = async (path: string, isDistrusted = false): Promise<StoreState> => {
    const opened = await writer.open(path, { create: false });
    // Nobody may learn of the new position before reads come from the new file.
    copy.open(path, isDistrusted);
    guard.adopt(firstEpoch(copy.reader()).epoch);
    move(opened);
    return opened;
  };
  /** The writer has let go of the copy in use before it could open the next one. */
  const reopen = async (isDistrusted: boolean): Promise<void> => {
    if (isDistrusted || !copy.isOpen) return;
    await writer
      .open(copy.path, { create: false })
      .catch((error: unknown) => log.error("the copy can't be written until there is a fresh one: {error}", { error }));
  };
  const installSnapshot: ReplicaPosition["installSnapshot"] = async (from, replacing, isDistrusted) => {
    const { data: directory, environment, limits } = config;
    if (writer.hasFailed) throw new Error("there is no writer that could open a snapshot");
    const { storage } = writer;
    const installed = await fetchSnapshot({
      ...{ primary: from, directory, environment, limits, system, storage, guard, nodeKeyHash: nodeKeyHashOf(config) },
      state: state,
    });
    if (installed === "unchanged") throw new Error("the other node sent no snapshot although none was known");
    try {
      replacing();
      return await adopt(installed.path, isDistrusted);
    } catch (error) {
      // The one before stays in use; each further attempt would leave another file.
      if (!copy.isOpen || copy.path !== installed.path) removeFiles(databaseFiles(installed.path));
      await reopen(isDistrusted);
      throw error;
    }
  };
  return {
    history,
    present: () => state,
    onMoved: (listener) => listeners.push(listener),
    adopt,
    installSnapshot,
  };
}

/** The history that goes on has parted from this one: what only this copy has is saved before the copy is replaced. */
function saveBeforeDivergence(
  directory: string,
  copy: LocalDatabase,
  storage: StorageStatus,
  present: StoreState | undefined,
  theirs: readonly Epoch[],
): void {
  if (present === undefined || !copy.isOpen) return;
  const own = openLog(copy.reader());
  let saved: UnreplicatedEvents | undefined;
  try {
    const common = lastCommonOffset(present, own, readEpochs(copy.reader()), theirs);
    saved = saveUnreplicated(directory, own, present, common);
    storage.recovered("events");
  } catch (error) {
    storage.failed("events", error, directory);
    throw error;
  }
  if (saved === undefined) return;
  log.error(
    "{events} that this copy has are not part of the history that goes on, they are in {path}: see what of them is to be done again",
    { events: describeUnreplicated(saved), path: saved.path },
  );
}

/** A disk that can't be read now says nothing about what is on it. */
function warnUnreadable(error: unknown): undefined {
  log.warning("the copy cannot be checked now: {reason}", { reason: reasonOf(error) });
}

async function auditOnce(
  copy: LocalDatabase,
  distrustDamaged: DamageReports["distrustDamaged"],
  follower: ReplicaLoop,
  system: System,
): Promise<void> {
  if (!copy.isOpen || follower.isDiverged) return;
  const { path } = copy;
  try {
    await auditDatabaseInWorker(system, copy.engine().path);
  } catch (error) {
    // It may have been replaced or closed meanwhile.
    if (storageFailureIn(error) !== undefined) return warnUnreadable(error);
    if (copy.isOpen && copy.path === path) distrustDamaged(reasonOf(error));
  }
}
