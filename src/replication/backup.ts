/**
 * A backup: one file with all that a node has (facts, policies, keys, the log, and what going back needs), made from one state of its database while
 * the node goes on. It has the form of a snapshot. Nobody is told that it is there before it was read again, unpacked, and found to be what was copied.
 */
import { renameSync } from "node:fs";
import type { Limits } from "../config/limits.ts";
import { openStore } from "../store/database.ts";
import { buildBackup, databaseFiles, openSnapshot, removeFiles, type Snapshot } from "../store/snapshot.ts";
import { checkHistory } from "./check-history.ts";
import { unpackSnapshotAside, type Warn } from "./snapshot-jobs.ts";
import { realSystem } from "./system.ts";

export interface BackupOptions {
  /** Where the backup is to be; what was there is replaced once the new one has proved good. */
  readonly target: string;
  /** Writes the backup into the file at `path`. */
  readonly write: (path: string) => Promise<unknown>;
  readonly limits: Limits;
  /** Hears what is done next. */
  readonly onStep: (step: string) => void;
  /** Hears of what is not as it should be and can be made from the facts. */
  readonly warn: Warn;
}

/** Throws, and leaves no file, where the backup is not good. */
export async function backUp({ target, write, limits, onStep, warn }: BackupOptions): Promise<Snapshot> {
  const [unchecked, unpacked] = [`${target}.unchecked`, `${target}.unpacked`];
  removeFiles([unchecked]);
  try {
    await write(unchecked);
    onStep("reading it again and checking it");
    await unpackSnapshotAside(realSystem, openSnapshot(unchecked), unpacked, limits, warn);
    checkLog(unpacked);
    renameSync(unchecked, target);
    return openSnapshot(target);
  } finally {
    removeFiles([unchecked, ...databaseFiles(unpacked)]);
  }
}

/** From the database at `storePath`, whether a node uses it or not. */
export function copyTo(storePath: string, onStep: BackupOptions["onStep"]): BackupOptions["write"] {
  return (path) => {
    onStep("copying");
    return buildBackup(storePath, path);
  };
}

function checkLog(path: string): void {
  const store = openStore(path, { readonly: true });
  try {
    checkHistory(store);
  } finally {
    store.close();
  }
}
