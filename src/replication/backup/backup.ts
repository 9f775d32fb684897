/**
 * Makes a backup: one file with all data of a node (facts, policies, keys, the log, and the data for point-in-time
 * recovery), from one state of the database, while the node runs. It has the format of a snapshot. A backup succeeds
 * only after it has been read back, unpacked and verified.
 */
import { statSync } from "node:fs";
import { dirname } from "node:path";
import { installFile } from "../../runtime/atomic-file.ts";
import type { Limits } from "../../config/limits.ts";
import { createdMsOf } from "../../store/directory/data-directory.ts";
import { copyPathOf, databaseFiles, openSnapshot, removeFiles, type Snapshot } from "../../store/snapshot/snapshot.ts";
import { AppError } from "../../util/app-error.ts";
import { reasonOf } from "../../util/reason.ts";
import type { OnStep } from "../progress.ts";
import { buildBackupInWorker, unpackSnapshotInWorker, type WarningListener } from "../snapshots/snapshot-jobs.ts";
import { realSystem } from "../system.ts";
import { checkLogAt } from "./check-log.ts";

export interface BackupOptions {
  /** The path of the backup. An existing file is replaced after the new backup was verified. */
  readonly target: string;
  /** Writes the backup to the file at `path`. */
  readonly write: (path: string, warn: WarningListener) => Promise<void>;
  readonly limits: Limits;
  readonly onStep: OnStep;
  /** Gets damage that can be repaired from the facts, or that concerns the audit log only. */
  readonly warn: WarningListener;
}

/** Throws, and leaves no file, if the backup is not valid. */
export async function backUp({ target, write, limits, onStep, warn }: BackupOptions): Promise<Snapshot> {
  const [unchecked, unpacked] = [`${target}.unchecked`, `${target}.unpacked`];
  removeFiles([unchecked]);
  try {
    await write(unchecked, warn).catch((error: unknown) => {
      throw error instanceof AppError ? error : fileError(target, "written", error);
    });
    await verifyBackup(unchecked, unpacked, limits, warn, onStep);
    installFile(unchecked, target);
    return openSnapshot(target);
  } finally {
    removeFiles([unchecked, ...databaseFiles(unpacked)]);
  }
}

/** Copies the database at `storePath`, whether or not a node uses it. Without `nodeKeyHash` the backup has no MAC. */
export function backupWriter(
  storePath: string,
  onStep: BackupOptions["onStep"],
  nodeKeyHash?: string,
): BackupOptions["write"] {
  return async (path, warn) => {
    onStep("copying", { path: copyPathOf(path), bytes: statSync(storePath).size, next: "packing" });
    const created = createdMsOf(dirname(storePath));
    // In a worker thread, so that this one can show the progress.
    const { leftOut } = await buildBackupInWorker(realSystem, storePath, path, nodeKeyHash, created);
    if (leftOut !== undefined) warn(leftOut);
  };
}

/** Unpacks a backup of any size and verifies it completely, including the log. Throws if it is damaged. */
export async function unpackBackup(
  backup: Snapshot,
  target: string,
  limits: Limits,
  warn: WarningListener,
): Promise<void> {
  const unbounded = { ...limits, snapshotBytesMax: Number.MAX_SAFE_INTEGER };
  await unpackSnapshotInWorker(realSystem, backup, target, unbounded, warn);
  checkLogAt(target);
}

async function verifyBackup(
  file: string,
  unpacked: string,
  limits: Limits,
  warn: WarningListener,
  onStep: BackupOptions["onStep"],
): Promise<void> {
  try {
    const backup = openSnapshot(file);
    onStep("reading it again", { path: unpacked, bytes: backup.manifest.unpackedBytes, next: "checking it" });
    await unpackBackup(backup, unpacked, limits, warn);
  } catch (cause) {
    throw new AppError("internal", `the copy is damaged, so no backup was made: ${reasonOf(cause)}`, {
      cause,
    });
  }
}

const fileErrorReasons: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  EACCES: "it is not permitted",
  EPERM: "it is not permitted",
  EISDIR: "it is a directory",
  ENOTDIR: "its directory is a file",
  ENOSPC: "the disk is full",
  EROFS: "the file system is read-only",
};

/**
 * The error about a file that a user has named. It has the name, and what is wrong in words. `doing` is the failed
 * operation as a participle, such as `read`.
 */
export function fileError(path: string, doing: string, error: unknown): AppError {
  const { code } = error as { readonly code?: unknown };
  const why = typeof code === "string" ? fileErrorReasons[code] : undefined;
  if (why !== undefined)
    return new AppError("invalid_request", `\`${path}\` can't be ${doing}: ${why}`, { cause: error });
  const kind = error instanceof AppError ? error.code : "invalid_request";
  return new AppError(kind, `\`${path}\`: ${reasonOf(error)}`, { cause: error });
}
