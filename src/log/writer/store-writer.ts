/**
 * The only connection that writes a node's store. Waiting writes are committed together, in one transaction with one
 * fsync. Each request has its own savepoint and event, so that a refused request does not affect the others. It usually
 * runs in a thread of its own (`writer-worker.ts`).
 *
 * While a primary applies and commits an event, a replica can prepare it: it applies the event in a transaction that it
 * leaves open. INVARIANT: only a replay of the same event, which the primary has committed, commits that transaction. Any
 * other use of the connection rolls it back first.
 */
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { LRUCache } from "lru-cache";
import type { Limits } from "../../config/limits.ts";
import { refreshDerived } from "../derived/derived-tables.ts";
import type { Effect } from "../event/event.ts";
import { readNodeSetting, writeNodeSetting, type NodeSetting } from "../../store/keys/api-keys.ts";
import type { AuditEntry } from "../../store/log/audit-entry.ts";
import {
  addAuditEntries,
  copyAddedAuditEntries,
  copyAuditEntries,
  detachAuditEntries,
  markAuditReceived,
} from "../../store/log/audit-log.ts";
import type { Connection } from "../../store/connection/connection.ts";
import {
  addedTablesPath,
  attachAddedTables,
  detachAddedTables,
  hasDamagedAddedTables,
  readAddedTablesId,
  removeAddedTables,
  writeAddedTablesId,
} from "../../store/connection/added-tables.ts";
import { openStore } from "../../store/connection/open-store.ts";
import type { StoredLogRow } from "../../store/log/log.ts";
import { closeRawFiles } from "../../store/integrity/raw-files.ts";
import { PageScrub, scrubTickMs } from "../../store/integrity/page-scrub.ts";
import { createState, findState, readState, requireEnvironment, type StoreState } from "../../store/log/store-state.ts";
import { firstTerm } from "../../store/log/terms.ts";
import { must } from "../../util/assert.ts";
import type { Clock } from "../../util/clock.ts";
import { reasonOf } from "../../util/reason.ts";
import { isDamage, StorageError, storageFailureIn, type StorageFailure } from "../../util/storage-failure.ts";
import { mintEpoch } from "../event/position.ts";
import {
  append,
  idempotencyDigest,
  type Appended,
  type NextEvent,
  type WriteMeta,
  type WriteRequest,
  type WriteResult,
} from "../append/append.ts";
import { FactRate } from "./fact-rate.ts";
import { LogTrimmer, trimAuditLog } from "./log-trimmer.ts";
import { applyEvents, completeReplay, type ReplayResult, type ReplayRequest } from "../append/replay.ts";
import {
  beginTransaction,
  limitAddedWal,
  limitWal,
  commitTransaction,
  continueTransaction,
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

/** The change that a commit makes. */
export interface StateChange {
  readonly state: StoreState;
  /** The committed rows if they fit into one message of the event stream. Empty otherwise, and on replicas. */
  readonly rows: readonly StoredLogRow[];
}

/**
 * Events of the writer:
 * - `next` comes before an event of facts is applied that is alone in its transaction and fits into a message of the event
 *   stream, if `announce` has asked for it. Nothing may come of it.
 * - `committing` comes before a commit, which may still fail. `committed` comes after each commit that changed the
 *   state to that of the last `committing`. So little remains to be sent after the sync, when everyone waits for it.
 *   `committedMs` is in ms since 1970 with a fraction; queries that began later see the commit.
 * - `storage` comes when the storage begins to fail in another way, and with null when it works again.
 * - `checkpoint` comes after each checkpoint, with the size of the write-ahead log before it.
 * - `clockSetMs` tells by how much the wall clock was set.
 * - `damaged` comes each second while pages of the file at `path` are damaged.
 * - `addedTablesReplaced` comes when tables beside the database may have been replaced: readers can have earlier ones.
 * - `auditLoss` says which part of the audit log this node has lost because of a damaged file.
 * - `trouble` is a failure without a waiting caller.
 */
export type WriterEvent =
  | { readonly next: NextEvent }
  | { readonly committing: StateChange }
  | { readonly committed: { readonly committedMs: number } }
  | { readonly storage: StorageFailure | null }
  | { readonly clockSetMs: number }
  | { readonly checkpoint: { readonly ms: number; readonly walBytes: number } }
  | { readonly damaged: { readonly path: string; readonly problem: string } }
  | { readonly addedTablesReplaced: true }
  | { readonly auditLoss: string }
  | { readonly trouble: string };

/** Entries for the audit log, and what this node has exchanged with the primary then. */
export interface AuditExchange {
  readonly entries: readonly AuditEntry[];
  /** Whether the primary has these entries. */
  readonly received: boolean;
  /** The new value of `audit_received` or `audit_sent`. */
  readonly progress?: { readonly key: "audit_received" | "audit_sent"; readonly value: string };
}

/** The result of a committed replay. */
export interface CommittedReplay extends ReplayResult {
  /** When the replay began, in ms since 1970. */
  readonly startMs: number;
  readonly committedMs: number;
  /** Whether the event had been prepared. */
  readonly wasPrepared: boolean;
}

/** An event that is applied in an open transaction. */
interface PreparedReplay extends PendingTransaction<ReplayResult> {
  readonly request: ReplayRequest;
}

interface QueuedWrite {
  readonly request: WriteRequest;
  readonly meta: WriteMeta;
  readonly resolve: (committed: CommittedWrite) => void;
  readonly reject: (error: unknown) => void;
}

type WriteOutcome = { readonly appended: Appended; readonly digest: string | undefined } | { readonly error: unknown };

interface GroupOutcome {
  readonly outcomes: readonly WriteOutcome[];
  readonly state: StoreState;
  readonly hasMoved: boolean;
}

/** A burst needs few fsyncs, and the first write of a group does not wait long for the last. */
const groupWritesMax = 256;
/** Requests that changed nothing, so no event records them. */
const unchangedWritesMax = 10_000;
/** How often the files and the free space are checked, and recovery from a failure is tried. */
const storageCheckMs = 1000;
/** The longest time that a commit is only in the write-ahead log, unless readers keep it there. */
const walKeptMsMax = 30_000;
const pagesStepBytes = 2 ** 20;

export class StoreWriter {
  readonly #emit: (event: WriterEvent) => void;
  readonly #clock: Clock;
  readonly #factRate: FactRate;
  readonly #trimmer: LogTrimmer;
  readonly #unchangedWrites = new LRUCache<string, WriteResult>({
    // Not `max`, for which the cache reserves memory in advance.
    maxSize: unchangedWritesMax,
    sizeCalculation: () => 1,
  });
  #opened: WriterConnection | undefined;
  #prepared: PreparedReplay | undefined;
  #announces = false;
  /** The state of the open store, as far as this writer has changed it. */
  #state: StoreState | undefined;
  #waiting: QueuedWrite[] = [];
  #truncatedAtMs = Number.NEGATIVE_INFINITY;
  #committedAtMs = Number.NEGATIVE_INFINITY;
  /** When the last checkpoint was made. */
  #checkpointMs = Number.NEGATIVE_INFINITY;
  #reportedStorage: StorageFailure["reason"] | undefined;
  #cancelTimers = (): void => {};
  readonly #onMoved = (auditLoss: string): void => this.#emit({ auditLoss });

  /** `emit` is called before and after each commit that changes the state. */
  constructor(emit: (event: WriterEvent) => void, clock: Clock) {
    this.#clock = clock;
    this.#factRate = new FactRate(clock);
    this.#trimmer = new LogTrimmer(clock);
    this.#emit = emit;
  }

  /** The open connection, without a prepared event. */
  get #connection(): WriterConnection | undefined {
    this.#abandonPrepared();
    return this.#opened;
  }

  #abandonPrepared(): void {
    const prepared = this.#prepared;
    this.#prepared = undefined;
    try {
      prepared?.transaction.rollback();
    } catch (error) {
      // Then the next use opens the file again.
      if (this.#opened !== undefined) this.#storageFailed(this.#opened, error);
      if (storageFailureIn(error) === undefined) this.#emit({ trouble: `a rollback failed: ${reasonOf(error)}` });
    }
  }

  /** Opens the file, and creates it if it is missing and may be created. Closes the file that was open before. */
  open(options: WriterOpenOptions): StoreState {
    this.close();
    const connection = openWriterConnection(options, this.#clock, this.#onMoved);
    this.#opened = connection;
    let state: StoreState;
    try {
      state = this.#initialize(connection);
    } catch (error) {
      this.close();
      throw error;
    }
    this.#state = state;
    this.#announceAddedTables(connection.store);
    this.#startTimers(connection);
    this.#checkStorage();
    return state;
  }

  #startTimers({ pages, limits }: WriterConnection): void {
    const { path } = pages;
    const scrub = new PageScrub(pages, limits.scrubIntervalMs, {
      onDamage: (problem) => this.#emit({ damaged: { path, problem } }),
      onUnreadable: (reason) => this.#emit({ trouble: `the pages of \`${path}\` cannot be compared: ${reason}` }),
    });
    const cancelCheck = this.#clock.every(storageCheckMs, () => this.#checkStorage());
    const cancelScrub = this.#clock.every(scrubTickMs, () => {
      // Pages cannot be compared during a transaction.
      this.#abandonPrepared();
      scrub.tick();
    });
    const cancelTrim = this.#clock.every(limits.logTrimIntervalMs, () => this.#trimAudit());
    this.#cancelTimers = () => {
      cancelCheck();
      cancelTrim();
      cancelScrub();
      scrub.stop();
    };
  }

  /** Creates what the store lacks. Returns its state. */
  #initialize(connection: WriterConnection): StoreState {
    const { store, limits } = connection;
    const { environment } = connection.options;
    let isKnown = false;
    const { result: state, transaction } = beginTransaction(connection, () => {
      const found = findState(store) ?? createState(store, environment, mintEpoch(this.#clock), firstTerm);
      if (found.environment === environment) refreshDerived(store, limits, false);
      isKnown = hasKnownAuditLog(store);
      if (!isKnown) this.#beginAuditLog(store);
      // An older release may have written other events since.
      if (store.hasAddedTables) detachAuditEntries(store, -1);
      return found;
    });
    commitTransaction(connection, transaction);
    requireEnvironment(state, environment);
    // A new snapshot gets the entries from `adoptAudit`.
    if (isKnown) this.#absorbAddedTables(connection);
    return state;
  }

  /**
   * Replaces the tables beside a database of an older format if they are damaged: other nodes have their entries, and the
   * database itself is sound. Returns whether they were damaged. Throws if the storage fails.
   */
  replaceDamagedAddedTables(): boolean {
    const connection = must(this.#connection);
    const { store, options } = connection;
    if (!hasDamagedAddedTables(store)) return false;
    try {
      detachAddedTables(store);
      attachAddedTables(store, { synchronous: options.synchronous, onMoved: this.#onMoved });
      this.#requireKnownAuditLog(connection);
    } catch (error) {
      this.#storageFailed(connection, error);
      throw error;
    }
    this.#announceAddedTables(store);
    return true;
  }

  /** Other connections may have tables that are replaced now. */
  #announceAddedTables(store: Connection): void {
    if (store.hasAddedTables) this.#emit({ addedTablesReplaced: true });
  }

  /** Runs `body`, in which a transaction may fail because of damaged added tables. Then they are replaced, and it runs again. */
  #withSoundAddedTables<Result>(body: () => Result): Result {
    try {
      return body();
    } catch (error) {
      if (!isDamage(error) || !this.replaceDamagedAddedTables()) throw error;
      return body();
    }
  }

  #requireKnownAuditLog(connection: WriterConnection): void {
    if (hasKnownAuditLog(connection.store)) return;
    const { transaction } = beginTransaction(connection, () => this.#beginAuditLog(connection.store));
    commitTransaction(connection, transaction);
  }

  /** The exchange with the primary begins anew, in both directions. */
  #beginAuditLog(store: Connection): void {
    const id = mintEpoch(this.#clock);
    writeNodeSetting(store, "audit_log", id);
    writeNodeSetting(store, "audit_received", "");
    if (store.hasAddedTables) writeAddedTablesId(store, addedTablesId(id));
  }

  /** Moves entries from beside a database that kept an older format into the present one, which has replaced it. */
  #absorbAddedTables(connection: WriterConnection): void {
    const { store, options } = connection;
    if (store.hasAddedTables || !existsSync(addedTablesPath(options.path))) return;
    const { result: leftOut, transaction } = beginTransaction(connection, () =>
      copyAddedAuditEntries(options.path, store),
    );
    commitTransaction(connection, transaction);
    for (const auditLoss of [leftOut, removeAddedTables(options.path)])
      if (auditLoss !== undefined) this.#emit({ auditLoss });
  }

  /** Queues a write. The next transaction contains all queued writes. */
  write(request: WriteRequest, meta: WriteMeta): Promise<CommittedWrite> {
    if (this.#waiting.length === 0) setImmediate(() => this.#commitWaiting());
    return new Promise((resolve, reject) => this.#waiting.push({ request, meta, resolve, reject }));
  }

  /** Whether events are announced before they are applied (`next`). */
  announce(isWanted: boolean): void {
    this.#announces = isWanted;
  }

  /**
   * Applies an event that will probably be replayed next, and leaves its transaction open. Does nothing if it cannot be
   * applied: the replay says why. Meanwhile nobody else can write the file, but nobody else does.
   */
  prepare(request: ReplayRequest): void {
    // Several brokers announce the same event.
    if (this.#isPrepared(request)) return;
    const connection = this.#connection;
    if (connection === undefined || connection.guard.failure !== undefined) return;
    try {
      this.#prepared = { request, ...this.#apply(connection, request) };
    } catch {
      // Nothing is prepared.
    }
  }

  /** The chain hash covers all events up to the last, so the same one stands for the same events. */
  #isPrepared({ epoch, rows, hash }: ReplayRequest): boolean {
    const { request } = this.#prepared ?? {};
    return request?.hash === hash && request.epoch === epoch && request.rows.length === rows.length;
  }

  #takePrepared(request: ReplayRequest): PreparedReplay | undefined {
    if (!this.#isPrepared(request)) this.#abandonPrepared();
    const prepared = this.#prepared;
    this.#prepared = undefined;
    return prepared;
  }

  #apply(connection: WriterConnection, request: ReplayRequest): PendingTransaction<ReplayResult> {
    const { store, log, limits } = connection;
    return beginTransaction(connection, () => applyEvents(store, log, request, limits, this.#state));
  }

  /** Applies all events or none. AppError `conflict` if they do not continue this history or lead to another state. */
  replay(request: ReplayRequest): CommittedReplay {
    const startMs = this.#clock.preciseMs();
    let prepared = this.#takePrepared(request);
    const wasPrepared = prepared !== undefined;
    const connection = wasPrepared ? must(this.#opened) : this.#requireStorage();
    let result: ReplayResult;
    try {
      result = this.#withSoundAddedTables(() => {
        const applied = prepared ?? this.#apply(connection, request);
        // A second attempt begins anew.
        prepared = undefined;
        const { transaction } = continueTransaction(connection, applied.transaction, () => {
          completeReplay(connection.store, request, applied.result);
          this.#emit({ committing: { state: applied.result.state, rows: [] } });
        });
        commitTransaction(connection, transaction);
        return applied.result;
      });
    } catch (error) {
      this.#storageFailed(connection, error);
      throw error;
    }
    const committedMs = this.#clock.preciseMs();
    this.#committedAtMs = this.#clock.monotonicMs();
    const { state } = result;
    this.#state = state;
    if (request.rows.length > 0) this.#emit({ committed: { committedMs } });
    this.#trim(connection, state);
    this.#limitWal(connection);
    return { ...result, startMs, committedMs, wasPrepared };
  }

  /** In a transaction without an event. Throws if the storage fails. */
  recordAudit({ entries, received, progress }: AuditExchange): void {
    this.#writeAudit((store) => {
      addAuditEntries(store, entries, { received });
      if (progress !== undefined) writeNodeSetting(store, progress.key, progress.value);
    });
  }

  /** See `Writer.adoptAudit`. Throws if the replaced file cannot be read. */
  adoptAudit(replaced: string | null): void {
    // A snapshot of an older format has no entries, and the added tables have those of this node.
    if (!this.#requireStorage().store.hasAddedTables) this.#writeAudit(markAuditReceived);
    if (replaced !== null) {
      const other = openStore(replaced, { readonly: true });
      try {
        this.#writeAudit((store) => copyAuditEntries(other, store));
      } finally {
        other.close();
      }
    }
    this.#absorbAddedTables(must(this.#connection));
  }

  #writeAudit(body: (store: WriterConnection["store"]) => void): void {
    const connection = this.#requireStorage();
    connection.guard.requireSpace("half");
    try {
      this.#withSoundAddedTables(() => {
        const { transaction } = beginTransaction(connection, () => body(connection.store));
        commitTransaction(connection, transaction);
      });
    } catch (error) {
      this.#storageFailed(connection, error);
      throw error;
    }
    this.#limitWal(connection);
  }

  readSetting(key: NodeSetting): string | undefined {
    return readNodeSetting(must(this.#connection).store, key);
  }

  writeSetting(key: NodeSetting, value: string): void {
    const { store, pages } = this.#requireStorage();
    writeNodeSetting(store, key, value);
    pages.readWal();
  }

  /** If the files are gone or replaced, no one can read the database by its path: then copies it and returns true. */
  copyIfReplaced(target: string): boolean {
    const { guard, store } = must(this.#connection);
    try {
      guard.requireFiles();
      return false;
    } catch (error) {
      if (storageFailureIn(error)?.reason !== "replaced") throw error;
    }
    store.exec(`VACUUM INTO '${target.replaceAll("'", "''")}'`);
    return true;
  }

  /** Compares pages of the file with their checksums for at most `maxMs`. Resolves with the known damage. */
  async checkPages(maxMs: number): Promise<string | undefined> {
    const { pages } = must(this.#connection);
    const endMs = this.#clock.monotonicMs() + maxMs;
    for (let next = 1; this.#connection?.pages === pages;) {
      next = pages.check(next, pagesStepBytes);
      if (next === 1 || this.#clock.monotonicMs() >= endMs) break;
      await new Promise(setImmediate);
    }
    return pages.problem;
  }

  /** Reads the damaged pages again. Returns the remaining damage. Throws if `path` is not the open file. */
  checkDamagedPages(path: string): string | undefined {
    const { pages } = must(this.#connection);
    if (pages.path !== path) throw new Error(`\`${path}\` is not the file that is open`);
    return pages.checkDamaged();
  }

  /** Closes the file, with an empty write-ahead log. */
  close(): void {
    const { store, pages } = this.#connection ?? {};
    // First, so that a damaged file cannot keep the next one from being opened.
    this.#opened = undefined;
    this.#state = undefined;
    this.#cancelTimers();
    try {
      store?.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    } catch (error) {
      // The next connection to the file finds the content of the write-ahead log there.
      if (storageFailureIn(error) === undefined) throw error;
    } finally {
      pages?.close();
      store?.close();
    }
  }

  /** Closes the file and all its descriptors. The node closes its other connections first. */
  stop(): void {
    const path = this.#connection?.options.path;
    this.close();
    if (path !== undefined) closeRawFiles(dirname(path));
  }

  #commitWaiting(): void {
    const group = this.#waiting.slice(0, groupWritesMax);
    this.#waiting = this.#waiting.slice(group.length);
    if (this.#waiting.length > 0) setImmediate(() => this.#commitWaiting());
    let connection = this.#connection;
    let pending: PendingTransaction<GroupOutcome> | undefined;
    let done: GroupOutcome;
    try {
      const opened = (connection = this.#requireStorage());
      done = this.#withSoundAddedTables(() => {
        pending = undefined;
        pending = beginTransaction(opened, () => this.#attemptAll(opened, group));
        commitTransaction(opened, pending.transaction);
        return pending.result;
      });
    } catch (error) {
      // Nothing of the group is visible, as far as this connection knows.
      if (connection !== undefined) this.#storageFailed(connection, error);
      const isAudited = group.some(({ meta }) => meta.audit !== undefined);
      const files = connection?.store.hasAddedTables === true && isAudited ? "two files" : "one file";
      const reason = writeRefusal(error, pending === undefined ? "nothing" : files);
      for (const write of group) write.reject(reason);
      return;
    }
    const committedMs = this.#clock.preciseMs();
    this.#committedAtMs = this.#clock.monotonicMs();
    const { outcomes, state, hasMoved } = done;
    this.#state = state;
    if (hasMoved) this.#emit({ committed: { committedMs } });
    group.forEach((write, index) => this.#settle(write, must(outcomes[index]), committedMs));
    this.#trim(connection, state);
    this.#limitWal(connection);
  }

  #settle(write: QueuedWrite, outcome: WriteOutcome, committedMs: number): void {
    if ("error" in outcome) return write.reject(outcome.error);
    const { appended, digest } = outcome;
    const { result, startMs, decidedMs } = appended;
    // Not earlier: the change that made the request a no-op may be part of the same commit.
    if (result.unchanged === true && digest !== undefined) this.#unchangedWrites.set(digest, result);
    write.resolve({ result, startMs, decidedMs, committedMs });
  }

  /** Returns the open connection. Tries to recover from an earlier failure, and throws it if it persists. */
  #requireStorage(): WriterConnection {
    const connection = must(this.#connection, "the writer has a store open");
    const { guard } = connection;
    if (guard.failure === undefined) {
      guard.requireFiles();
      return connection;
    }
    guard.requirePause();
    return this.#recover(connection);
  }

  /**
   * Opens the file again, since a connection that saw a failure may have missed changes, and makes a commit. The commit
   * overwrites what a failed commit may have left in the write-ahead log; a start after a crash would otherwise treat
   * it as committed. Throws if it fails.
   */
  #recover(before: WriterConnection): WriterConnection {
    const connection = reopenWriterConnection(before, this.#onMoved);
    this.#opened = connection;
    before.store.close();
    verifyCommits(connection, this.#clock.wallMs());
    this.#requireKnownAuditLog(connection);
    this.#announceAddedTables(connection.store);
    this.#resumeFrom(readState(connection.store));
    connection.guard.recordRecovery();
    this.#reportStorage(connection.guard.problem);
    return connection;
  }

  /** Continues from the state of the reopened file. */
  #resumeFrom(state: StoreState): void {
    const known = must(this.#state, "the writer knows where its store stands");
    if (state.offset < known.offset || (state.offset === known.offset && state.hash !== known.hash))
      throw new StorageError(
        "STORE_REPLACED",
        `the database is at offset ${state.offset}, this node was at ${known.offset} before`,
      );
    if (state.offset === known.offset) return;
    this.#state = state;
    this.#emit({ committing: { state, rows: [] } });
    this.#emit({ committed: { committedMs: this.#clock.preciseMs() } });
  }

  #storageFailed({ guard }: WriterConnection, error: unknown): void {
    if (guard.recordFailure(error)) this.#reportStorage(guard.problem);
  }

  #reportStorage(problem: StorageFailure | undefined): void {
    if (problem?.reason === this.#reportedStorage) return;
    this.#reportedStorage = problem?.reason;
    this.#emit({ storage: problem ?? null });
  }

  /** Called by a timer, so that a node without writes notices changes of its files, and the end of a failure. */
  #checkStorage(): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    const clockSetMs = connection.steadyClock.observe();
    if (clockSetMs !== undefined) this.#emit({ clockSetMs });
    try {
      connection.guard.check();
      if (connection.guard.failure !== undefined) this.#recover(connection);
      else this.#checkpointIfIdle(connection);
    } catch (error) {
      // Other errors are met by the next write.
      connection.guard.recordFailure(error);
    }
    this.#reportStorage(connection.guard.problem);
  }

  /**
   * The scrub compares pages of the file, so commits must not stay in the write-ahead log for long. A checkpoint delays
   * a write by two syncs: it is made when there was no write for a while, and every 30 s otherwise.
   */
  #checkpointIfIdle(connection: WriterConnection): void {
    const now = this.#clock.monotonicMs();
    const isIdle = now - this.#committedAtMs >= storageCheckMs;
    this.#limitWal(connection, isIdle || now - this.#checkpointMs >= walKeptMsMax ? 1 : undefined);
    limitAddedWal(connection);
  }

  /** The write-ahead log restarts only when no reader needs it, so under steady reads it would grow without a limit. */
  #limitWal(connection: WriterConnection, framesMax?: number): void {
    const now = this.#clock.monotonicMs();
    const { walBytes } = connection.guard;
    const made = (): void => {
      this.#checkpointMs = now;
      this.#emit({ checkpoint: { ms: Math.round(this.#clock.monotonicMs() - now), walBytes } });
    };
    try {
      const isLong = connection.guard.walBytes > connection.limits.walCheckpointBytes;
      if (!isLong || now - this.#truncatedAtMs < storageCheckMs) {
        if (limitWal(connection, framesMax)) made();
        return;
      }
      this.#truncatedAtMs = now;
      truncateWal(connection);
      made();
    } catch (error) {
      // The writes are committed, and their senders have the results. A later commit tries again.
      if (storageFailureIn(error) === undefined) this.#emit({ trouble: `the checkpoint failed: ${reasonOf(error)}` });
      this.#storageFailed(connection, error);
    }
  }

  /** Does as much as possible before the caller's commit, since others wait for what comes after it. */
  #attemptAll({ store, limits }: WriterConnection, group: readonly QueuedWrite[]): GroupOutcome {
    const outcomes = group.map((write) => this.#attempt(write, this.#announces && group.length === 1));
    const rows = outcomes.flatMap((outcome) =>
      "appended" in outcome && outcome.appended.row !== undefined ? [outcome.appended.row] : [],
    );
    const state = readState(store);
    const hasMoved = rows.length > 0;
    if (hasMoved) this.#emit({ committing: { state, rows: rowsForMessage(rows, limits) } });
    return { outcomes, state, hasMoved };
  }

  /** Only an appended event needs space. Requests that change nothing, or were done before, succeed on any disk. */
  #attempt({ request, meta }: QueuedWrite, isAnnounced: boolean): WriteOutcome {
    const { store, log, limits, guard } = must(this.#connection);
    let refused: unknown;
    const admit = (effect: Effect, next: NextEvent): void => {
      this.#factRate.require(meta.sender, effect, limits);
      try {
        guard.requireSpace(spaceRequirementOf(request));
      } catch (error) {
        this.#reportStorage(guard.problem);
        throw (refused = writeRefusal(error, "nothing"));
      }
      if (!isAnnounced || effect.kind !== "facts") return;
      if (Buffer.byteLength(next.row.body) <= limits.publishEventBytesMax) this.#emit({ next });
    };
    const digest = meta.digest ?? idempotencyDigest(request, meta);
    const unchanged = digest === undefined ? undefined : this.#unchangedWrites.get(digest);
    const now = this.#clock.preciseMs();
    if (unchanged !== undefined)
      return { appended: { result: unchanged, startMs: now, decidedMs: now, row: undefined }, digest };
    store.exec("SAVEPOINT request");
    try {
      const appended = append(store, log, request, { timeMs: this.#clock.wallMs(), ...meta, digest }, limits, admit);
      store.exec("RELEASE request");
      this.#factRate.count(meta.sender, appended.result);
      return { appended, digest };
    } catch (error) {
      const isRefused = refused !== undefined && error === refused;
      // A failing disk fails the whole transaction, and may have ended it already.
      if (!isRefused && (storageFailureIn(error) !== undefined || !store.inTransaction)) throw error;
      // The whole transaction begins again with other tables.
      if (isDamage(error) && hasDamagedAddedTables(store)) throw error;
      store.exec("ROLLBACK TO request");
      store.exec("RELEASE request");
      return { error };
    }
  }

  #trim(connection: WriterConnection, { offset }: StoreState): void {
    try {
      this.#trimmer.trimLog(connection, offset);
    } catch (error) {
      // The writes are committed. The log is only longer than necessary, and a later commit tries again.
      this.#storageFailed(connection, error);
    }
  }

  /** Called by a timer, so that entries are removed by age on a node without writes, too. */
  #trimAudit(): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    if (connection.guard.failure !== undefined) return;
    try {
      if (this.#withSoundAddedTables(() => trimAuditLog(connection))) this.#limitWal(connection);
    } catch (error) {
      // Also for damaged pages of the database, which the scrub reports.
      this.#storageFailed(connection, error);
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

/** Whether the entries are those that the database counts. Added tables can be lost, or those of another directory. */
function hasKnownAuditLog(store: Connection): boolean {
  const id = readNodeSetting(store, "audit_log");
  return id !== undefined && (!store.hasAddedTables || readAddedTablesId(store) === addedTablesId(id));
}

/** The id of added tables with the entries of an audit log: a positive number of 31 bits. */
function addedTablesId(auditLog: string): number {
  return Number.parseInt(auditLog.slice(-8), 16) & 0x7fff_ffff || 1;
}
