/**
 * The revision of the data: the position of the last event that may have changed them. A term that has begun since moves the position and nothing else,
 * so what was taken of a revision holds over a restart of the primary.
 */
import type { Connection } from "../connection/connection.ts";
import { epochAt, readEpochs } from "./epochs.ts";
import { readState } from "./store-state.ts";

export interface Revision {
  readonly epoch: string;
  /** Of the last event that is contained. */
  readonly offset: number;
}

const lastKind = "SELECT kind FROM log WHERE offset = ?1";
const lastChange = "SELECT offset FROM log WHERE kind <> 'epoch' ORDER BY offset DESC LIMIT 1";

/** Where the log has no other events, the position itself. */
export function readRevision(database: Connection): Revision {
  const { epoch, offset } = readState(database);
  if (database.statement(lastKind).values(offset)[0]?.[0] !== "epoch") return { epoch, offset };
  const changed = database.statement(lastChange).values()[0]?.[0];
  if (changed === undefined) return { epoch, offset };
  return { epoch: epochAt(readEpochs(database), Number(changed)).epoch, offset: Number(changed) };
}
