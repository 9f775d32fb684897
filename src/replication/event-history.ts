/** A node's log for those who are no nodes: what happened after some offset, and word of whatever comes. */
import type { SqlDatabase } from "../runtime/sqlite.ts";
import { readEpochs, type Epoch } from "../store/epochs.ts";
import { openLog, type ReadBounds, type StoredLogRow } from "../store/log.ts";
import { readState } from "../store/state.ts";
import { AppError } from "../util/app-error.ts";

export interface HistoryPage {
  readonly events: readonly StoredLogRow[];
  /** The present end of the log. */
  readonly head: number;
  readonly epochs: readonly Epoch[];
}

export interface History {
  /** Events after an offset. AppError `gone` where some of them were trimmed, `invalid_request` where the log is not that long, `not_ready` without a copy. */
  after(offset: number, bounds: ReadBounds): HistoryPage;
  /** Calls `listener` each time there is something new. Returns the way to end that. */
  onMoved(listener: () => void): () => void;
}

/** `reader` gives a read-only connection to the present store. `moved` is to be called when it has moved on. */
export function eventHistory(reader: () => SqlDatabase): History & { moved(): void } {
  const listeners = new Set<() => void>();
  return {
    after(offset, bounds) {
      const store = reader();
      return store.transaction(() => {
        const log = openLog(store);
        const head = readState(store).offset;
        const trimmed = log.trimmedTo() ?? head;
        if (offset > head)
          throw new AppError("invalid_request", `the log ends at ${head}, there is no \`${offset}\` to go on from`);
        if (offset < trimmed)
          throw new AppError(
            "gone",
            `the log of this node begins at ${trimmed + 1}, what came before is not kept here`,
          );
        return { events: log.read(offset, bounds), head, epochs: readEpochs(store) };
      });
    },
    onMoved(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    moved() {
      for (const listener of listeners) listener();
    },
  };
}
