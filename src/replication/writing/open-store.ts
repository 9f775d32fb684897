/**
 * The writer's connection to its database, with what belongs to it, and the transactions on it.
 */
import type { Limits } from "../../config/limits.ts";
import type { SqlDatabase, Transaction } from "../../runtime/sqlite.ts";
import { type Changes, whileChanging } from "../../store/changes.ts";
import { openStore } from "../../store/database.ts";
import { writeNodeSetting } from "../../store/keys.ts";
import { openLog, type Log } from "../../store/log.ts";
import { PageChecksums, type Checkpointed } from "../../store/page-checksums.ts";
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

/** From so many pages in the write-ahead log on, they are moved to the file after a commit. */
const logPagesMax = 1000;
/** How long a checkpoint that empties the log waits for readers, since writes wait for it. */
const checkpointWaitMs = 50;
const busyTimeoutMs = 5000;

/** Opens the file, and makes it where it is missing and may be made. */
export function openForWriting(options: OpenRequest, clock: Clock): Open {
  const { path, synchronous, create = true, reserveBytes = 0, limits, changes } = options;
  const store = openStore(path, { synchronous, create });
  let pages: PageChecksums | undefined;
  try {
    store.exec(ownCheckpoints);
    rememberIds(store);
    const guard = new StorageGuard(path, reserveBytes, limits, clock);
    const time = new SteadyClock(clock, limits.logAgeSteadyMs);
    pages = new PageChecksums(path);
    return { options, guard, time, store, pages, log: openLog(store), limits, changes };
  } catch (error) {
    store.close();
    pages?.close();
    throw error;
  }
}

/** SQLite makes none by itself, since nobody would know what it has written. */
const ownCheckpoints = "PRAGMA wal_autocheckpoint = 0";

/** Another connection to the same file. Throws a StorageError where that is not at its path any more. */
export function reopen(before: Open): Open {
  const { options, guard } = before;
  guard.requireFiles();
  const store = openStore(options.path, { synchronous: options.synchronous, create: false });
  try {
    guard.requireFiles();
    store.exec(ownCheckpoints);
    rememberIds(store);
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
}

/** Moves what is in the write-ahead log to the file where that is so many pages, as far as readers allow. To be called after each commit. Says whether it was moved. */
export function boundLog({ store, pages }: Pick<Open, "store" | "pages">, pagesMax = logPagesMax): boolean {
  if (pages.countUnmoved() < pagesMax) return false;
  pages.checkpoint(() => runCheckpoint(store, "PASSIVE"));
  return true;
}

/** Moves all of the WAL into the file and empties it, unless readers keep it from that for longer than writes may wait. */
export function emptyLog({ store, pages }: Pick<Open, "store" | "pages">): void {
  try {
    store.exec(`PRAGMA busy_timeout = ${checkpointWaitMs}`);
    pages.checkpoint(() => {
      // One that empties the log does not say how much was in it.
      const first = runCheckpoint(store, "PASSIVE");
      const second = runCheckpoint(store, "TRUNCATE");
      return first && second && second.isEmptied ? { ...first, moved: first.frames, isEmptied: true } : second;
    });
  } finally {
    store.exec(`PRAGMA busy_timeout = ${busyTimeoutMs}`);
  }
}

/** Undefined where another process makes one. */
function runCheckpoint(store: SqlDatabase, mode: "PASSIVE" | "TRUNCATE"): Checkpointed | undefined {
  const statement = store.prepare(`PRAGMA wal_checkpoint(${mode})`);
  const [isBusy, frames, moved] = (statement.values()[0] ?? []).map(Number);
  statement.finalize();
  if (frames === undefined || moved === undefined || moved < 0) return undefined;
  return { frames, moved, isEmptied: mode === "TRUNCATE" && isBusy === 0 };
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
