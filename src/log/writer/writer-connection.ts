/** The writer's connection to its database, and the transactions on it. */
import { dirname } from "node:path";
import type { Limits } from "../../config/limits.ts";
import type { Transaction } from "../../runtime/sqlite.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { type SequenceLock, whileWriting } from "../../store/connection/sequence-lock.ts";
import type { MovedListener } from "../../store/connection/added-tables.ts";
import { openStore } from "../../store/connection/open-store.ts";
import { writeNodeSetting } from "../../store/keys/api-keys.ts";
import { openLog, type Log } from "../../store/log/log.ts";
import { formatOfNewStore } from "../../store/directory/migrate.ts";
import { type CountFrames, PageChecksums } from "../../store/integrity/page-checksums.ts";
import type { Clock } from "../../util/clock.ts";
import { CheckedWallClock } from "../../util/checked-wall-clock.ts";
import { StorageGuard, type StorageGuardOptions } from "./storage-guard.ts";

export interface WriterOpenOptions extends StorageGuardOptions {
  readonly environment: string;
  readonly synchronous: "FULL" | "NORMAL";
  /** False if a missing file is an error: an empty database in its place would begin another history. */
  readonly create?: boolean | undefined;
  /** Is told about every change. */
  readonly changes: SequenceLock;
}

export interface WriterConnection {
  readonly options: WriterOpenOptions;
  readonly guard: StorageGuard;
  /** Events are removed by age only while this clock is trusted. */
  readonly steadyClock: CheckedWallClock;
  readonly store: Connection;
  readonly pages: PageChecksums;
  readonly log: Log;
  readonly limits: Limits;
  readonly changes: SequenceLock;
}

/** The result of a transaction that is neither committed nor rolled back yet. */
export interface PendingTransaction<T> {
  readonly result: T;
  readonly transaction: Transaction;
}

/** A checkpoint follows a commit if the write-ahead log has this many frames. This is SQLite's own default. */
const walFramesMax = 1000;
/** How long a checkpoint that empties the write-ahead log waits for readers, since writes wait for it. */
const checkpointWaitMs = 50;
const busyTimeoutMs = 5000;
/** The writer makes checkpoints after commits, never within one. */
const noAutomaticCheckpoints = "PRAGMA wal_autocheckpoint = 0";

/** Opens the file, and creates it if it is missing and may be created. */
export function openWriterConnection(
  options: WriterOpenOptions,
  clock: Clock,
  onMoved: MovedListener,
): WriterConnection {
  const { path, synchronous, create = true, limits, changes } = options;
  const newFormat = formatOfNewStore(dirname(path));
  const store = openStore(path, { synchronous, create, newFormat, addedTables: onMoved });
  let pages: PageChecksums | undefined;
  try {
    store.exec(noAutomaticCheckpoints);
    store.enableWriterCache();
    const guard = new StorageGuard(options, clock);
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

/** Opens another connection to the same file. Throws a StorageError if the file is not at its path any more. */
export function reopenWriterConnection(before: WriterConnection, onMoved: MovedListener): WriterConnection {
  const { options, guard } = before;
  guard.requireFiles();
  const store = openStore(options.path, { synchronous: options.synchronous, create: false, addedTables: onMoved });
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

/** Throws if the disk does not accept the content of the write-ahead log, or a commit. */
export function verifyCommits(connection: WriterConnection, nowMs: number): void {
  truncateWal(connection);
  connection.store.transaction(() => writeNodeSetting(connection.store, "storage_probe", String(nowMs)), "immediate");
  connection.pages.readWal();
}

type WalConnection = Pick<WriterConnection, "store" | "pages">;

/** Call it after each commit. Makes a checkpoint at `framesMax` frames, as far as readers let it; then returns true. */
export function limitWal({ store, pages }: WalConnection, framesMax = walFramesMax): boolean {
  pages.readWal();
  if (pages.uncheckpointed < framesMax) return false;
  store.exec("PRAGMA wal_checkpoint(PASSIVE)");
  pages.readWal();
  return true;
}

/** Copies the write-ahead log of the added tables into their file. They are seldom written without the database. */
export function limitAddedWal({ store }: Pick<WriterConnection, "store">): void {
  if (store.hasAddedTables) store.exec("PRAGMA added.wal_checkpoint(PASSIVE)");
}

/** Copies the write-ahead log into the file and empties it, unless readers prevent it for `checkpointWaitMs`. */
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

/** The checkpoint mode `NOOP` copies nothing (SQLite 3.51). */
export function walFrameCounter(store: Connection): CountFrames {
  const statement = store.prepare("PRAGMA wal_checkpoint(NOOP)");
  return () => {
    if (store.inTransaction) return undefined;
    const [, committed = -1, checkpointed = -1] = (statement.values()[0] ?? []).map(Number);
    return checkpointed < 0 ? undefined : { committed, checkpointed };
  };
}

/** Runs `body`. If it throws, or the files of the database are gone, the transaction is rolled back. */
export function beginTransaction<T>(connection: WriterConnection, body: () => T): PendingTransaction<T> {
  return continueTransaction(connection, connection.store.begin("immediate"), body);
}

/** As `beginTransaction`, in a transaction that is open already. */
export function continueTransaction<T>(
  { guard }: WriterConnection,
  transaction: Transaction,
  body: () => T,
): PendingTransaction<T> {
  try {
    const result = body();
    guard.requireFiles();
    return { result, transaction };
  } catch (error) {
    transaction.rollback();
    throw error;
  }
}

/** Makes the transaction visible to others. */
export function commitTransaction({ changes }: WriterConnection, transaction: Transaction): void {
  try {
    whileWriting(changes, () => transaction.commit());
  } catch (error) {
    transaction.rollback();
    throw error;
  }
}
