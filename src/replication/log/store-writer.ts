/**
 * The only connection that writes a node's store. Writes that wait together are committed together: one transaction, one fsync, but each request
 * in a savepoint and with an event of its own, so that a refused one spoils nothing. Usually in a thread of its own (`writer-worker.ts`).
 */
import type { Limits } from "../../config/limits.ts";
import { refreshDerived } from "../../engine/materialized/derived-tables.ts";
import { readNodeSetting, writeNodeSetting, type NodeSetting } from "../../store/keys/api-keys.ts";
import { expiredOffset, excessOffset } from "../../store/log/log-retention.ts";
import type { StoredLogRow } from "../../store/log/log.ts";
import { PageScrub, scrubTickMs } from "../../store/integrity/page-scrub.ts";
import { createState, findState, readState, requireEnvironment, type StoreState } from "../../store/log/store-state.ts";
import { firstTerm } from "../../store/log/terms.ts";
import { must } from "../../util/assert.ts";
import type { Clock } from "../../util/clock.ts";
import { reasonOf } from "../../util/reason.ts";
import { StorageError, storageFailureIn, type StorageFailure } from "../../util/storage-failure.ts";
import { mintEpoch } from "../position.ts";
import {
  append,
  idempotencyDigest,
  type Appended,
  type WriteMeta,
  type WriteRequest,
  type WriteResult,
} from "./append.ts";
import { replay, type ReplayResult, type ReplayRequest } from "./replay.ts";
import {
  beginTransaction,
  limitWal,
  runTransaction,
  commitTransaction,
  truncateWal,
  openWriterConnection,
  reopenWriterConnection,
  verifyCommits,
  type PendingTransaction,
  type WriterConnection,
  type WriterOpenOptions,
} from "./writer-connection.ts";
import { writeRefusal, spaceRequirementOf } from "./storage-guard.ts";

export interface CommittedWrite extends Omit<Appended, "row"> {
  readonly committedMs: number;
}

/** Where a commit leads. */
export interface StateChange {
  readonly state: StoreState;
  /** What was written, where it is no more than fits a message of the feed: so nobody has to read it again. Empty otherwise, and on a copy. */
  readonly rows: readonly StoredLogRow[];
}

/**
 * `moving` comes before a commit that may yet fail, `moved` after each that moved the position, to where the last `moving` said: so that little
 * is left to be said once it is on disk, when everybody waits for it. `committedMs` in ms since 1970 with a fraction: whoever has asked since then was
 * answered with it. `storage` comes each time that the storage begins to fail in another way, and with null when it works again.
 * `checkpoint` comes after each, with the bytes of the log before it. `clockSetMs` says by how much the wall clock was set. `damaged` comes each second while pages of the file at `path` are damaged. `trouble` is a failure
 * that nobody waits for.
 */
export type WriterEvent =
  | { readonly moving: StateChange }
  | { readonly moved: { readonly committedMs: number } }
  | { readonly storage: StorageFailure | null }
  | { readonly clockSetMs: number }
  | { readonly checkpoint: { readonly ms: number; readonly walBytes: number } }
  | { readonly damaged: { readonly path: string; readonly problem: string } }
  | { readonly trouble: string };

/** What a replay did. */
export interface CommittedReplay extends ReplayResult {
  /** When the replay began, in ms since 1970. */
  readonly startMs: number;
  readonly committedMs: number;
}

interface QueuedWrite {
  readonly request: WriteRequest;
  readonly meta: WriteMeta;
  readonly resolve: (committed: CommittedWrite) => void;
  readonly reject: (error: unknown) => void;
}

type WriteOutcome = { readonly appended: Appended; readonly name: string | undefined } | { readonly error: unknown };

interface GroupOutcome {
  readonly outcomes: readonly WriteOutcome[];
  readonly state: StoreState;
  readonly hasMoved: boolean;
}

