/**
 * The only connection that writes, in a thread of its own so that a commit never holds up a read. Writes that wait together are committed
 * together: one transaction, one fsync, but each request in a savepoint and with an event of its own, so that a refused one spoils nothing.
 */
import { serveWorker } from "../runtime/worker.ts";
import type { SqlDatabase } from "../runtime/sqlite.ts";
import type { Limits } from "../config/limits.ts";
import { refreshDerived } from "../engine/derived-tables.ts";
import { type Changes, whileChanging } from "../store/changes.ts";
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
  readonly limits: Limits;
  /** To be told of every change. */
  readonly changes: Changes;
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
  readonly limits: Limits;
  readonly changes: Changes;
}

/** Enough that a burst costs few fsyncs, few enough that the first of the group does not wait long for the last. */
const groupWritesMax = 256;

let open: Open | undefined;
let waiting: Waiting[] = [];

const commands = {
  /** Opens the file, makes it where it is missing, and tells where it stands. Another file that was open before is closed. */
  open(options: OpenRequest): State {
    close();
    const store = openStore(options.path, { synchronous: options.synchronous });
    const { limits, changes } = options;
    open = { store, log: openLog(store), limits, changes };
    const state = change(open, () => {
      const found = findState(store) ?? createState(store, options.environment, mintEpoch());
      if (found.environment === options.environment) refreshDerived(store, options.limits, false);
      return found;
    });
    requireEnvironment(state, options.environment);
    return state;
  },

  /** Queues a write; those that are queued when the thread gets round to it share a transaction. */
  write(request: WriteRequest, meta: WriteMeta): Promise<Committed> {
    if (waiting.length === 0) setImmediate(commitWaiting);
    return new Promise((resolve, reject) => waiting.push({ request, meta, resolve, reject }));
  },

  replay(request: ReplayRequest): Replayed {
    const { store, limits, changes } = must(open);
    const replayed = whileChanging(changes, () => replay(store, request, limits));
    if (request.rows.length > 0) emit({ state: replayed.state });
    return replayed;
  },

  /** A new epoch at the same place, with an empty log: what came before may not be what others have seen. */
  startEpoch(): State {
    const present = must(open);
    const { store, log } = present;
    const state = change(present, () => {
      const { offset, hash, timeMs } = readState(store);
      log.trim(offset);
      advanceState(store, { epoch: mintEpoch(), offset, hash, timeMs });
      return readState(store);
    });
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
  const store = open?.store;
  // Gone whatever happens: a file that is damaged must not keep its successor from being opened.
  open = undefined;
  try {
    store?.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  } finally {
    store?.close();
  }
}

function commitWaiting(): void {
  const present = must(open);
  const { store } = present;
  const group = waiting.slice(0, groupWritesMax);
  waiting = waiting.slice(group.length);
  if (waiting.length > 0) setImmediate(commitWaiting);
  let before: State;
  let outcomes: Outcome[];
  try {
    before = readState(store);
    outcomes = change(present, () => group.map((write) => attempt(present, write)));
  } catch (error) {
    // The commit itself failed (a full disk, say): nothing of the group happened.
    for (const write of group) write.reject(error);
    return;
  }
  const state = readState(store);
  if (state.offset !== before.offset) emit({ state });
  const committedMs = preciseNow();
  group.forEach((write, index) => settle(write, must(outcomes[index]), committedMs));
  trim(present, state.offset);
}

function change<T>({ store, changes }: Open, body: () => T): T {
  return whileChanging(changes, () => store.transaction(body, "immediate"));
}

type Outcome = { readonly appended: Appended } | { readonly error: unknown };

function attempt({ store, log, limits }: Open, write: Waiting): Outcome {
  store.exec("SAVEPOINT request");
  try {
    const appended = append(store, log, write.request, write.meta, limits);
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
function trim({ store, log, limits: { logEventsKept } }: Open, offset: number): void {
  const kept = offset - (log.trimmedTo() ?? offset);
  if (kept <= logEventsKept * 1.1) return;
  try {
    store.transaction(() => log.trim(offset - logEventsKept), "immediate");
  } catch {
    // A full disk, say. The writes are committed and answered, the log is only longer than it has to be, and the next commit tries again.
  }
}
