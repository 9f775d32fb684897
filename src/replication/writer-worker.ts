/**
 * The only connection that writes, in a thread of its own so that a commit never holds up a read. Writes that wait together are committed
 * together: one transaction, one fsync, but each request in a savepoint and with an event of its own, so that a refused one spoils nothing.
 */
import { serveWorker } from "../runtime/worker.ts";
import type { SqlDatabase } from "../runtime/sqlite.ts";
import { openStore } from "../store/database.ts";
import { readNodeSetting, writeNodeSetting, type NodeSetting } from "../store/keys.ts";
import { openLog, type Log } from "../store/log.ts";
import { advanceState, createState, findState, readState, requireEnvironment, type State } from "../store/state.ts";
import { must } from "../util/assert.ts";
import { append, preciseNow, type Appended, type WriteMeta, type WriteRequest } from "./append.ts";
import { mintEpoch } from "./position.ts";
import { replay, type Replayed, type ReplayRequest } from "./replay.ts";

export interface OpenRequest {
  readonly path: string;
  readonly environment: string;
  readonly synchronous: "FULL" | "NORMAL";
  /** How many events the log keeps. */
  readonly logEventsMax: number;
  /** How many writes share one transaction at most. */
  readonly groupWritesMax: number;
}

export type WriterCommands = typeof commands;

/** Sent after each commit that moved the position. */
export interface WriterEvent {
  readonly state: State;
}

export interface Committed extends Appended {
  readonly committedMs: number;
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
  readonly options: OpenRequest;
}

let open: Open | undefined;
let waiting: Waiting[] = [];

const commands = {
  /** Opens the file, makes it where it is missing, and tells where it stands. Another file that was open before is closed. */
  open(options: OpenRequest): State {
    close();
    const store = openStore(options.path, { synchronous: options.synchronous });
    open = { store, log: openLog(store), options };
    const state = store.transaction(
      () => findState(store) ?? createState(store, options.environment, mintEpoch()),
      "immediate",
    );
    requireEnvironment(state, options.environment);
    return state;
  },

  /** Queues a write; those that are queued when the thread gets round to it share a transaction. */
  write(request: WriteRequest, meta: WriteMeta): Promise<Committed> {
    if (waiting.length === 0) setImmediate(commitWaiting);
    return new Promise((resolve, reject) => waiting.push({ request, meta, resolve, reject }));
  },

  replay(request: ReplayRequest): Replayed {
    const replayed = replay(must(open).store, request);
    if (request.rows.length > 0) emit({ state: replayed.state });
    return replayed;
  },

  /** A new epoch at the same place: what follows is not the history that others may have seen. */
  startEpoch(): State {
    const { store } = must(open);
    const { offset, hash, timeMs } = readState(store);
    advanceState(store, { epoch: mintEpoch(), offset, hash, timeMs });
    const state = readState(store);
    emit({ state });
    return state;
  },

  readSetting: (key: NodeSetting): string | undefined => readNodeSetting(must(open).store, key),
  writeSetting: (key: NodeSetting, value: string): void => writeNodeSetting(must(open).store, key, value),

  /** Lets go of the file, with everything in it and nothing in the WAL. */
  close,
};

const emit = serveWorker<WriterCommands, WriterEvent>(commands, close);

function close(): void {
  if (open === undefined) return;
  open.store.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  open.store.close();
  open = undefined;
}

function commitWaiting(): void {
  const { store, log, options } = must(open);
  const group = waiting.slice(0, options.groupWritesMax);
  waiting = waiting.slice(group.length);
  if (waiting.length > 0) setImmediate(commitWaiting);
  const before = readState(store);
  let outcomes: Outcome[];
  try {
    outcomes = store.transaction(() => group.map((write) => attempt(store, log, write)), "immediate");
  } catch (error) {
    // The commit itself failed (a full disk, say): nothing of the group happened.
    for (const write of group) write.reject(error);
    return;
  }
  const state = readState(store);
  if (state.offset !== before.offset) emit({ state });
  const committedMs = preciseNow();
  group.forEach((write, index) => settle(write, must(outcomes[index]), committedMs));
  trim(store, log, state, options.logEventsMax);
}

type Outcome = { readonly appended: Appended } | { readonly error: unknown };

function attempt(store: SqlDatabase, log: Log, write: Waiting): Outcome {
  store.exec("SAVEPOINT request");
  try {
    const appended = append(store, log, write.request, write.meta);
    store.exec("RELEASE request");
    return { appended };
  } catch (error) {
    store.exec("ROLLBACK TO request");
    store.exec("RELEASE request");
    return { error };
  }
}

function settle(write: Waiting, outcome: Outcome, committedMs: number): void {
  if ("appended" in outcome) write.resolve({ ...outcome.appended, committedMs });
  else write.reject(outcome.error);
}

/** Keeps the log short, a tenth of its length at a time, so that most commits don't pay for it. */
function trim(store: SqlDatabase, log: Log, state: State, logEventsMax: number): void {
  const slack = Math.ceil(logEventsMax / 10);
  const kept = state.offset - (log.trimmedTo() ?? state.offset);
  if (kept > logEventsMax + slack) store.transaction(() => log.trim(state.offset - logEventsMax), "immediate");
}