/** Enough that a burst costs few fsyncs, few enough that the first of the group does not wait long for the last. */
const groupWritesMax = 256;
/** Requests that changed nothing, and so left no event that would remember them. */
const unchangedWritesMax = 10_000;
/** How often the files and the free space are looked at, and an attempt is made to end a failure. */
const storageCheckMs = 1000;
/** The longest that a commit is only in the log, unless readers keep it there. */
const walKeptMsMax = 30_000;
const pagesStepBytes = 2 ** 20;

export class StoreWriter {
  readonly #tell: (event: WriterEvent) => void;
  readonly #clock: Clock;
  readonly #idle = new Map<string, WriteResult>();
  #open: WriterConnection | undefined;
  /** Where the open store stands, as far as this has moved it. */
  #state: StoreState | undefined;
  #waiting: QueuedWrite[] = [];
  #trimmed = { offset: 0, atMs: Number.NEGATIVE_INFINITY };
  #checkpointAtMs = Number.NEGATIVE_INFINITY;
  #committedAtMs = Number.NEGATIVE_INFINITY;
  /** When the last checkpoint was made. */
  #movedAtMs = Number.NEGATIVE_INFINITY;
  #toldStorage: StorageFailure["reason"] | undefined;
  #cancelTimers = (): void => {};

  /** `tell` is called before and after each commit that moves the position. */
  constructor(tell: (event: WriterEvent) => void, clock: Clock) {
    this.#clock = clock;
    this.#tell = tell;
  }

