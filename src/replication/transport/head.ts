/** Reads the head of a node: its position, and where its log starts. */
import type { Connection } from "../../store/connection/connection.ts";
import { readEpochs } from "../../store/log/epochs.ts";
import type { Log } from "../../store/log/log.ts";
import { readState } from "../../store/log/store-state.ts";
import { must } from "../../util/assert.ts";
import type { Head } from "./messages.ts";

export interface HeadOptions {
  readonly role: Head["role"];
  /** Whether replicas should acknowledge their position immediately. */
  readonly ack: boolean;
  /** The sequence number of the head, on a primary. */
  readonly sequenceNumber: number | undefined;
  /** How long ago this replica was known to be up to date; null if unknown. Undefined on a primary, which always is. */
  readonly ageMs: number | null | undefined;
  /** The id of this node. */
  readonly node: string;
  /** Identifies the start of the process, on a primary. */
  readonly instance: string | undefined;
}

/** Call it in a transaction, so that state and log are from the same moment. */
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
