/**
 * The only connection that writes a node's store. Writes that wait together are committed together: one transaction, one fsync, but each request
 * in a savepoint and with an event of its own, so that a refused one spoils nothing. Usually in a thread of its own (`writer-worker.ts`).
 *
 * While a primary applies a write and waits for its disk, copies can do their part: it tells what it is about to commit, and a copy prepares that in a
 * transaction which it leaves open. INVARIANT: only a replay of the very same events, which the primary sends once it has committed them, commits
 * that transaction; whatever else is asked of the writer rolls it back first.
 */
import type { Limits } from "../../config/limits.ts";
import { refreshDerived } from "../../engine/derived-tables.ts";
import type { SqlDatabase, Transaction } from "../../runtime/sqlite.ts";
import { type Changes, whileChanging } from "../../store/changes.ts";
import { openStore } from "../../store/database.ts";
import { readNodeSetting, writeNodeSetting, type NodeSetting } from "../../store/keys.ts";
import { excessOf } from "../../store/log-retention.ts";
import { openLog, type Log, type StoredLogRow } from "../../store/log.ts";
import { rememberIds } from "../../store/remembered.ts";
import { createState, findState, readState, requireEnvironment, type State } from "../../store/state.ts";
import { must } from "../../util/assert.ts";
import type { Clock } from "../../util/clock.ts";
import { mintEpoch } from "../position.ts";
import {
  append,
  nameOf,
  preciseNow,
  type Appended,
  type OnDecided,
  type WriteMeta,
  type WriteRequest,
  type WriteResult,
} from "./append.ts";
import { replay, type Replayed, type ReplayRequest } from "./replay.ts";

export interface OpenRequest {
  readonly path: string;
  readonly environment: string;
  readonly synchronous: "FULL" | "NORMAL";
  readonly limits: Limits;
  /** To be told of every change. */
  readonly changes: Changes;
}

export interface Committed extends Omit<Appended, "row"> {
  readonly committedMs: number;
}

/** Where a commit leads. */
export interface Move {
  readonly state: State;
  /** What was written, where it is no more than fits a message of the feed: so nobody has to read it again. Empty otherwise, and on a copy. */
  readonly rows: readonly StoredLogRow[];
}

/** What a primary is about to commit, behind the state before it: alone in its transaction, and of a size that fits a message of the feed. */
export interface Next {
  readonly before: State;
  /** Without its digest. */
  readonly row: StoredLogRow;
}

/**
 * `next` and `moving` come before a commit that may yet fail, `moved` after each that moved the position, to where the last `moving` said: so that little
 * is left to be said once it is on disk, when everybody waits for it. `committedMs` in ms since 1970 with a fraction: whoever has asked since then was
 * answered with it.
 */
export type WriterEvent =
  { readonly next: Next } | { readonly moving: Move } | { readonly moved: { readonly committedMs: number } };

/** What a replay did. */
export interface Arrived extends Replayed {
  readonly committedMs: number;
  /** Whether it had been prepared. */
  readonly wasPrepared: boolean;
}

interface Waiting {
  readonly request: WriteRequest;
  readonly meta: WriteMeta;
  readonly resolve: (committed: Committed) => void;
  readonly reject: (error: unknown) => void;
}

interface Open {
  readonly store: SqlDatabase;
  readonly log: Log;
  readonly limits: Limits;
  readonly changes: Changes;
}

/** What was done in a transaction that is neither committed nor rolled back yet. */
interface Begun<T> {
  readonly result: T;
  readonly transaction: Transaction;
}

interface Prepared extends Begun<Replayed> {
  readonly request: ReplayRequest;
}

type Outcome = { readonly appended: Appended } | { readonly error: unknown };

interface Attempted {
  readonly outcomes: readonly Outcome[];
  readonly state: State;
  readonly hasMoved: boolean;
}

/** Enough that a burst costs few fsyncs, few enough that the first of the group does not wait long for the last. */
const groupWritesMax = 256;
/** Requests that changed nothing, and so left no event that would remember them. */
const idleRequestsMax = 10_000;

export class StoreWriter {
  readonly #tell: (event: WriterEvent) => void;
  readonly #clock: Clock;
  readonly #idle = new Map<string, WriteResult>();
  #open: Open | undefined;
  #prepared: Prepared | undefined;
  /** Where the open store stands, as far as this has moved it. */
  #state: State | undefined;
  #waiting: Waiting[] = [];
  #trimmed = { offset: 0, atMs: Number.NEGATIVE_INFINITY };

