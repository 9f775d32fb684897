/**
 * The writer's connection to its database, with what belongs to it, and the transactions on it.
 */
import type { Limits } from "../../config/limits.ts";
import type { SqlDatabase, Transaction } from "../../runtime/sqlite.ts";
import { type Changes, whileChanging } from "../../store/changes.ts";
import { openStore } from "../../store/database.ts";
import { writeNodeSetting } from "../../store/keys.ts";
import { openLog, type Log } from "../../store/log.ts";
import { type CountFrames, PageChecksums } from "../../store/page-checksums.ts";
import { rememberIds } from "../../store/remembered.ts";
import type { Clock } from "../../util/clock.ts";
import { SteadyClock } from "../../util/steady-clock.ts";
import { StorageGuard } from "./storage-guard.ts";

export interface OpenRequest {
  readonly path: string;
  readonly environment: string;
  readonly synchronous: "FULL" | "NORMAL";
  readonly limits: Limits;
  /** False where a missing file is an error: an empty database in its place would begin another history. */
  readonly create?: boolean | undefined;
  /** Below so many free bytes ordinary writes are refused. */
  readonly reserveBytes?: number | undefined;
  /** To be told of every change. */
  readonly changes: Changes;
}

export interface Open {
  readonly options: OpenRequest;
  readonly guard: StorageGuard;
  /** Only where it is believed are events removed by age. */
  readonly time: SteadyClock;
  readonly store: SqlDatabase;
  readonly pages: PageChecksums;
  readonly log: Log;
  readonly limits: Limits;
  readonly changes: Changes;
}

/** What was done in a transaction that is neither committed nor rolled back yet. */
export interface Begun<T> {
  readonly result: T;
  readonly transaction: Transaction;
}

/** With so many frames in the write-ahead log, a checkpoint follows a commit. SQLite's own default. */
const logFramesMax = 1000;
/** How long a checkpoint that empties the log waits for readers, since writes wait for it. */
const checkpointWaitMs = 50;
const busyTimeoutMs = 5000;
/** The writer makes checkpoints after commits, never within one. */
const noAutomaticCheckpoints = "PRAGMA wal_autocheckpoint = 0";

/** Opens the file, and makes it where it is missing and may be made. */
export function openForWriting(options: OpenRequest, clock: Clock): Open {
  const { path, synchronous, create = true, reserveBytes = 0, limits, changes } = options;
  const store = openStore(path, { synchronous, create });
  let pages: PageChecksums | undefined;
  try {
    store.exec(noAutomaticCheckpoints);
    rememberIds(store);
    const guard = new StorageGuard(path, reserveBytes, limits, clock);
    const time = new SteadyClock(clock, limits.logAgeSteadyMs);
    const pageBytes = Number(store.prepare("PRAGMA page_size").values()[0]?.[0]);
    pages = new PageChecksums(path, pageBytes, frameCounter(store));
    return { options, guard, time, store, pages, log: openLog(store), limits, changes };
  } catch (error) {
    store.close();
    pages?.close();
    throw error;
  }
}

/** Another connection to the same file. Throws a StorageError where that is not at its path any more. */
export function reopen(before: Open): Open {
  const { options, guard } = before;
  guard.requireFiles();
  const store = openStore(options.path, { synchronous: options.synchronous, create: false });
  try {
    guard.requireFiles();
    store.exec(noAutomaticCheckpoints);
    rememberIds(store);
    before.pages.reconnect(frameCounter(store));
    return { ...before, store, log: openLog(store) };
  } catch (error) {
    store.close();
    throw error;
  }
}

/** Throws where the disk does not take what is in the WAL, or a commit. */
export function requireCommits(open: Open, nowMs: number): void {
  emptyLog(open);
  open.store.transaction(() => writeNodeSetting(open.store, "storage_probe", String(nowMs)), "immediate");
  open.pages.readLog();
}

type Logged = Pick<Open, "store" | "pages">;

/**
 * Reads what was committed. Makes a checkpoint if the log has `framesMax` frames or more; readers may keep it from moving all of them. To be called after
 * each commit. Returns whether there was a checkpoint.
 */
export function boundLog({ store, pages }: Logged, framesMax = logFramesMax): boolean {
  pages.readLog();
  if (pages.unmoved < framesMax) return false;
  store.exec("PRAGMA wal_checkpoint(PASSIVE)");
  pages.readLog();
  return true;
}

/** Moves all of the WAL into the file and empties it, unless readers keep it from that for longer than writes may wait. */
export function emptyLog({ store, pages }: Logged): void {
  pages.readLog();
  try {
    store.exec(`PRAGMA busy_timeout = ${checkpointWaitMs}`);
    store.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  } finally {
    store.exec(`PRAGMA busy_timeout = ${busyTimeoutMs}`);
  }
  pages.readLog();
}

/** `NOOP` moves nothing (SQLite 3.51). */
export function frameCounter(store: SqlDatabase): CountFrames {
  const statement = store.prepare("PRAGMA wal_checkpoint(NOOP)");
  return () => {
    if (store.inTransaction) return undefined;
    const [, committed = -1, moved = -1] = (statement.values()[0] ?? []).map(Number);
    return moved < 0 ? undefined : { committed, moved };
  };
}

export function change<T>(open: Open, body: () => T): T {
  const { result, transaction } = begin(open, body);
  commit(open, transaction);
  return result;
}

/** Throws, with nothing left of it, also where the files of the database went away meanwhile: what is committed then nobody will find again. */
export function begin<T>({ store, guard }: Open, body: () => T): Begun<T> {
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
export function commit({ changes }: Open, transaction: Transaction): void {
  try {
    whileChanging(changes, () => transaction.commit());
  } catch (error) {
    transaction.rollback();
    throw error;
  }
}
