/**
 * A reader of a node's log for clients of the event API: pages of events after a position, and notifications of new
 * events. A position has an epoch and an offset, like a consistency token, so a client cannot continue in another
 * history than the one that it has read.
 */
import type { Connection } from "../../store/connection/connection.ts";
import { containsOffset, epochAt, readEpochs, type Epoch } from "../../store/log/epochs.ts";
import { openLog, type Log, type ReadBounds, type StoredLogRow } from "../../store/log/log.ts";
import { readState } from "../../store/log/store-state.ts";
import { AppError } from "../../util/app-error.ts";
import { formatToken, type Position } from "../event/position.ts";

/** The position after the event at `offset`. */
export type EventPosition = Pick<Position, "epoch" | "offset">;

/** Where to read from. An offset without an epoch refers to the history that this node has. */
export type ReadFrom = { readonly epoch?: string | undefined; readonly offset: number } | "earliest" | "end";

export interface LoggedEvent extends StoredLogRow {
  /** The epoch of the event. The event that begins an epoch belongs to it. */
  readonly epoch: string;
}

export interface EventPage {
  readonly events: readonly LoggedEvent[];
  /** The position after the last event, or where the read began. */
  readonly next: EventPosition;
  /** The current end of the log. */
  readonly head: EventPosition;
}

export interface EventReader {
  /**
   * The events after a position, in order. AppError `gone` if some of them were trimmed, `conflict` if this history
   * does not contain the position (both with the ends of the log in `details`: `earliest` and `head` as tokens),
   * `invalid_request` if the log is shorter, `not_ready` if the position may still come or there is no database.
   */
  read(from: ReadFrom, bounds: ReadBounds): EventPage;
  /** Calls `listener` after each new event. Returns the function that unsubscribes it. */
  subscribe(listener: () => void): () => void;
}

/**
 * `reader` returns a read-only connection to the current database, or throws an AppError `not_ready` while there is
 * none. `isPrimary`: no other node can have more events than this log. Call `notify` after each change of the position.
 */
export function createEventReader(reader: () => Connection, isPrimary: boolean): EventReader & { notify(): void } {
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
        const { epoch, offset: end } = readState(store);
        const epochs = readEpochs(store);
        const head = { epoch, offset: end };
        const first = offsetOf(from, { earliest: log.trimmedTo() ?? end, head, epochs }, isPrimary);
        const rows = log.read(first, bounds);
        const events = rows.map((row): LoggedEvent => ({ ...row, epoch: epochAt(epochs, row.offset).epoch }));
        const offset = events.at(-1)?.offset ?? first;
        return { events, next: { epoch: epochAt(epochs, offset).epoch, offset }, head };
      });
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    notify() {
      for (const listener of listeners) listener();
    },
  };
}

interface LogExtent {
  /** The log has the events after this offset. */
  readonly earliest: number;
  readonly head: EventPosition;
  readonly epochs: readonly Epoch[];
}

/** Throws as `EventReader.read` does. */
function offsetOf(from: ReadFrom, extent: LogExtent, primary: boolean): number {
  const { earliest, head, epochs } = extent;
  if (from === "earliest") return earliest;
  if (from === "end") return head.offset;
  const { epoch, offset } = from;
  const position = epoch === undefined ? String(offset) : formatToken(epoch, offset);
  const isInHistory = epoch === undefined ? offset <= head.offset : containsOffset(epochs, head.offset, epoch, offset);
  if (isInHistory !== true) {
    if (epoch !== undefined && epoch !== head.epoch)
      throw refused(
        "conflict",
        `\`${position}\` is not part of this environment's history, or not any more (an older state was restored, or another node became the primary): read the current data, and continue from \`head\``,
        extent,
      );
    // A replica may be behind. An offset without an epoch names no event that must exist.
    if (primary || epoch === undefined)
      throw new AppError("invalid_request", `the log ends at ${head.offset}, nothing comes after \`${position}\``);
    throw new AppError("not_ready", `this node has reached ${head.offset}, not yet \`${position}\`, try again`);
  }
  if (offset < earliest)
    throw refused(
      "gone",
      `the log of this node begins at ${earliest + 1}, the events after \`${position}\` and before it are not kept here: read the current data, and continue from \`head\``,
      extent,
    );
  return offset;
}

function refused(code: "gone" | "conflict", message: string, { earliest, head, epochs }: LogExtent): AppError {
  const ends = {
    earliest: formatToken(epochAt(epochs, earliest).epoch, earliest),
    head: formatToken(head.epoch, head.offset),
  };
  return new AppError(code, message, { details: { message, ...ends } });
}
