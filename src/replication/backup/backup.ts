/**
 * A backup: one file with all that a node has (facts, policies, keys, the log, and what going back needs), made from one state of its database while
 * the node goes on. It has the form of a snapshot. Nobody is told that it is there before it was read again, unpacked, and found to be what was copied.
 */
import { statSync } from "node:fs";
import { installFile } from "../../runtime/atomic-file.ts";
import type { Limits } from "../../config/limits.ts";
import { copyPathOf, databaseFiles, openSnapshot, removeFiles, type Snapshot } from "../../store/snapshot/snapshot.ts";
import { AppError } from "../../util/app-error.ts";
import { reasonOf } from "../../util/reason.ts";
import { fileError } from "../file-error.ts";
import type { OnStep } from "../progress.ts";
import { buildBackupInWorker, unpackSnapshotInWorker, type WarningListener } from "../snapshots/snapshot-jobs.ts";
import { realSystem } from "../system.ts";
import { checkLogAt } from "./check-log.ts";

export interface BackupOptions {
  /** Where the backup is to be; what was there is replaced once the new one has proved good. */
  readonly target: string;
  /** Writes the backup into the file at `path`. */
  readonly write: (path: string) => Promise<unknown>;
  readonly limits: Limits;
  readonly onStep: OnStep;
  /** Hears of what is not as it should be and can be made from the facts. */
  readonly warn: WarningListener;
}

/** Throws, and leaves no file, where the backup is not good. */
export async function backUp({ target, write, limits, onStep, warn }: BackupOptions): Promise<Snapshot> {
  const [unchecked, unpacked] = [`${target}.unchecked`, `${target}.unpacked`];
  removeFiles([unchecked]);
  try {
    await write(unchecked).catch((error: unknown) => {
      throw error instanceof AppError ? error : fileError(target, "written", error);
    });
    await verifyBackup(unchecked, unpacked, limits, warn, onStep);
    installFile(unchecked, target);
    return openSnapshot(target);
  } finally {
    removeFiles([unchecked, ...databaseFiles(unpacked)]);
  }
}

/** From the database at `storePath`, whether a node uses it or not. Without `nodeKeyHash` the backup has no MAC. */
export function backupWriter(
  storePath: string,
  onStep: BackupOptions["onStep"],
  nodeKeyHash?: string,
): BackupOptions["write"] {
  return (path) => {
    onStep("copying", { path: copyPathOf(path), bytes: statSync(storePath).size, next: "packing" });
    // In a worker thread, so that this one can show the progress.
    return buildBackupInWorker(realSystem, storePath, path, nodeKeyHash);
  };
}

/** Unpacks it, however large it is, and checks all of it, the log as well. Throws where it is not sound. */
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
    throw new AppError("internal", `what was copied is not sound, so there is no backup: ${reasonOf(cause)}`, {
      cause,
    });
  }
}
