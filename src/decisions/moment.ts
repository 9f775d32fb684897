/** The earlier moments that questions can be asked about, as the header `Ostiary-At` gives them. */
import { z } from "zod";
import { parseToken } from "../log/event/position.ts";
import { recoveryOffset } from "../replication/backup/point-in-time.ts";
import type { Connection } from "../store/connection/connection.ts";
import { openStore } from "../store/connection/open-store.ts";
import { epochAt, readEpochs, containsOffset } from "../store/log/epochs.ts";
import { readState, type Revision } from "../store/log/store-state.ts";
import { AppError } from "../util/app-error.ts";
import { clip } from "../util/text-length.ts";
import { atPosition, type PastStateOptions } from "./past-state.ts";

/** The state after an event, of any history or of a certain one, or the state at a time. */
export type Moment = { readonly offset: number; readonly epoch?: string } | { readonly timeMs: number };

/** Throws `invalid_request` if the text is not a moment. */
export function parseMoment(text: string): Moment {
  if (/^\d{1,15}$/.test(text)) return { offset: Number(text) };
  if (/^[0-9a-f]{16}:\d{1,15}$/.test(text)) return parseToken(text);
  // Without a zone the time would depend on the reader.
  if (z.iso.datetime({ offset: true }).safeParse(text).success) return { timeMs: Date.parse(text) };
  throw new AppError(
    "invalid_request",
    `\`${clip(text, 64)}\` is no moment: it is an offset such as \`4711\`, a consistency token, or a time with its zone such as \`2026-05-03T14:00:00Z\``,
  );
}

/** What an answer about a moment was computed from. */
export interface MomentData {
  readonly store: Connection;
  /** Seconds since 1970: the time that was asked for, or that of the last event. */
  readonly clock: number;
  readonly position: Revision;
}

/**
 * Runs `body` on the data of a moment. AppError `gone` before the earliest one, whose message names it, and in another
 * history; `invalid_request` in the future, and if a clock that was set makes a time ambiguous.
 */
export function atMoment<T>(moment: Moment, options: PastStateOptions, body: (data: MomentData) => T): T {
  const position = positionOf(moment, options.storePath);
  return atPosition(position, options, false, (store) => {
    const timeMs = "timeMs" in moment ? moment.timeMs : readState(store).timeMs;
    return body({ store, position, clock: Math.floor(timeMs / 1000) });
  });
}

function positionOf(moment: Moment, storePath: string): Revision {
  const live = openStore(storePath, { readonly: true });
  try {
    return live.transaction(() => {
      const newest = readState(live);
      const epochs = readEpochs(live);
      const offset = recoveryOffset(live, moment, Date.now());
      const wanted = "epoch" in moment ? moment.epoch : undefined;
      if (wanted !== undefined && containsOffset(epochs, newest.offset, wanted, offset) !== true)
        throw new AppError("gone", `the history of this node does not have offset ${offset} of the epoch ${wanted}`);
      return { offset, epoch: offset === newest.offset ? newest.epoch : epochAt(epochs, offset).epoch };
    });
  } finally {
    live.close();
  }
}