  /** `tell` is called before and after each commit that moves the position. */
  constructor(tell: (event: WriterEvent) => void, clock: Clock) {
    this.#clock = clock;
    this.#tell = tell;
  }

  /** Opens the file, makes it where it is missing, and tells where it stands. Another file that was open before is closed. */
  open(options: OpenRequest): State {
    this.close();
    const store = openStore(options.path, { synchronous: options.synchronous });
    rememberIds(store);
    const { limits, changes } = options;
    const open = { store, log: openLog(store), limits, changes };
    this.#open = open;
    const state = change(open, () => {
      const found =
        findState(store) ?? createState(store, options.environment, mintEpoch(this.#clock), this.#clock.wallMs());
      if (found.environment === options.environment) refreshDerived(store, options.limits, false);
      return found;
    });
    requireEnvironment(state, options.environment);
    this.#state = state;
    return state;
  }

  /** Queues a write; those that are queued when the thread gets round to it share a transaction. */
  write(request: WriteRequest, meta: WriteMeta): Promise<Committed> {
    if (this.#waiting.length === 0) setImmediate(() => this.#commitWaiting());
    return new Promise((resolve, reject) => this.#waiting.push({ request, meta, resolve, reject }));
  }

  /** Applies what a primary wrote, all or none. AppError `conflict` where it does not follow, or leads to another state. */
  replay(request: ReplayRequest): Arrived {
    const open = must(this.#open);
    const prepared = this.#takePrepared(request);
    const { transaction, result } = prepared ?? this.#apply(open, request);
    commit(open, transaction);
    const committedMs = preciseNow();
    const { state } = result;
    this.#state = state;
    if (request.rows.length > 0) this.#tell({ moved: { committedMs } });
    this.#trim(open, state);
    return { ...result, committedMs, wasPrepared: prepared !== undefined };
  }

  /**
   * Does the work of a replay that may be asked for next. What can't be applied is left to that replay to say. Until then the file can't be written by
   * anybody else, but nobody else writes it.
   */
  prepare(request: ReplayRequest): void {
    // Each broker tells of it.
    if (this.#hasPrepared(request)) return;
    this.#rollBackPrepared();
    try {
      this.#prepared = { request, ...this.#apply(must(this.#open), request) };
    } catch {
      // Nothing is prepared.
    }
  }

  #apply(open: Open, request: ReplayRequest): Begun<Replayed> {
    const { store, log, limits } = open;
    return begin(open, () => {
      const replayed = replay(store, log, request, limits, this.#state);
      this.#tell({ moving: { state: replayed.state, rows: [] } });
      return replayed;
    });
  }

  /** What was prepared, if it is what is asked for now; anything else is rolled back. */
  #takePrepared(request: ReplayRequest): Prepared | undefined {
    if (!this.#hasPrepared(request)) this.#rollBackPrepared();
    const prepared = this.#prepared;
    this.#prepared = undefined;
    return prepared;
  }

  #hasPrepared({ epoch, rows, hash, digest }: ReplayRequest): boolean {
    const prepared = this.#prepared;
    // The hash is over all events up to the last, so the same one stands for the same events.
    return (
      prepared?.request.hash === hash &&
      prepared.request.epoch === epoch &&
      prepared.request.rows.length === rows.length &&
      (digest === null || prepared.result.state.digest === digest)
    );
  }

  #rollBackPrepared(): void {
    const prepared = this.#prepared;
    this.#prepared = undefined;
    prepared?.transaction.rollback();
  }

  readSetting(key: NodeSetting): string | undefined {
    this.#rollBackPrepared();
    return readNodeSetting(must(this.#open).store, key);
  }

  writeSetting(key: NodeSetting, value: string): void {
    this.#rollBackPrepared();
    writeNodeSetting(must(this.#open).store, key, value);
  }

  /** Lets go of the file, with everything in it and nothing in the WAL. */
  close(): void {
    const store = this.#open?.store;
    // Gone whatever happens: a file that is damaged must not keep its successor from being opened.
    this.#open = undefined;
    this.#state = undefined;
    try {
      this.#rollBackPrepared();
      store?.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    } finally {
      store?.close();
    }
  }

  #commitWaiting(): void {
    const group = this.#waiting.slice(0, groupWritesMax);
    this.#waiting = this.#waiting.slice(group.length);
    if (this.#waiting.length > 0) setImmediate(() => this.#commitWaiting());
    let attempted: Attempted;
    try {
      const open = must(this.#open, "the writer has a store open");
      this.#rollBackPrepared();
      attempted = change(open, () => this.#attemptAll(open, group));
    } catch (error) {
      // The commit itself failed (a full disk, say): nothing of the group happened.
      for (const write of group) write.reject(error);
      return;
    }
    const committedMs = preciseNow();
    const { outcomes, state, hasMoved } = attempted;
    this.#state = state;
    if (hasMoved) this.#tell({ moved: { committedMs } });
    group.forEach((write, index) => settle(write, must(outcomes[index]), committedMs));
    this.#trim(must(this.#open), state);
  }

  /** Inside the caller's transaction. Whatever can be done before its commit is, since others wait for what comes after that. */
  #attemptAll({ store, limits }: Open, group: readonly Waiting[]): Attempted {
    const outcomes = group.map((write) => this.#attempt(write, group.length === 1));
    const rows = outcomes.flatMap((outcome) =>
      "appended" in outcome && outcome.appended.row !== undefined ? [outcome.appended.row] : [],
    );
    const state = readState(store);
    const hasMoved = rows.length > 0;
    if (hasMoved) this.#tell({ moving: { state, rows: fitting(rows, limits) } });
    return { outcomes, state, hasMoved };
  }

  /** Where it is alone, others are told of it as soon as it is decided. */
  #attempt({ request, meta }: Waiting, isAlone: boolean): Outcome {
    const { store, log, limits } = must(this.#open);
    const onDecided: OnDecided = (before, row) => {
      if (isAlone && fitting([row], limits).length > 0) this.#tell({ next: { before, row } });
    };
    const name = nameOf(request, meta);
    const idle = name === undefined ? undefined : this.#idle.get(name);
    const now = preciseNow();
    if (idle !== undefined) return { appended: { result: idle, startMs: now, decidedMs: now, row: undefined } };
    store.exec("SAVEPOINT request");
    try {
      const appended = append(store, log, request, { timeMs: this.#clock.wallMs(), ...meta }, limits, onDecided);
      store.exec("RELEASE request");
      if (appended.result.unchanged === true && name !== undefined) this.#remember(name, appended.result);
      return { appended };
    } catch (error) {
      store.exec("ROLLBACK TO request");
      store.exec("RELEASE request");
      return { error };
    }
  }

  #remember(request: string, result: WriteResult): void {
    this.#idle.set(request, result);
    if (this.#idle.size <= idleRequestsMax) return;
    const oldest = this.#idle.keys().next();
    if (!oldest.done) this.#idle.delete(oldest.value);
  }

  /** Keeps the log short, a tenth of its length at a time or now and then, so that most commits don't pay for it. */
  #trim({ store, log, limits }: Open, { offset }: State): void {
    const now = this.#clock.monotonicMs();
    const grown = offset - this.#trimmed.offset > limits.logEventsKept / 10;
    if (!grown && now - this.#trimmed.atMs < limits.logTrimIntervalMs) return;
    this.#trimmed = { offset, atMs: now };
    const retention = { events: limits.logEventsKept, bytes: limits.logBytesKept, ageMs: limits.logAgeKeptMs };
    try {
      const excess = excessOf(store, retention, this.#clock.wallMs());
      if (excess !== undefined) store.transaction(() => log.trim(excess), "immediate");
    } catch {
      // A full disk, say. The writes are committed and answered, the log is only longer than it has to be, and a later commit tries again.
    }
  }
}

function change<T>(open: Open, body: () => T): T {
  const { result, transaction } = begin(open, body);
  commit(open, transaction);
  return result;
}

function begin<T>({ store }: Open, body: () => T): Begun<T> {
  const transaction = store.begin("immediate");
  try {
    return { result: body(), transaction };
  } catch (error) {
    transaction.rollback();
    throw error;
  }
}

/** Before this nobody else can see anything of it. */
function commit({ changes }: Open, transaction: Transaction): void {
  try {
    whileChanging(changes, () => transaction.commit());
  } catch (error) {
    transaction.rollback();
    throw error;
  }
}

function fitting(
  rows: readonly StoredLogRow[],
  { feedBatchEventsMax, feedBatchBytesMax }: Limits,
): readonly StoredLogRow[] {
  const bytes = rows.reduce((sum, { body }) => sum + Buffer.byteLength(body), 0);
  return rows.length <= feedBatchEventsMax && bytes <= feedBatchBytesMax ? rows : [];
}

function settle(write: Waiting, outcome: Outcome, committedMs: number): void {
  if ("error" in outcome) return write.reject(outcome.error);
  const { result, startMs, decidedMs } = outcome.appended;
  write.resolve({ result, startMs, decidedMs, committedMs });
}
