/**
 * Unreplicated events: a primary wrote them and was replaced before they reached its successor, so the surviving
 * history does not have them. They are saved to a file for the operator, one JSON object per line. They are never
 * dropped silently, because a client may have been told that they were committed.
 */
import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { installFile } from "../../runtime/atomic-file.ts";
import type { Log } from "../../store/log/log.ts";
import type { StoreState } from "../../store/log/store-state.ts";

const page = { eventsMax: 500, bytesMax: 4 * 1024 * 1024 };

export interface UnreplicatedEvents {
  readonly path: string;
  readonly events: number;
  /** How many more were trimmed from the log before, at most. */
  readonly trimmed: number;
}

/** For the log: how many events there are, and how many are lost. */
export function describeUnreplicated({ events, trimmed }: UnreplicatedEvents): string {
  return `${events} events${trimmed > 0 ? ` (and up to ${trimmed} before them, which were trimmed from the log)` : ""}`;
}

/** Saves the events after the offset `common` to a file in `directory`. Returns undefined if there are none. */
export function saveUnreplicated(
  directory: string,
  log: Log,
  state: StoreState,
  common: number,
): UnreplicatedEvents | undefined {
  const first = log.read(common, { eventsMax: 1, bytesMax: 1 })[0];
  if (first === undefined) return undefined;
  const path = join(directory, `unreplicated-${state.epoch}-${first.offset}-${state.offset}.ndjson`);
  const temporary = `${path}.new`;
  try {
    const events = writeEvents(temporary, log, state.epoch, first.offset - 1);
    installFile(temporary, path);
    return { path, events, trimmed: first.offset - common - 1 };
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

function writeEvents(path: string, log: Log, epoch: string, from: number): number {
  const file = openSync(path, "w", 0o600);
  let events = 0;
  try {
    for (let after = from; ;) {
      const rows = log.read(after, page);
      const last = rows.at(-1);
      if (last === undefined) return events;
      const lines = rows.map(({ offset, timeMs, body }) => {
        const time = new Date(timeMs).toISOString();
        return `${JSON.stringify({ epoch, offset, time, effect: JSON.parse(body) as unknown })}\n`;
      });
      writeSync(file, lines.join(""));
      events += rows.length;
      after = last.offset;
    }
  } finally {
    closeSync(file);
  }
}
