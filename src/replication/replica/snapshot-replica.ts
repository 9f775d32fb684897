/**
 * A replica that only fetches snapshots: the database of a fallback without `follow`. It fetches a verified snapshot on
 * a timer and keeps the last one on disk. Nothing writes to its database, so the whole file is replaced at once.
 */
import type { Config } from "../../config/config.ts";
import type { Limits } from "../../config/limits.ts";
import type { Engine } from "../../engine/engine.ts";
import { isDamage } from "../../util/storage-failure.ts";
import type { Connection } from "../../store/connection/connection.ts";
import type { DataDirectory } from "../../store/directory/data-directory.ts";
import { StoreFiles } from "../../store/directory/store-files.ts";
import { PageChecksums } from "../../store/integrity/page-checksums.ts";
import { PageScrub, scrubTickMs, type ScrubReports } from "../../store/integrity/page-scrub.ts";
import { closeDeletedRawFiles } from "../../store/integrity/raw-files.ts";
import { containsOffset, firstEpoch, type EpochId } from "../../store/log/epochs.ts";
import type { StoreState } from "../../store/log/store-state.ts";
import { snapshotTag } from "../../store/snapshot/snapshot.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { metrics } from "../../telemetry/metrics.ts";
import { AppError } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";
import { backoffMs } from "../../util/backoff.ts";
import type { Clock } from "../../util/clock.ts";
import { rateLimiter } from "../../util/rate-limiter.ts";
import { detailOf, reasonOf } from "../../util/reason.ts";
import { keepDirectory } from "../directory-keeper.ts";
import { HistoryGuard } from "../history-guard.ts";
import { nodeKeyHashesOf } from "../identity.ts";
import type { NodeContext } from "../node-context.ts";
import { ageOf } from "../../log/event/event-time.ts";
import { lacksPolicy } from "../node-health.ts";
import { chooseInitialDatabase } from "../snapshots/import-snapshot.ts";
import {
  fetchSnapshot,
  readSnapshotMetadata,
  writeSnapshotMetadata,
  type SnapshotMetadata,
} from "../snapshots/install-snapshot.ts";
import { noteReplica } from "../role-notes.ts";
import { StorageStatus } from "../../store/directory/storage-status.ts";
import type { NodeClient, PeerSystem } from "../transport/node-client.ts";
import { openReplicaPeers, withoutAckName } from "../transport/open-peers.ts";
import type { Peers } from "../transport/peers.ts";
import { createRecheck } from "./damage-monitor.ts";
import { LocalDatabase } from "./local-database.ts";

const log = getLogger("fallback");

export interface SnapshotReplica {
  readonly database: LocalDatabase;
  readonly historyGuard: HistoryGuard;
  readonly storage: StorageStatus;
  /** Undefined without a primary. */
  readonly peers: Peers | undefined;
  /** The position of the snapshot. Undefined while there is none. */
  state(): StoreState | undefined;
  /** AppError `not_ready` while there is no database that may answer. */
  engine(): Engine;
  /** Returns whether the error is damage. Then the database no longer answers. */
  reportDamage(error: unknown): boolean;
  /** How long ago another node last confirmed that there is nothing newer, in ms. Null while there is no snapshot. */
  ageMs(): number | null;
}

const filesCheckMs = 1000;

