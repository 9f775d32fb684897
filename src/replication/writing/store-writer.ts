/**
 * The only connection that writes a node's store. Writes that wait together are committed together: one transaction, one fsync, but each request
 * in a savepoint and with an event of its own, so that a refused one spoils nothing. Usually in a thread of its own (`writer-worker.ts`).
 */
import type { Limits } from "../../config/limits.ts";
import { refreshDerived } from "../../engine/derived-tables.ts";
import type { SqlDatabase } from "../../runtime/sqlite.ts";
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

/** The position has moved on. */
export interface Moved {
  readonly state: State;
  /** What was written, where it is no more than fits a message of the feed: so nobody has to read it again. Empty otherwise, and on a copy. */
  readonly rows: readonly StoredLogRow[];
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

type Outcome = { readonly appended: Appended } | { readonly error: unknown };

/** Enough that a burst costs few fsyncs, few enough that the first of the group does not wait long for the last. */
const groupWritesMax = 256;
/** Requests that changed nothing, and so left no event that would remember them. */
const idleRequestsMax = 10_000;

export class StoreWriter {
  readonly #moved: (moved: Moved) => void;
  readonly #clock: Clock;
  readonly #idle = new Map<string, WriteResult>();
  #open: Open | undefined;
  /** Where the open store stands, as far as this has moved it. */
  #state: State | undefined;
  #waiting: Waiting[] = [];
  #trimmed = { offset: 0, atMs: Number.NEGATIVE_INFINITY };

  /** `moved` is called after each commit that moved the position. */
  constructor(moved: (moved: Moved) => void, clock: Clock) {
    this.#clock = clock;
    this.#moved = moved;
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

  /** Applies what a primary wrote. */
  replay(request: ReplayRequest): Replayed {
    const { store, log, limits, changes } = must(this.#open);
    const replayed = whileChanging(changes, () => replay(store, log, request, limits, this.#state));
    this.#state = replayed.state;
    if (request.rows.length > 0) this.#moved({ state: replayed.state, rows: [] });
    this.#trim(must(this.#open), replayed.state);
    return replayed;
  }

  readSetting(key: NodeSetting): string | undefined {
    return readNodeSetting(must(this.#open).store, key);
  }

  writeSetting(key: NodeSetting, value: string): void {
    writeNodeSetting(must(this.#open).store, key, value);
  }

  /** Lets go of the file, with everything in it and nothing in the WAL. */
  close(): void {
    const store = this.#open?.store;
    // Gone whatever happens: a file that is damaged must not keep its successor from being opened.
    this.#open = undefined;
    this.#state = undefined;
    try {
      store?.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    } finally {
      store?.close();
    }
  }

  #commitWaiting(): void {
    const group = this.#waiting.slice(0, groupWritesMax);
    this.#waiting = this.#waiting.slice(group.length);
    if (this.#waiting.length > 0) setImmediate(() => this.#commitWaiting());
    let after: State;
    let outcomes: Outcome[];
    try {
      const { store } = must(this.#open, "the writer has a store open");
      outcomes = change(must(this.#open), () => group.map((write) => this.#attempt(write)));
      after = readState(store);
      this.#state = after;
    } catch (error) {
      // The commit itself failed (a full disk, say): nothing of the group happened.
      for (const write of group) write.reject(error);
      return;
    }
    const rows = outcomes.flatMap((outcome) =>
      "appended" in outcome && outcome.appended.row !== undefined ? [outcome.appended.row] : [],
    );
    if (rows.length > 0) this.#moved({ state: after, rows: fitting(rows, must(this.#open).limits) });
    const committedMs = preciseNow();
    group.forEach((write, index) => settle(write, must(outcomes[index]), committedMs));
    this.#trim(must(this.#open), after);
  }

  #attempt({ request, meta }: Waiting): Outcome {
    const { store, log, limits } = must(this.#open);
    const name = nameOf(request, meta);
    const idle = name === undefined ? undefined : this.#idle.get(name);
    const now = preciseNow();
    if (idle !== undefined) return { appended: { result: idle, startMs: now, decidedMs: now, row: undefined } };
    store.exec("SAVEPOINT request");
    try {
      const appended = append(store, log, request, { timeMs: this.#clock.wallMs(), ...meta }, limits);
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

function change<T>({ store, changes }: Open, body: () => T): T {
  return whileChanging(changes, () => store.transaction(body, "immediate"));
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
