/**
 * Restores a backup as the data directory of a primary. The backup is unpacked and checked completely, taken back to
 * the requested point in time, and installed as the beginning of a new epoch. So all nodes and tokens of the abandoned
 * history notice: an edge that is ahead is told that it has diverged, saves the events that only it has, and takes a
 * snapshot.
 */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { installFile } from "../../runtime/atomic-file.ts";
import type { Limits } from "../../config/limits.ts";
import type { Connection } from "../../store/connection/connection.ts";
import {
  createdName,
  historyOf,
  lockDirectory,
  nextStorePath,
  readNodeFile,
  currentStorePath,
  removeNodeFile,
  removeReplacedStores,
  restoredName,
  restoringText,
  writeNodeFile,
} from "../../store/directory/data-directory.ts";
import { removeAddedTables } from "../../store/connection/added-tables.ts";
import { openStore } from "../../store/connection/open-store.ts";
import type { NodeKeyHashes } from "../../store/keys/node-keys.ts";
import { operator, type AuditDraft } from "../../store/log/audit-entry.ts";
import { copyAddedAuditEntries, copyAuditEntries } from "../../store/log/audit-log.ts";
import { openLog } from "../../store/log/log.ts";
import type { PointInTime } from "../../store/log/point-in-time.ts";
import { databaseFiles, openSnapshot, removeFiles, type Snapshot } from "../../store/snapshot/snapshot.ts";
import type { Authenticity } from "../../store/snapshot/snapshot-mac.ts";
import { findState, readState, type StoreState } from "../../store/log/store-state.ts";
import { nextFailoverTerm } from "../../store/log/terms.ts";
import { AppError } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";
import { systemClock } from "../../util/clock.ts";
import { reasonOf } from "../../util/reason.ts";
import type { OnStep } from "../progress.ts";
import { noteHistory } from "../history-notes.ts";
import { formatToken, mintEpoch } from "../../log/event/position.ts";
import { requireAuthentic } from "../snapshots/import-snapshot.ts";
import { checkDatabaseInWorker, type WarningListener } from "../snapshots/snapshot-jobs.ts";
import { removePromotionNote } from "../role-notes.ts";
import { realSystem } from "../system.ts";
import { append } from "../../log/append/append.ts";
import { fileError, unpackBackup } from "./backup.ts";
import { recoverTo, recoveryOffset, type RecoveryTarget, type UndoneEvents } from "./point-in-time.ts";

export interface RestoreOptions {
  readonly file: string;
  /** The data directory. Created if it is missing. */
  readonly directory: string;
  readonly target: RecoveryTarget;
  /** Replaces an existing database. */
  readonly force: boolean;
  /** The greatest term that other nodes know; 0 if no node could be asked. The restored history gets a later term. */
  readonly knownTerm: number;
  /** Only reports what would happen, and leaves nothing. */
  readonly dryRun: boolean;
  /** For the backup's MAC; undefined if unknown. */
  readonly nodeKeyHashes: NodeKeyHashes | undefined;
  /** Accepts a backup whose MAC is missing or cannot be verified. A backup with a wrong MAC is always refused. */
  readonly allowUnauthenticated: boolean;
  /** The user of the system who restores, for the audit log, if it is known. */
  readonly operator?: string | null;
  readonly limits: Limits;
  readonly onStep: OnStep;
  readonly onUndone?: (done: number, total: number) => void;
  readonly warn: WarningListener;
}

export interface RestoreResult extends PointInTime {
  readonly environment: string;
  readonly digest: string;
  readonly undone: UndoneEvents;
  /** The new epoch that begins after it. */
  readonly epoch: string;
  readonly term: number;
  readonly replaced: Pick<StoreState, "epoch" | "offset" | "term"> | undefined;
  /** Where the replaced database is kept, if it was of another history. */
  readonly previous: string | undefined;
  /** Whether a node of the environment made the backup. */
  readonly authenticity: Authenticity;
}

