/**
 * Events that a node has and the history that goes on has not: written by a primary that was replaced before they had reached its successor. They are
 * put into a file for the operator, one JSON object a line, and never dropped in silence: somebody may have been told that they were done.
 */
import { closeSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { installFile } from "../../runtime/atomic-file.ts";
import type { Log } from "../../store/log/log.ts";
import type { StoreState } from "../../store/log/store-state.ts";

const page = { eventsMax: 500, bytesMax: 4 * 1024 * 1024 };

export interface UnreplicatedEvents {
  readonly path: string;
  readonly events: number;
  /** How many before them were trimmed from the log already, at most. */
  readonly trimmed: number;
}

/** For a line in the log: how many there are, and how many are gone. */
export function describeUnreplicated({ events, trimmed }: UnreplicatedEvents): string {
  return `${events} events${trimmed > 0 ? ` (and up to ${trimmed} before them, which were trimmed from the log)` : ""}`;
}

/** Writes what the log has after `common` into a file of `directory`. `undefined` where that is nothing. */
export function saveUnreplicated(
  directory: string,
  log: Log,
  present: StoreState,
  common: number,
): UnreplicatedEvents | undefined {
  const first = log.read(common, { eventsMax: 1, bytesMax: 1 })[0];
  if (first === undefined) return undefined;
  const path = join(directory, `unreplicated-${present.epoch}-${first.offset}-${present.offset}.ndjson`);
  const temporary = `${path}.new`;
  const file = openSync(temporary, "w", 0o600);
  let events = 0;
  try {
    for (let after = first.offset - 1; ;) {
      const rows = log.read(after, page);
      const last = rows.at(-1);
      if (last === undefined) break;
      const lines = rows.map(({ offset, timeMs, body }) => {
        const time = new Date(timeMs).toISOString();
        return `${JSON.stringify({ epoch: present.epoch, offset, time, effect: JSON.parse(body) as unknown })}\n`;
      });
      writeSync(file, lines.join(""));
      events += rows.length;
      after = last.offset;
    }
  } finally {
    closeSync(file);
  }
  installFile(temporary, path);
  return { path, events, trimmed: first.offset - common - 1 };
}
