/**
 * Checks that the log of a store leads to its state: without a gap, with valid chain hashes, up to the current
 * position.
 */
import type { Connection } from "../../store/connection/connection.ts";
import { openStore } from "../../store/connection/open-store.ts";
import { readEpochs } from "../../store/log/epochs.ts";
import { openLog, type Log, type StoredLogRow } from "../../store/log/log.ts";
import { readState, zeroHash } from "../../store/log/store-state.ts";
import { chainHash } from "../../log/event/position.ts";

const page = { eventsMax: 5000, bytesMax: 8 * 1024 * 1024 };

/** As `checkLog`, for the store in the file at `path`. */
export function checkLogAt(path: string): void {
  const store = openStore(path, { readonly: true });
  try {
    checkLog(store);
  } finally {
    store.close();
  }
}

/** Throws if the log is damaged. An empty log is valid. */
export function checkLog(store: Connection): void {
  const log = openLog(store);
  const state = readState(store);
  const last = checkChain(log);
  if (last === undefined) return;
  const { offset, hash, digest } = last;
  if (offset !== state.offset || hash !== state.hash || (digest ?? state.digest) !== state.digest)
    throw new Error(`the log is damaged: it ends at ${offset} with another state than the stored one`);
  for (const { epoch, offset: beginning, hash: expected } of readEpochs(store)) {
    if ((log.hashAt(beginning) ?? expected) !== expected)
      throw new Error(`the log is damaged: the epoch ${epoch} began with another history at ${beginning}`);
  }
}

/** Returns the last row. */
function checkChain(log: Log): StoredLogRow | undefined {
  let before: { readonly offset: number; readonly hash: string } | undefined = { offset: 0, hash: zeroHash };
  let last: StoredLogRow | undefined;
  for (;;) {
    const rows = log.read(last?.offset ?? 0, page);
    // Earlier rows were trimmed, and the hash before the first row is unknown.
    if (last === undefined && rows[0]?.offset !== 1) before = undefined;
    for (const row of rows) {
      if (before !== undefined && (row.offset !== before.offset + 1 || chainHash(before.hash, row) !== row.hash))
        throw new Error(`the log is damaged: its row ${row.offset} does not follow from those before it`);
      before = last = row;
    }
    if (rows.length === 0) return last;
  }
}
