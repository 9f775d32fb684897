/** A node's head: where it stands, and from where on its log is still there. */
import type { Connection } from "../../store/connection/connection.ts";
import { readEpochs } from "../../store/log/epochs.ts";
import type { Log } from "../../store/log/log.ts";
import { readState } from "../../store/log/store-state.ts";
import { must } from "../../util/assert.ts";
import type { Head } from "./messages.ts";

export interface HeadOptions {
  readonly role: Head["role"];
  /** Whether others shall say how far they have come as soon as they have. */
  readonly ack: boolean;
  /** A primary's: the head's sequence number. */
  readonly sequenceNumber: number | undefined;
  /** How long ago this copy was known to be the newest, null where that is not known. Undefined for a primary, whose copy is the newest. */
  readonly ageMs: number | null | undefined;
  /** The node's id. */
  readonly node: string;
  /** A primary's: which start of its process it is. */
  readonly instance: string | undefined;
}

/** Reads it; the caller's transaction makes state and log belong to the same moment. */
export function readHead(
  store: Connection,
  log: Log,
  { role, ack, sequenceNumber: number, ageMs, node, instance }: HeadOptions,
  timeMs: number,
): Head {
  const { environment, epoch, term, offset, hash, digest } = readState(store);
  const epochs = readEpochs(store);
  const began = must(epochs.at(-1), "a store has an epoch");
  return {
    v: 1,
    s: environment,
    e: epoch,
    n: term,
    t: timeMs,
    l: offset,
    h: hash,
    d: digest,
    trim: log.trimmedTo() ?? offset,
    f: epochs[0]?.epoch,
    from: [began.offset, began.hash],
    role,
    ack,
    ...(number === undefined ? {} : { q: number }),
    ...(ageMs === undefined ? {} : { a: ageMs }),
    node,
    ...(instance === undefined ? {} : { i: instance }),
  };
}