/** AppError says what is wrong with the backup, the directory or the target. Then the directory is unchanged. */
export async function restore(options: RestoreOptions): Promise<RestoreResult> {
  const { file, directory, target, dryRun, limits, onStep, warn } = options;
  const snapshot = openBackup(file);
  const authenticity = requireAuthentic(snapshot, options.nodeKeyHashes, options.allowUnauthenticated);
  using workspace = openWorkspace(options);
  const unpacked = join(workspace.path, "restoring.db");
  // An interrupted restore leaves the note, so that no primary begins a new history in the directory.
  const isNew = workspace.replacedPath === undefined && !dryRun;
  if (isNew) writeNodeFile(directory, restoredName, restoringText);
  try {
    onStep("unpacking", { path: unpacked, bytes: snapshot.manifest.unpackedBytes, next: "checking" });
    await unpackBackup(snapshot, unpacked, limits, warn).catch((error: unknown) => {
      throw fileError(snapshot.path, "unpacked", error);
    });
    onStep("going back");
    const known = Math.max(options.knownTerm, workspace.replaced?.term ?? 0);
    const { madeMs } = snapshot.manifest;
    const restored = recoverAndBeginEpoch(unpacked, target, madeMs, known, workspace.replacedPath, options);
    if (restored.offset < snapshot.manifest.offset) {
      onStep("checking the result");
      await checkDatabaseInWorker(realSystem, unpacked, limits, warn);
    }
    const previous = dryRun ? undefined : install(unpacked, directory, restored, snapshot.manifest.created, warn);
    return { ...restored, replaced: workspace.replaced, previous, authenticity };
  } catch (error) {
    if (isNew && pathIn(directory) === undefined) removeNodeFile(directory, restoredName);
    throw error;
  } finally {
    removeFiles(databaseFiles(unpacked));
  }
}

/** Opens a backup, or a snapshot, which has only one point in time. AppError says what is wrong with the file. */
export function openBackup(file: string): Snapshot {
  try {
    return openSnapshot(file);
  } catch (error) {
    throw fileError(file, "read", error);
  }
}

interface Workspace extends Disposable {
  /** The directory for the work, on the file system of the data directory. */
  readonly path: string;
  readonly replaced: RestoreResult["replaced"];
  /** The database to replace. */
  readonly replacedPath: string | undefined;
}

/** Refused while a node runs in the directory, since it has the lock. A dry run needs no lock and leaves nothing. */
function openWorkspace({ directory, force, dryRun }: RestoreOptions): Workspace {
  if (dryRun) {
    const workspace = mkdtempSync(join(existingParent(resolve(directory)), ".ostiary-dry-run-"));
    const replaced = readReplaced(directory, force);
    const remove = (): void => rmSync(workspace, { recursive: true, force: true });
    return { path: workspace, replaced, replacedPath: pathIn(directory), [Symbol.dispose]: remove };
  }
  const { path, unlock } = lockDirectory(directory);
  try {
    const replaced = readReplaced(directory, force);
    return { path, replaced, replacedPath: pathIn(directory), [Symbol.dispose]: unlock };
  } catch (error) {
    unlock();
    throw error;
  }
}

function pathIn(directory: string): string | undefined {
  return existsSync(directory) ? currentStorePath(directory) : undefined;
}

function existingParent(path: string): string {
  const above = dirname(path);
  return existsSync(above) ? above : existingParent(above);
}

/** Returns the state of the existing database. AppError `conflict` if there is one that must not be replaced. */
function readReplaced(directory: string, force: boolean): RestoreResult["replaced"] {
  const currentPath = pathIn(directory);
  if (currentPath === undefined) return undefined;
  if (!force)
    throw new AppError(
      "conflict",
      `\`${directory}\` holds the data of a node (\`${basename(currentPath)}\`): restore into another directory, or use --force to replace them`,
    );
  try {
    const store = openStore(currentPath, { readonly: true });
    try {
      return findState(store);
    } finally {
      store.close();
    }
  } catch {
    return undefined; // a damaged one may be replaced
  }
}

