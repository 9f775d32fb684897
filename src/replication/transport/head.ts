/** Reads the head of a node: its position, and where its log starts. */
import type { Connection } from "../../store/connection/connection.ts";
import { readEpochs } from "../../store/log/epochs.ts";
import type { Log } from "../../store/log/log.ts";
import { readState } from "../../store/log/store-state.ts";
import { must } from "../../util/assert.ts";
import type { Head } from "./messages.ts";

/** What a head says about its sender (`messages.ts` explains the members). */
export type HeadSender = Pick<Head, "role" | "ack" | "q" | "a" | "node" | "i" | "ask">;

/** Call it in a transaction, so that state and log are from the same moment. */
export function readHead(store: Connection, log: Log, sender: HeadSender, timeMs: number): Head {
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
    ...sender,
  };
}
