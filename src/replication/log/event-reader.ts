/**
 * A node's log for those who are no nodes: what happened after some place, and word of whatever comes. A place is named by epoch and offset, like a
 * consistency token, so that nobody goes on in another history than the one that he has read.
 */
import type { Connection } from "../../store/connection/connection.ts";
import { containsOffset, epochAt, readEpochs, type Epoch } from "../../store/log/epochs.ts";
import { openLog, type Log, type ReadBounds, type StoredLogRow } from "../../store/log/log.ts";
import { readState, type StoreState } from "../../store/log/store-state.ts";
import { AppError } from "../../util/app-error.ts";
import { formatToken } from "../position.ts";

/** Between two events: behind the one at `offset`. */
export interface EventPosition {
  readonly epoch: string;
  readonly offset: number;
}

/** Where to read from. Without its epoch an offset means whatever history this node has. */
export type ReadFrom = { readonly epoch?: string | undefined; readonly offset: number } | "earliest" | "end";

export interface LoggedEvent extends StoredLogRow {
  /** In which it happened. The event that begins an epoch belongs to it. */
  readonly epoch: string;
}

export interface EventPage {
  readonly events: readonly LoggedEvent[];
  /** Behind the last one of them, or where it was read from. */
  readonly next: EventPosition;
  /** The present end of the log. */
  readonly head: EventPosition;
}

export interface EventReader {
  /**
   * The events after a place, in order. AppError `gone` where some of them were trimmed and `conflict` where this history does not contain the place,
   * both with what the log has (`details`: `earliest` and `head` as tokens); `invalid_request` where the log is not that long; `not_ready` where that
   * may come yet, and without a copy.
   */
  read(from: ReadFrom, bounds: ReadBounds): EventPage;
  /** Calls `listener` each time there is something new. Returns the way to end that. */
  subscribe(listener: () => void): () => void;
}

export interface EventReaderOptions {
  /** A read-only connection to the present store. AppError `not_ready` while there is none. */
  readonly reader: () => Connection;
  /** Whether nobody can know of more than this log has. */
  readonly primary: boolean;
}

/** `moved` is to be called when the store has moved on. */
export function createEventReader({ reader, primary }: EventReaderOptions): EventReader & { moved(): void } {
  const listeners = new Set<() => void>();
  let log: Log | undefined;
  let logOf: Connection | undefined;
  const logIn = (store: Connection): Log => {
    if (log === undefined || logOf !== store) [log, logOf] = [openLog(store), store];
    return log;
  };
  return {
    read(from, bounds) {
      const store = reader();
      const log = logIn(store);
      return store.transaction(() => {
        const extent = extentOf(readState(store), log, readEpochs(store));
        const offset = offsetOf(from, extent, primary);
        return pageOf(log.read(offset, bounds), offset, extent);
      });
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    moved() {
      for (const listener of listeners) listener();
    },
  };
}

interface LogExtent {
  /** Events after this offset are here. */
  readonly earliest: number;
  readonly head: EventPosition;
  readonly epochs: readonly Epoch[];
}

function extentOf({ epoch, offset }: StoreState, log: Log, epochs: readonly Epoch[]): LogExtent {
  return { earliest: log.trimmedTo() ?? offset, head: { epoch, offset }, epochs };
}

function pageOf(rows: readonly StoredLogRow[], from: number, { head, epochs }: LogExtent): EventPage {
  const events = rows.map((row): LoggedEvent => ({ ...row, epoch: epochAt(epochs, row.offset).epoch }));
  const offset = events.at(-1)?.offset ?? from;
  return { events, next: { epoch: epochAt(epochs, offset).epoch, offset }, head };
}

function offsetOf(from: ReadFrom, extent: LogExtent, primary: boolean): number {
  const { earliest, head, epochs } = extent;
  if (from === "earliest") return earliest;
  if (from === "end") return head.offset;
  const { epoch, offset } = from;
  const inHistory = epoch === undefined ? offset <= head.offset : containsOffset(epochs, head.offset, epoch, offset);
  if (inHistory !== true) {
    if (epoch === undefined || epoch === head.epoch) throw beyondEnd(from, extent, primary);
    throw notInHistory(from, extent);
  }
  if (offset < earliest)
    throw refused(
      "gone",
      `the log of this node begins at ${earliest + 1}, what came between it and \`${formatPosition(from)}\` is not kept here: read what is there now, and go on from \`head\``,
      extent,
    );
  return offset;
}

type NamedPosition = Exclude<ReadFrom, string>;

/** A copy may only be behind; of a bare offset nobody says that there ever was such an event. */
function beyondEnd(from: NamedPosition, { head }: LogExtent, primary: boolean): AppError {
  if (primary || from.epoch === undefined)
    return new AppError(
      "invalid_request",
      `the log ends at ${head.offset}, nothing comes after \`${formatPosition(from)}\``,
    );
  return new AppError(
    "not_ready",
    `this node has come to ${head.offset}, not yet to \`${formatPosition(from)}\`, try again`,
  );
}

function notInHistory(from: NamedPosition, extent: LogExtent): AppError {
  return refused(
    "conflict",
    `\`${formatPosition(from)}\` is not part of this environment's history, or not any more (an older state was restored, or another node became the primary): read what is there now, and go on from \`head\``,
    extent,
  );
}

function formatPosition({ epoch, offset }: NamedPosition): string {
  return epoch === undefined ? String(offset) : formatToken(epoch, offset);
}

function refused(code: "gone" | "conflict", message: string, { earliest, head, epochs }: LogExtent): AppError {
  const ends = {
    earliest: formatToken(epochAt(epochs, earliest).epoch, earliest),
    head: formatToken(head.epoch, head.offset),
  };
  return new AppError(code, message, { details: { message, ...ends } });
}
