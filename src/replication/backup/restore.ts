/**
 * A backup becomes a primary's data directory: unpacked and checked from end to end, taken back to the moment that is asked for, and put in its place
 * as the beginning of a new epoch. So every node and every token of the history that is left behind learns of it: an edge that is ahead is told that
 * it has diverged, saves what only it has, and takes a snapshot.
 */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { installFile } from "../../runtime/atomic-file.ts";
import type { Limits } from "../../config/limits.ts";
import type { Connection } from "../../store/connection/connection.ts";
import {
  historyOf,
  lockDirectory,
  nextStorePath,
  currentStorePath,
  removeReplacedStores,
  writeNodeFile,
} from "../../store/directory/data-directory.ts";
import { openStore } from "../../store/connection/open-store.ts";
import { openLog } from "../../store/log/log.ts";
import type { PointInTime } from "../../store/log/point-in-time.ts";
import { databaseFiles, openSnapshot, removeFiles, type Snapshot } from "../../store/snapshot/snapshot.ts";
import type { Authenticity } from "../../store/snapshot/snapshot-mac.ts";
import { findState, readState, type StoreState } from "../../store/log/store-state.ts";
import { nextFailoverTerm } from "../../store/log/terms.ts";
import { AppError } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";
import { systemClock } from "../../util/clock.ts";
import { fileError } from "../file-error.ts";
import type { OnStep } from "../progress.ts";
import { noteHistory } from "../history-notes.ts";
import { mintEpoch } from "../position.ts";
import { requireAuthentic } from "../snapshots/import-snapshot.ts";
import { checkDatabaseInWorker, type WarningListener } from "../snapshots/snapshot-jobs.ts";
import { removePromotionNote } from "../failover/promotion.ts";
import { realSystem } from "../system.ts";
import { commitEvent } from "../log/commit-event.ts";
import { eventTime } from "../log/event-time.ts";
import { unpackBackup } from "./backup.ts";
import { recoverTo, recoveryOffset, type RecoveryTarget, type UndoneEvents } from "./point-in-time.ts";

export interface RestoreOptions {
  /** The backup. */
  readonly file: string;
  /** The data directory, made where it is missing. */
  readonly directory: string;
  readonly target: RecoveryTarget;
  /** Also where there is a database already, which it then takes the place of. */
  readonly force: boolean;
  /** The greatest term that other nodes know; 0 where nobody could be asked. What is restored comes after it. */
  readonly knownTerm: number;
  /** Only says what would be: nothing is left of it. */
  readonly dryRun: boolean;
  /** For the backup's MAC; undefined where it is not known. */
  readonly nodeKeyHash: string | undefined;
  /** Also a backup whose MAC is missing or can't be verified. One whose MAC is wrong never is restored. */
  readonly allowUnauthenticated: boolean;
  readonly limits: Limits;
  readonly onStep: OnStep;
  /** Hears how many of the events that are to be undone are. */
  readonly onUndone?: (done: number, total: number) => void;
  readonly warn: WarningListener;
}

export interface RestoreResult extends PointInTime {
  readonly environment: string;
  /** State digest there. */
  readonly digest: string;
  readonly undone: UndoneEvents;
  /** What begins behind it. */
  readonly epoch: string;
  readonly term: number;
  /** Where the database stood whose place it took. */
  readonly replaced: Pick<StoreState, "epoch" | "offset" | "term"> | undefined;
  /** Where it is kept, because it was of another history. */
  readonly previous: string | undefined;
  /** Whether a node of the environment has made the backup. */
  readonly authenticity: Authenticity;
}

/** AppError says what is wrong with the backup, the place or the destination; then the directory is as it was. */
export async function restore(options: RestoreOptions): Promise<RestoreResult> {
  const { file, directory, target: destination, dryRun, limits, onStep, warn } = options;
  const snapshot = openBackup(file);
  const authenticity = requireAuthentic(snapshot, options.nodeKeyHash, options.allowUnauthenticated);
  using place = openWorkspace(options);
  const unpacked = join(place.path, "restoring.db");
  try {
    onStep("unpacking", { path: unpacked, bytes: snapshot.manifest.unpackedBytes, next: "checking" });
    await unpack(snapshot, unpacked, limits, warn);
    onStep("going back");
    const known = Math.max(options.knownTerm, place.replaced?.term ?? 0);
    const restored = recoverAndBeginEpoch(unpacked, destination, snapshot.manifest.madeMs, known, options);
    if (restored.offset < snapshot.manifest.offset) {
      onStep("checking what it came to");
      await checkDatabaseInWorker(realSystem, unpacked, limits, warn);
    }
    const previous = dryRun ? undefined : install(unpacked, directory, restored);
    return { ...restored, replaced: place.replaced, previous, authenticity };
  } finally {
    removeFiles(databaseFiles(unpacked));
  }
}

