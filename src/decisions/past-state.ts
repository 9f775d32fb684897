/**
 * The data of an earlier moment: a copy of the database that is taken back along its log, one event after another
 * (`replication/backup/point-in-time.ts`). The copy stays, so that an earlier moment continues from it.
 */
import { existsSync } from "node:fs";
import type { Limits } from "../config/limits.ts";
import { recoverTo } from "../replication/backup/point-in-time.ts";
import type { Connection } from "../store/connection/connection.ts";
import { openStore } from "../store/connection/open-store.ts";
import { openLog } from "../store/log/log.ts";
import { earliestData } from "../store/log/point-in-time.ts";
import { readState, type Revision, zeroHash } from "../store/log/store-state.ts";
import { databaseFiles, removeFiles } from "../store/snapshot/snapshot.ts";
import { copyStore } from "../store/snapshot/store-copy.ts";
import { AppError } from "../util/app-error.ts";
import { readEpochs, containsOffset } from "../store/log/epochs.ts";

export interface PastStateOptions {
  /** The database of the node. */
  readonly storePath: string;
  /** The place of the copy. */
  readonly copyPath: string;
  readonly limits: Limits;
}

/**
 * Runs `body` on the data at a position; a writable copy only if `isWritable`. AppError `gone` if the log of this node
 * does not reach back so far, or if its history does not have the position.
 */
export function atPosition<T>(
  position: Revision,
  { storePath, copyPath, limits }: PastStateOptions,
  isWritable: boolean,
  body: (store: Connection) => T,
): T {
  const live = openStore(storePath, { readonly: true });
  try {
    const present = live.begin();
    try {
      if (!isWritable && isAt(live, position)) return body(live);
      requirePosition(live, position);
      if (!continuesTo(live, copyPath, position)) replaceCopy(storePath, copyPath);
    } finally {
      present.rollback();
    }
  } finally {
    live.close();
  }
  const copy = openStore(copyPath, { wal: false, convert: true });
  try {
    // An interrupted recovery starts again from the database.
    copy.exec("PRAGMA synchronous = OFF");
    goBack(copy, position.offset, limits);
    if (!isAt(copy, position)) throw unreachable(position);
    const transaction = copy.begin("immediate");
    try {
      return body(copy);
    } finally {
      transaction.rollback();
    }
  } finally {
    copy.close();
  }
}

function isAt(store: Connection, { epoch, offset }: Revision): boolean {
  const state = readState(store);
  return state.epoch === epoch && state.offset === offset;
}

function requirePosition(live: Connection, { epoch, offset }: Revision): void {
  const { offset: end } = readState(live);
  const isInHistory = containsOffset(readEpochs(live), end, epoch, offset) === true;
  if (!isInHistory || offset < earliestData(live)) throw unreachable({ epoch, offset });
}

/** Whether the copy is of this history, and not before the position. */
function continuesTo(live: Connection, copyPath: string, { offset }: Revision): boolean {
  if (!existsSync(copyPath)) return false;
  try {
    const copy = openStore(copyPath, { readonly: true });
    try {
      const state = readState(copy);
      const now = readState(live);
      const hash = state.offset === now.offset ? now.hash : (openLog(live).hashAt(state.offset) ?? zeroHash);
      return state.offset >= offset && hash === state.hash;
    } finally {
      copy.close();
    }
  } catch {
    // A process that was killed while it made the copy has left a part.
    return false;
  }
}

function replaceCopy(storePath: string, copyPath: string): void {
  removeFiles(databaseFiles(copyPath));
  copyStore(storePath, copyPath, "backup");
}

function goBack(copy: Connection, offset: number, limits: Limits): void {
  try {
    recoverTo(copy, offset, limits);
  } catch (cause) {
    if (!(cause instanceof AppError)) throw cause;
    throw new AppError("gone", `the data of that time cannot be reconstructed: ${cause.message}`, { cause });
  }
}

function unreachable({ epoch, offset }: Revision): AppError {
  return new AppError(
    "gone",
    `the log of this node does not reach back to offset ${offset} of the epoch ${epoch}, or another history has replaced it`,
  );
}
