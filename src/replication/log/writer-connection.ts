/**
 * The writer's connection to its database, with what belongs to it, and the transactions on it.
 */
import type { Limits } from "../../config/limits.ts";
import type { Transaction } from "../../runtime/sqlite.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { type SequenceLock, whileWriting } from "../../store/connection/sequence-lock.ts";
import { openStore } from "../../store/connection/open-store.ts";
import { writeNodeSetting } from "../../store/keys/api-keys.ts";
import { openLog, type Log } from "../../store/log/log.ts";
import { type CountFrames, PageChecksums } from "../../store/integrity/page-checksums.ts";
import type { Clock } from "../../util/clock.ts";
import { CheckedWallClock } from "../../util/checked-wall-clock.ts";
import { StorageGuard } from "./storage-guard.ts";

export interface WriterOpenOptions {
  readonly path: string;
  readonly environment: string;
  readonly synchronous: "FULL" | "NORMAL";
  readonly limits: Limits;
  /** False where a missing file is an error: an empty database in its place would begin another history. */
  readonly create?: boolean | undefined;
  /** Below so many free bytes ordinary writes are refused. */
  readonly reserveBytes?: number | undefined;
  /** To be told of every change. */
  readonly changes: SequenceLock;
}

export interface WriterConnection {
  readonly options: WriterOpenOptions;
  readonly guard: StorageGuard;
  /** Only where it is believed are events removed by age. */
  readonly steadyClock: CheckedWallClock;
  readonly store: Connection;
  readonly pages: PageChecksums;
  readonly log: Log;
  readonly limits: Limits;
  readonly changes: SequenceLock;
}

/** What was done in a transaction that is neither committed nor rolled back yet. */
export interface PendingTransaction<T> {
  readonly result: T;
  readonly transaction: Transaction;
}

/** With so many frames in the write-ahead log, a checkpoint follows a commit. SQLite's own default. */
const walFramesMax = 1000;
/** How long a checkpoint that empties the log waits for readers, since writes wait for it. */
const checkpointWaitMs = 50;
const busyTimeoutMs = 5000;
/** The writer makes checkpoints after commits, never within one. */
const noAutomaticCheckpoints = "PRAGMA wal_autocheckpoint = 0";

/** Opens the file, and makes it where it is missing and may be made. */
export function openWriterConnection(options: WriterOpenOptions, clock: Clock): WriterConnection {
  const { path, synchronous, create = true, reserveBytes = 0, limits, changes } = options;
  const store = openStore(path, { synchronous, create });
  let pages: PageChecksums | undefined;
  try {
    store.exec(noAutomaticCheckpoints);
    store.enableWriterCache();
    const guard = new StorageGuard(path, reserveBytes, limits, clock);
    const time = new CheckedWallClock(clock, limits.retentionClockSteadyMs);
    const pageBytes = Number(store.prepare("PRAGMA page_size").values()[0]?.[0]);
    pages = new PageChecksums(path, pageBytes, walFrameCounter(store));
    return { options, guard, steadyClock: time, store, pages, log: openLog(store), limits, changes };
  } catch (error) {
    store.close();
    pages?.close();
    throw error;
  }
}

/** Another connection to the same file. Throws a StorageError where that is not at its path any more. */
export function reopenWriterConnection(before: WriterConnection): WriterConnection {
  const { options, guard } = before;
  guard.requireFiles();
  const store = openStore(options.path, { synchronous: options.synchronous, create: false });
  try {
    guard.requireFiles();
    store.exec(noAutomaticCheckpoints);
    store.enableWriterCache();
    before.pages.reconnect(walFrameCounter(store));
    return { ...before, store, log: openLog(store) };
  } catch (error) {
    store.close();
    throw error;
  }
}

/** Throws where the disk does not take what is in the WAL, or a commit. */
export function verifyCommits(open: WriterConnection, nowMs: number): void {
  truncateWal(open);
  open.store.transaction(() => writeNodeSetting(open.store, "storage_probe", String(nowMs)), "immediate");
  open.pages.readWal();
}

type WalConnection = Pick<WriterConnection, "store" | "pages">;

/**
 * Reads what was committed. Makes a checkpoint if the log has `framesMax` frames or more; readers may keep it from moving all of them. To be called after
 * each commit. Returns whether there was a checkpoint.
 */
export function limitWal({ store, pages }: WalConnection, framesMax = walFramesMax): boolean {
  pages.readWal();
  if (pages.uncheckpointed < framesMax) return false;
  store.exec("PRAGMA wal_checkpoint(PASSIVE)");
  pages.readWal();
  return true;
}

/** Moves all of the WAL into the file and empties it, unless readers keep it from that for longer than writes may wait. */
export function truncateWal({ store, pages }: WalConnection): void {
  pages.readWal();
  try {
    store.exec(`PRAGMA busy_timeout = ${checkpointWaitMs}`);
    store.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  } finally {
    store.exec(`PRAGMA busy_timeout = ${busyTimeoutMs}`);
  }
  pages.readWal();
}

/** `NOOP` moves nothing (SQLite 3.51). */
export function walFrameCounter(store: Connection): CountFrames {
  const statement = store.prepare("PRAGMA wal_checkpoint(NOOP)");
  return () => {
    if (store.inTransaction) return undefined;
    const [, committed = -1, moved = -1] = (statement.values()[0] ?? []).map(Number);
    return moved < 0 ? undefined : { committed, checkpointed: moved };
  };
}

export function runTransaction<T>(open: WriterConnection, body: () => T): T {
  const { result, transaction } = beginTransaction(open, body);
  commitTransaction(open, transaction);
  return result;
}

/** Throws, with nothing left of it, also where the files of the database went away meanwhile: what is committed then nobody will find again. */
export function beginTransaction<T>({ store, guard }: WriterConnection, body: () => T): PendingTransaction<T> {
  const transaction = store.begin("immediate");
  try {
    const result = body();
    guard.requireFiles();
    return { result, transaction };
  } catch (error) {
    transaction.rollback();
    throw error;
  }
}

/** Before this nobody else can see anything of it. */
export function commitTransaction({ changes }: WriterConnection, transaction: Transaction): void {
  try {
    whileWriting(changes, () => transaction.commit());
  } catch (error) {
    transaction.rollback();
    throw error;
  }
}