/** Recovers the point in time in the unpacked file, and begins the new epoch there. */
function recoverAndBeginEpoch(
  path: string,
  target: RecoveryTarget,
  madeMs: number,
  knownTerm: number,
  replacedPath: string | undefined,
  options: Pick<RestoreOptions, "file" | "directory" | "operator" | "limits" | "onUndone" | "warn">,
): Omit<RestoreResult, "replaced" | "previous" | "authenticity"> {
  const store = openStore(path, { wal: false, convert: true });
  try {
    // An interrupted restore starts again, and the complete file is synced.
    store.exec("PRAGMA synchronous = OFF");
    const { limits, onUndone } = options;
    const { term } = readState(store);
    const { state, undone } = recoverTo(store, recoveryOffset(store, target, madeMs), limits, onUndone);
    const draft = auditDraftOf(options, state, undone);
    const newEpoch = beginEpochAfter(store, Math.max(term, knownTerm), draft, options);
    if (replacedPath !== undefined) keepAuditLog(store, replacedPath, state.environment, options.warn);
    const { environment, offset, timeMs, digest } = state;
    return { environment, offset, timeMs, digest, undone, ...newEpoch };
  } finally {
    store.close();
  }
}

/** As the writer begins an epoch, but with a term after that of all undone events. */
function beginEpochAfter(
  store: Connection,
  term: number,
  draft: AuditDraft,
  { directory, limits }: Pick<RestoreOptions, "directory" | "limits">,
): Pick<RestoreResult, "epoch" | "term"> {
  const begun = { epoch: mintEpoch(systemClock), term: nextFailoverTerm(term) };
  const request = { kind: "epoch", ...begun } as const;
  const node = existsSync(directory) ? (readNodeFile(directory, "node-id")?.trim() ?? null) : null;
  const meta = { traceparent: null, audit: { draft, node } };
  store.transaction(() => append(store, openLog(store), request, meta, limits), "immediate");
  return begun;
}

function auditDraftOf(
  { file, operator: user }: Pick<RestoreOptions, "file" | "operator">,
  { epoch, offset }: StoreState,
  undone: UndoneEvents,
): AuditDraft {
  const events = Object.values(undone).reduce((sum, count) => sum + count, 0);
  return {
    actor: operator(user),
    action: "restore",
    target: formatToken(epoch, offset),
    details: { file: basename(file), undone: events },
  };
}

/** The restored audit log also gets the entries of the database that it replaces: they tell what happened since. */
function keepAuditLog(store: Connection, replacedPath: string, environment: string, warn: WarningListener): void {
  try {
    const replaced = openStore(replacedPath, { readonly: true });
    try {
      if (findState(replaced)?.environment !== environment) return;
      store.transaction(() => {
        copyAuditEntries(replaced, store);
        const leftOut = copyAddedAuditEntries(replacedPath, store);
        if (leftOut !== undefined) warn(leftOut);
      }, "immediate");
    } finally {
      replaced.close();
    }
  } catch (error) {
    warn(`the audit log of \`${replacedPath}\` is not kept: ${reasonOf(error)}`);
  }
}

/** Returns where the replaced database is kept, if it was of another history. */
function install(
  unpacked: string,
  directory: string,
  { epoch, offset }: Pick<RestoreResult, "epoch" | "offset">,
  created: number | undefined,
  warn: WarningListener,
): string | undefined {
  const path = nextStorePath(directory);
  // Before the database, because the node must not take an interrupted restore for all that there was.
  writeNodeFile(directory, restoredName, restoringText);
  if (created !== undefined) writeNodeFile(directory, createdName, String(created));
  installFile(unpacked, path);
  const moved = removeAddedTables(path);
  if (moved !== undefined) warn(moved);
  noteHistory(directory, must(historyOf(path)));
  // Old notes of the directory would make the primary take this for an old database, or for that of an edge.
  removePromotionNote(directory);
  writeNodeFile(directory, "role", "primary");
  writeNodeFile(directory, "position", `${epoch}:${offset + 1}`);
  const previous = removeReplacedStores(directory, true);
  rmSync(join(directory, "snapshots"), { recursive: true, force: true });
  return previous;
}
