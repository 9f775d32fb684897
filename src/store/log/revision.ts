/**
 * The revision of the data: the position of the last event that may have changed them. An event that begins a term
 * changes the position but not the data, so results of a revision stay valid when the primary restarts.
 */
import type { Connection } from "../connection/connection.ts";
import { epochAt, readEpochs } from "./epochs.ts";
import { readState } from "./store-state.ts";

export interface Revision {
  readonly epoch: string;
  /** The offset of that event. */
  readonly offset: number;
}

const lastKind = "SELECT kind FROM log WHERE offset = ?1";
const lastChange = "SELECT offset FROM log WHERE kind <> 'epoch' ORDER BY offset DESC LIMIT 1";

/** The position of the store itself if the log has no other events. */
export function readRevision(database: Connection): Revision {
  const { epoch, offset } = readState(database);
  if (database.statement(lastKind).values(offset)[0]?.[0] !== "epoch") return { epoch, offset };
  const changed = database.statement(lastChange).values()[0]?.[0];
  if (changed === undefined) return { epoch, offset };
  return { epoch: epochAt(readEpochs(database), Number(changed)).epoch, offset: Number(changed) };
}
