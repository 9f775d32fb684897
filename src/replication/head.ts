/** The primary's head: where it stands, and from where on its log is still there. */
import type { SqlDatabase } from "../runtime/sqlite.ts";
import type { Log } from "../store/log.ts";
import { readState } from "../store/state.ts";
import type { Head } from "./envelope.ts";

/** Reads it; the caller's transaction makes state and log belong to the same moment. */
export function readHead(store: SqlDatabase, log: Log): Head {
  const { environment, epoch, offset, hash, digest } = readState(store);
  return {
    v: 1,
    s: environment,
    e: epoch,
    t: Date.now(),
    l: offset,
    h: hash,
    d: digest,
    trim: log.trimmedTo() ?? offset,
  };
}