  /** Opens the file, makes it where it is missing and may be made, and tells where it stands. Another file that was open before is closed. */
  open(options: WriterOpenOptions): StoreState {
    this.close();
    const open = openWriterConnection(options, this.#clock);
    this.#open = open;
    let state: StoreState;
    try {
      state = this.#begin(open);
    } catch (error) {
      this.close();
      throw error;
    }
    this.#state = state;
    this.#startTimers(open);
    this.#checkStorage();
    return state;
  }

  #startTimers({ pages, limits }: WriterConnection): void {
    const { path } = pages;
    const scrub = new PageScrub(pages, limits.scrubIntervalMs, {
      onDamage: (problem) => this.#tell({ damaged: { path, problem } }),
      onUnreadable: (reason) => this.#tell({ trouble: `the pages of \`${path}\` can't be compared: ${reason}` }),
    });
    const cancelCheck = this.#clock.every(storageCheckMs, () => this.#checkStorage());
    const cancelScrub = this.#clock.every(scrubTickMs, () => scrub.tick());
    this.#cancelTimers = () => {
      cancelCheck();
      cancelScrub();
      scrub.stop();
    };
  }

  /** Makes what a store lacks. Gives where it stands. */
  #begin(open: WriterConnection): StoreState {
    const { store, limits } = open;
    const { environment } = open.options;
    const state = runTransaction(open, () => {
      const found = findState(store) ?? createState(store, environment, mintEpoch(this.#clock), firstTerm);
      if (found.environment === environment) refreshDerived(store, limits, false);
      return found;
    });
    requireEnvironment(state, environment);
    return state;
  }

  /** Queues a write; those that are queued when the thread gets round to it share a transaction. */
  write(request: WriteRequest, meta: WriteMeta): Promise<CommittedWrite> {
    if (this.#waiting.length === 0) setImmediate(() => this.#commitWaiting());
    return new Promise((resolve, reject) => this.#waiting.push({ request, meta, resolve, reject }));
  }

  /** Applies what a primary wrote, all or none. AppError `conflict` where it does not follow, or leads to another state. */
  replay(request: ReplayRequest): CommittedReplay {
    const startMs = this.#clock.preciseMs();
    const open = this.#requireStorage();
    let result: ReplayResult;
    try {
      const begun = this.#apply(open, request);
      commitTransaction(open, begun.transaction);
      ({ result } = begun);
    } catch (error) {
      this.#storageFailed(open, error);
      throw error;
    }
    const committedMs = this.#clock.preciseMs();
    this.#committedAtMs = this.#clock.monotonicMs();
    const { state } = result;
    this.#state = state;
    if (request.rows.length > 0) this.#tell({ moved: { committedMs } });
    this.#trim(open, state);
    this.#boundWal(open);
    return { ...result, startMs, committedMs };
  }

  #apply(open: WriterConnection, request: ReplayRequest): PendingTransaction<ReplayResult> {
    const { store, log, limits } = open;
    return beginTransaction(open, () => {
      const replayed = replay(store, log, request, limits, this.#state);
      this.#tell({ moving: { state: replayed.state, rows: [] } });
      return replayed;
    });
  }

  readSetting(key: NodeSetting): string | undefined {
    return readNodeSetting(must(this.#open).store, key);
  }

  writeSetting(key: NodeSetting, value: string): void {
    const { store, pages } = this.#requireStorage();
    writeNodeSetting(store, key, value);
    pages.readWal();
  }

  /**
   * Copies what is open into a new file at `target` where the files at its path are gone or others, and says whether they are: then nobody can read the
   * database by its path any more.
   */
  copyIfReplaced(target: string): boolean {
    const { guard, store } = must(this.#open);
    try {
      guard.requireFiles();
      return false;
    } catch (error) {
      if (storageFailureIn(error)?.reason !== "replaced") throw error;
    }
    store.exec(`VACUUM INTO '${target.replaceAll("'", "''")}'`);
    return true;
  }

  /** Compares the pages of the file for at most `maxMs`. Resolves with the damage that is known then. */
  async checkPages(maxMs: number): Promise<string | undefined> {
    const { pages } = must(this.#open);
    const endMs = this.#clock.monotonicMs() + maxMs;
    for (let next = 1; this.#open?.pages === pages;) {
      next = pages.check(next, pagesStepBytes);
      if (next === 1 || this.#clock.monotonicMs() >= endMs) break;
      await new Promise(setImmediate);
    }
    return pages.problem;
  }

  /** Reads the damaged pages of the file at `path` again. Returns the damage that is left. Throws where another file is open. */
  checkDamagedPages(path: string): string | undefined {
    const { pages } = must(this.#open);
    if (pages.path !== path) throw new Error(`\`${path}\` is not the file that is open`);
    return pages.checkDamaged();
  }

  /** Lets go of the file, with everything in it and nothing in the WAL. */
  close(): void {
    const { store, pages } = this.#open ?? {};
    // Gone whatever happens: a file that is damaged must not keep its successor from being opened.
    this.#open = undefined;
    this.#state = undefined;
    this.#cancelTimers();
    try {
      store?.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    } catch (error) {
      // Whatever is in the WAL is found there by the next one who opens the file.
      if (storageFailureIn(error) === undefined) throw error;
    } finally {
      pages?.close();
      store?.close();
    }
  }

  #commitWaiting(): void {
    const group = this.#waiting.slice(0, groupWritesMax);
    this.#waiting = this.#waiting.slice(group.length);
    if (this.#waiting.length > 0) setImmediate(() => this.#commitWaiting());
    let open = this.#open;
    let begun: PendingTransaction<GroupOutcome> | undefined;
    try {
      open = this.#requireStorage();
      begun = beginTransaction(open, () => this.#attemptAll(must(this.#open), group));
      commitTransaction(open, begun.transaction);
    } catch (error) {
      // Of the group nothing can be seen.
      if (open !== undefined) this.#storageFailed(open, error);
      const reason = writeRefusal(error, begun !== undefined);
      for (const write of group) write.reject(reason);
      return;
    }
    const committedMs = this.#clock.preciseMs();
    this.#committedAtMs = this.#clock.monotonicMs();
    const { outcomes, state, hasMoved } = begun.result;
    this.#state = state;
    if (hasMoved) this.#tell({ moved: { committedMs } });
    group.forEach((write, index) => this.#settle(write, must(outcomes[index]), committedMs));
    this.#trim(open, state);
    this.#boundWal(open);
  }

  #settle(write: QueuedWrite, outcome: WriteOutcome, committedMs: number): void {
    if ("error" in outcome) return write.reject(outcome.error);
    const { appended, name } = outcome;
    const { result, startMs, decidedMs } = appended;
    // Only now: what it found done already may have been part of the same commit.
    if (result.unchanged === true && name !== undefined) this.#remember(name, result);
    write.resolve({ result, startMs, decidedMs, committedMs });
  }

  /** What is open, where its storage works. A failure that is over ends here; one that is not is thrown again. */
  #requireStorage(): WriterConnection {
    const open = must(this.#open, "the writer has a store open");
    const { guard } = open;
    if (guard.failure === undefined) {
      guard.requireFiles();
      return open;
    }
    guard.requirePause();
    return this.#recover(open);
  }

  /**
   * Opens the file again, since a connection that saw a failure may know less than it should, and commits something. That overwrites what a failed
   * commit may have left behind in the WAL, which a start after a crash would otherwise take for committed. Throws where it fails.
   */
  #recover(before: WriterConnection): WriterConnection {
    const open = reopenWriterConnection(before);
    this.#open = open;
    before.store.close();
    verifyCommits(open, this.#clock.wallMs());
    this.#continueFrom(readState(open.store));
    open.guard.recordRecovery();
    this.#tellStorage(open.guard.problem);
    return open;
  }

  /** The file was opened again and stands here. */
  #continueFrom(state: StoreState): void {
    const known = must(this.#state, "the writer knows where its store stands");
    if (state.offset < known.offset || (state.offset === known.offset && state.hash !== known.hash))
      throw new StorageError(
        "STORE_REPLACED",
        `the database is at offset ${state.offset}, this node had come to ${known.offset}`,
      );
    if (state.offset === known.offset) return;
    this.#state = state;
    this.#tell({ moving: { state, rows: [] } });
    this.#tell({ moved: { committedMs: this.#clock.preciseMs() } });
  }

  #storageFailed({ guard }: WriterConnection, error: unknown): void {
    if (guard.recordFailure(error)) this.#tellStorage(guard.problem);
  }

  #tellStorage(problem: StorageFailure | undefined): void {
    if (problem?.reason === this.#toldStorage) return;
    this.#toldStorage = problem?.reason;
    this.#tell({ storage: problem ?? null });
  }

  /** On a timer, so that a node that nobody writes to notices what happens to its files, and when it is over. */
  #checkStorage(): void {
    const open = this.#open;
    if (open === undefined) return;
    const clockSetMs = open.steadyClock.observe();
    if (clockSetMs !== undefined) this.#tell({ clockSetMs });
    try {
      open.guard.check();
      if (open.guard.failure !== undefined) this.#recover(open);
      else this.#moveLog(open);
    } catch (error) {
      // Whatever else it is, the next write meets it.
      open.guard.recordFailure(error);
    }
    this.#tellStorage(open.guard.problem);
  }

  /**
   * The scrub compares pages of the file, so what is only in the log must not stay there for long. A checkpoint delays a write by two syncs of the disk:
   * it is made when nothing was written for a while, and every 30 s otherwise.
   */
  #moveLog(open: WriterConnection): void {
    const now = this.#clock.monotonicMs();
    const isIdle = now - this.#committedAtMs >= storageCheckMs;
    this.#boundWal(open, isIdle || now - this.#movedAtMs >= walKeptMsMax ? 1 : undefined);
  }

  /** A WAL is used again from its start only when no reader needs it any more, so under steady reads it would grow for ever. */
  #boundWal(open: WriterConnection, framesMax?: number): void {
    const now = this.#clock.monotonicMs();
    const { walBytes } = open.guard;
    const made = (): void => {
      this.#movedAtMs = now;
      this.#tell({ checkpoint: { ms: Math.round(this.#clock.monotonicMs() - now), walBytes } });
    };
    try {
      const isLong = open.guard.walBytes > open.limits.walCheckpointBytes;
      if (!isLong || now - this.#checkpointAtMs < storageCheckMs) {
        if (limitWal(open, framesMax)) made();
        return;
      }
      this.#checkpointAtMs = now;
      truncateWal(open);
      made();
    } catch (error) {
      // The writes are committed and answered. A later commit tries again.
      if (storageFailureIn(error) === undefined)
        this.#tell({ trouble: `no checkpoint can be made: ${reasonOf(error)}` });
      this.#storageFailed(open, error);
    }
  }

  /** Inside the caller's transaction. Whatever can be done before its commit is, since others wait for what comes after that. */
  #attemptAll({ store, limits }: WriterConnection, group: readonly QueuedWrite[]): GroupOutcome {
    const outcomes = group.map((write) => this.#attempt(write));
    const rows = outcomes.flatMap((outcome) =>
      "appended" in outcome && outcome.appended.row !== undefined ? [outcome.appended.row] : [],
    );
    const state = readState(store);
    const hasMoved = rows.length > 0;
    if (hasMoved) this.#tell({ moving: { state, rows: rowsForMessage(rows, limits) } });
    return { outcomes, state, hasMoved };
  }

  /** Only what is appended needs space: what is so already, or was done before, is answered on any disk. */
  #attempt({ request, meta }: QueuedWrite): WriteOutcome {
    const { store, log, limits, guard } = must(this.#open);
    let refused: unknown;
    const admit = (): void => {
      try {
        guard.requireSpace(spaceRequirementOf(request));
      } catch (error) {
        this.#tellStorage(guard.problem);
        throw (refused = writeRefusal(error, false));
      }
    };
    const name = idempotencyDigest(request, meta);
    const idle = name === undefined ? undefined : this.#idle.get(name);
    const now = this.#clock.preciseMs();
    if (idle !== undefined) return { appended: { result: idle, startMs: now, decidedMs: now, row: undefined }, name };
    store.exec("SAVEPOINT request");
    try {
      const appended = append(store, log, request, { timeMs: this.#clock.wallMs(), ...meta }, limits, admit);
      store.exec("RELEASE request");
      return { appended, name };
    } catch (error) {
      const isRefused = refused !== undefined && error === refused;
      // A failing disk fails the whole transaction, and may have ended it already.
      if (!isRefused && (storageFailureIn(error) !== undefined || !store.inTransaction)) throw error;
      store.exec("ROLLBACK TO request");
      store.exec("RELEASE request");
      return { error };
    }
  }

  #remember(request: string, result: WriteResult): void {
    this.#idle.set(request, result);
    if (this.#idle.size <= unchangedWritesMax) return;
    const oldest = this.#idle.keys().next();
    if (!oldest.done) this.#idle.delete(oldest.value);
  }

  /** Keeps the log short, a tenth of its length at a time or now and then, so that most commits don't pay for it. */
  #trim(open: WriterConnection, { offset }: StoreState): void {
    const { store, log, limits, steadyClock: time } = open;
    const now = this.#clock.monotonicMs();
    const grown = offset - this.#trimmed.offset > limits.retentionEvents / 10;
    if (!grown && now - this.#trimmed.atMs < limits.logTrimIntervalMs) return;
    this.#trimmed = { offset, atMs: now };
    const retention = { events: limits.retentionEvents, bytes: limits.retentionBytes };
    try {
      const { nowMs } = time;
      const aged = nowMs === undefined ? undefined : expiredOffset(store, limits.retentionAgeMs, nowMs);
      const excess = Math.max(excessOffset(store, retention) ?? 0, aged ?? 0);
      if (excess > 0) store.transaction(() => log.trim(excess), "immediate");
      // Slowly, so that somebody may notice that the clock is wrong.
      if (aged !== undefined) time.restart();
    } catch (error) {
      // The writes are committed and answered, the log is only longer than it has to be, and a later commit tries again.
      this.#storageFailed(open, error);
    }
  }
}

function rowsForMessage(
  rows: readonly StoredLogRow[],
  { publishBatchEventsMax, publishBatchBytesMax }: Limits,
): readonly StoredLogRow[] {
  const bytes = rows.reduce((sum, { body }) => sum + Buffer.byteLength(body), 0);
  return rows.length <= publishBatchEventsMax && bytes <= publishBatchBytesMax ? rows : [];
}