/** `started` stops what this starts. Calls `onConfirmed` after each refresh. AppError `invalid_request` if there is neither a snapshot nor a primary. */
export async function openSnapshotReplica(
  context: NodeContext<PeerSystem>,
  config: Config,
  directory: DataDirectory,
  started: AsyncDisposableStack,
  onConfirmed: () => void = () => {},
): Promise<SnapshotReplica> {
  const { data, limits, clock } = context;
  const database = new LocalDatabase(data, limits, clock);
  started.defer(() => database.close());
  const storage = new StorageStatus();
  started.defer(keepDirectory(directory, storage, clock, { isReplica: true }));
  const historyGuard = new HistoryGuard(data, clock);
  const nodeKeyHashes = nodeKeyHashesOf(config);
  const damage = monitorSnapshot(context, database, started);
  let state: StoreState | undefined;
  let metadata: SnapshotMetadata | undefined;
  /** On the monotonic clock. Undefined before the first answer to this process. */
  let confirmedAtMs: number | undefined;
  /** Undefined if there is no database on the disk: then the newest snapshot is fetched, although it may be known. */
  let files: StoreFiles | undefined;
  const open = (path: string): void => {
    state = database.open(path, damage.isFound);
    files = new StoreFiles(path);
    storage.recovered("database");
    damage.onReplaced();
    historyGuard.adopt(firstEpoch(database.reader()).epoch);
  };
  const initial = await chooseInitialDatabase(context, config, historyGuard);
  if (initial !== undefined) {
    open(initial);
    const known = readSnapshotMetadata(data);
    metadata = known?.tag === snapshotTag(must(state)) ? known : undefined;
  }
  noteReplica(data, "fallback");

  const peers =
    config.primary === undefined
      ? undefined
      : openReplicaPeers(context, config, withoutAckName, () => state, historyGuard);
  if (peers === undefined && state === undefined)
    throw new AppError(
      "invalid_request",
      "this fallback has neither a snapshot nor a primary to fetch one from: set `--primary`, or give it one with `--import` or `ostiary snapshot import`",
    );
  const common = { requireLock: directory.keepLock, storage, guard: historyGuard, nodeKeyHashes };
  const refresh = async (): Promise<void> => {
    if (peers === undefined) return;
    const { fetched, from } = await fetchFromAny(peers, damage.isFound ? undefined : state, (primary) =>
      fetchSnapshot(context, { ...common, primary }, damage.isFound || files === undefined ? undefined : metadata?.tag),
    );
    if (fetched !== "unchanged") open(fetched.path);
    // If damage was found meanwhile, the snapshot is fetched again, even if it is the newest.
    if (damage.isFound) return;
    if (await isInHistoryOf(from, must(state))) database.markVerified();
    metadata = { tag: snapshotTag(must(state)), confirmedMs: clock.wallMs() };
    confirmedAtMs = clock.monotonicMs();
    onConfirmed();
    // Without the metadata, the age after a restart is counted from the last event.
    try {
      writeSnapshotMetadata(data, metadata);
      storage.recovered("snapshot");
    } catch (error) {
      storage.failed("snapshot", error, data);
    }
  };
  // Without a database or a policy, or while an operator has to approve another history, snapshots are fetched often.
  const hasTime = (): boolean => files !== undefined && !lacksPolicy(state) && historyGuard.foreign === undefined;
  const timer = startTimer(refresh, config, hasTime, clock);
  started.defer(() => timer.stop());
  started.defer(() => peers?.close());
  damage.onFound(() => {
    metadata = undefined;
    timer.runSoon();
  });
  const checkFiles = (): void => {
    try {
      files?.check();
    } catch (error) {
      storage.failed("database", error, must(files).path);
      files = undefined;
      timer.runSoon();
    }
  };
  started.defer(clock.every(filesCheckMs, checkFiles));
  return {
    database,
    historyGuard,
    storage,
    peers,
    state: () => state,
    engine() {
      if (!damage.isFound) return database.engine();
      throw new AppError("not_ready", "this node's copy is damaged, it waits for a fresh one");
    },
    reportDamage: damage.report,
    ageMs() {
      if (state === undefined) return null;
      if (metadata === undefined || confirmedAtMs === undefined)
        return ageOf(metadata?.confirmedMs ?? state.timeMs, clock);
      return Math.round(clock.monotonicMs() - confirmedAtMs);
    },
  };
}

/** Fetches from the first node that has a snapshot of the epoch `least` or a later one. */
async function fetchFromAny<T>(
  peers: Peers,
  least: EpochId | undefined,
  fetchFrom: (client: NodeClient) => Promise<T>,
): Promise<{ readonly fetched: T; readonly from: NodeClient }> {
  let failure: unknown;
  for (const { client } of await peers.snapshotSources(least)) {
    try {
      return { fetched: await fetchFrom(client), from: client };
    } catch (error) {
      failure ??= error;
    }
  }
  throw failure ?? new Error("no other node knows the current epoch, it may have been lost");
}

/** Whether the node that sent the snapshot has its position in its history. */
async function isInHistoryOf(from: NodeClient, { epoch, offset, hash, digest }: StoreState): Promise<boolean> {
  try {
    const head = await from.head(undefined);
    if (head.e === epoch && head.l === offset) return head.h === hash && head.d === digest;
    return containsOffset(head.epochs, head.l, epoch, offset) === true;
  } catch {
    return false;
  }
}