/** A backup, or a snapshot, of which there is only one moment. AppError says what is wrong with the file. */
export function openBackup(file: string): Snapshot {
  try {
    return openSnapshot(file);
  } catch (error) {
    throw fileError(file, "read", error);
  }
}

async function unpack(snapshot: Snapshot, target: string, limits: Limits, warn: WarningListener): Promise<void> {
  try {
    await unpackBackup(snapshot, target, limits, warn);
  } catch (error) {
    throw fileError(snapshot.path, "unpacked", error);
  }
}

interface Workspace extends Disposable {
  /** Where the work is done, on the file system of the directory. */
  readonly path: string;
  readonly replaced: RestoreResult["replaced"];
}

/** A running node has the directory's lock, so this is refused where there is one. A dry run asks for nothing of it and leaves nothing there. */
function openWorkspace({ directory, force, dryRun }: RestoreOptions): Workspace {
  if (dryRun) {
    const workspace = mkdtempSync(join(existingParent(resolve(directory)), ".ostiary-dry-run-"));
    const replaced = readReplaced(directory, force);
    return { path: workspace, replaced, [Symbol.dispose]: () => rmSync(workspace, { recursive: true, force: true }) };
  }
  const { path, unlock } = lockDirectory(directory);
  try {
    return { path: path, replaced: readReplaced(directory, force), [Symbol.dispose]: unlock };
  } catch (error) {
    unlock();
    throw error;
  }
}

function existingParent(path: string): string {
  const above = dirname(path);
  return existsSync(above) ? above : existingParent(above);
}

/** Where the database stands that is there. AppError `conflict` where there is one, unless it may be replaced. */
function readReplaced(directory: string, force: boolean): RestoreResult["replaced"] {
  const present = existsSync(directory) ? currentStorePath(directory) : undefined;
  if (present === undefined) return undefined;
  if (!force)
    throw new AppError(
      "conflict",
      `\`${directory}\` holds the data of a node (\`${basename(present)}\`): restore into another directory, or use --force to replace them`,
    );
  try {
    const store = openStore(present, { readonly: true });
    try {
      return findState(store);
    } finally {
      store.close();
    }
  } catch {
    return undefined; // a damaged one is what restoring is for
  }
}

/** Goes back in the unpacked file, and begins the new epoch there. */
function recoverAndBeginEpoch(
  path: string,
  destination: RecoveryTarget,
  madeMs: number,
  knownTerm: number,
  { limits, onUndone }: Pick<RestoreOptions, "limits" | "onUndone">,
): Omit<RestoreResult, "replaced" | "previous" | "authenticity"> {
  const store = openStore(path, { wal: false });
  try {
    // Whoever is interrupted begins anew, and the file is synced when it is whole.
    store.exec("PRAGMA synchronous = OFF");
    const { term } = readState(store);
    const { state, undone } = recoverTo(store, recoveryOffset(store, destination, madeMs), limits, onUndone);
    const begun = beginEpochAfter(store, Math.max(term, knownTerm), limits);
    const { environment, offset, timeMs, digest } = state;
    return { environment, offset, timeMs, digest, undone, ...begun };
  } finally {
    store.close();
  }
}

/** As the writer does it, but after all that was undone as well. */
function beginEpochAfter(store: Connection, term: number, limits: Limits): Pick<RestoreResult, "epoch" | "term"> {
  return store.transaction(() => {
    const before = readState(store);
    const now = systemClock.wallMs();
    const effect = { kind: "epoch", epoch: mintEpoch(systemClock), term: nextFailoverTerm(term) } as const;
    const timeMs = eventTime(now, before.timeMs);
    const row = {
      offset: before.offset + 1,
      timeMs,
      kind: effect.kind,
      body: JSON.stringify(effect),
      traceparent: null,
    };
    commitEvent(store, openLog(store), before, row, effect, limits);
    return { epoch: effect.epoch, term: effect.term };
  }, "immediate");
}

/** Gives where the database of another history is kept whose place it took. */
function install(
  unpacked: string,
  directory: string,
  { epoch, offset }: Pick<RestoreResult, "epoch" | "offset">,
): string | undefined {
  const path = nextStorePath(directory);
  installFile(unpacked, path);
  noteHistory(directory, must(historyOf(path)));
  // What the directory says of another life would make the primary take this for an old database that was put back, or for an edge's.
  removePromotionNote(directory);
  writeNodeFile(directory, "role", "primary");
  writeNodeFile(directory, "position", `${epoch}:${offset + 1}`);
  const previous = removeReplacedStores(directory, true);
  rmSync(join(directory, "snapshots"), { recursive: true, force: true });
  return previous;
}