/** Refreshes on a timer with jitter, for fleets. Sooner after a failure, and much sooner without `hasTime`. */
function startTimer(
  refresh: () => Promise<void>,
  { refresh: intervalMs, limits }: Config,
  hasTime: () => boolean,
  clock: Clock,
) {
  let failures = 0;
  let isStopped = false;
  let cancel = (): void => {};
  const run = async (): Promise<void> => {
    try {
      await refresh();
      failures = 0;
    } catch (error) {
      if (failures++ === 0)
        log.warning("fetching a snapshot failed, trying again: {error}", { error: detailOf(error) });
    }
    if (isStopped) return;
    const maxMs = hasTime() ? intervalMs : Math.min(intervalMs, limits.retryDelayMsMax);
    const delays = { minMs: limits.retryDelayMsMin, maxMs };
    const delayMs = failures === 0 ? maxMs * (0.9 + clock.random() / 5) : backoffMs(failures, delays, clock.random());
    cancel = clock.after(delayMs, () => (running = run()));
  };
  let running = run();
  return {
    /** Runs the refresh after the one that is under way. */
    runSoon(): void {
      cancel();
      running = running.then(run);
    },
    async stop(): Promise<void> {
      isStopped = true;
      cancel();
      await running;
    },
  };
}

/** Checks a database that nobody writes to, until `started` is disposed. */
function monitorSnapshot(
  { limits, system, clock }: NodeContext<PeerSystem>,
  database: LocalDatabase,
  started: AsyncDisposableStack,
) {
  let isFound = false;
  let onFound = (): void => {};
  const suspect = (reason: string): void => {
    if (isFound) return;
    log.error("the copy is damaged: it answers nothing until there is a fresh one: {reason}", { reason });
    isFound = true;
    database.gate.change();
    metrics.databasesRejected.inc();
    recheck();
    onFound();
  };
  const warnings = rateLimiter(60_000, clock);
  const onUnreadable = (reason: string): void => {
    if (warnings() > 0) log.warning("the copy cannot be checked now: {reason}", { reason });
  };
  const scrub = scrubDatabase(limits, { onDamage: suspect, onUnreadable }, started, clock);
  const recheck = createRecheck(
    {
      path: () => (database.isOpen ? database.path : undefined),
      isSuspected: () => isFound,
      checkDamagedPages: scrub.checkDamagedPages,
      onSound(path) {
        log.warning("the copy {path} is sound, the disk could not read it for a while: it answers again", { path });
        isFound = false;
        database.gate.change();
      },
    },
    started,
    system,
  );
  return {
    get isFound(): boolean {
      return isFound;
    },
    /** Returns whether the error is damage. */
    report(error: unknown): boolean {
      if (!isDamage(error)) return false;
      if (database.hasDamagedAddedTables()) database.replaceAddedTables();
      else suspect(reasonOf(error));
      return true;
    },
    /** A verified file has replaced the database. Throws if it cannot be opened. */
    onReplaced(): void {
      isFound = false;
      database.gate.change();
      scrub.open(database.reader());
    },
    /** Calls `listener` each time that damage is found. */
    onFound(listener: () => void): void {
      onFound = listener;
    },
  };
}

/** Compares the pages of a database that nobody writes to with their checksums, until `started` is disposed. */
function scrubDatabase(
  { scrubIntervalMs }: Pick<Limits, "scrubIntervalMs">,
  reports: ScrubReports,
  started: AsyncDisposableStack,
  clock: Clock,
) {
  let opened: { readonly pages: PageChecksums; readonly scrub: PageScrub } | undefined;
  const close = (): void => {
    opened?.scrub.stop();
    opened?.pages.close();
    opened = undefined;
  };
  started.defer(close);
  started.defer(
    clock.every(scrubTickMs, () => {
      opened?.scrub.tick();
      // Raw file handles of the replaced database may be left.
      closeDeletedRawFiles();
    }),
  );
  return {
    /** Scrubs the database of this connection from now on. */
    open(store: Connection): void {
      close();
      const pageBytes = Number(store.prepare("PRAGMA page_size").values()[0]?.[0]);
      // There is no writer, so the WAL stays empty.
      const pages = new PageChecksums(store.path, pageBytes, () => ({ committed: 0, checkpointed: 0 }));
      opened = { pages, scrub: new PageScrub(pages, scrubIntervalMs, reports) };
    },
    /** Reads the damaged pages again. Resolves with the damage that is left. */
    checkDamagedPages: async (): Promise<string | undefined> => opened?.pages.checkDamaged(),
  };
}
