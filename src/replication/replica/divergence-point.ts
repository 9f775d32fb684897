/** The divergence point of two histories: up to there both have the same events and the same chain hashes. */
import type { Epoch } from "../../store/log/epochs.ts";
import type { Log } from "../../store/log/log.ts";
import type { StoreState } from "../../store/log/store-state.ts";

/**
 * Returns the last offset that this store is known to have in common with a history of these epochs, or 0. Each epoch
 * begins at a position with a known hash, so a position that this store has as well is common. One primary wrote the
 * whole epoch, so both histories are the same until the first of them leaves the last common epoch (as with leader
 * epochs in Kafka, KIP-101).
 */
export function lastCommonOffset(state: StoreState, log: Log, own: readonly Epoch[], theirs: readonly Epoch[]): number {
  const hashAt = (offset: number): string | undefined => (offset === state.offset ? state.hash : log.hashAt(offset));
  const isShared = ({ epoch, offset, hash }: Epoch): boolean =>
    own.some((mine) => mine.epoch === epoch && mine.offset === offset && mine.hash === hash) ||
    (offset <= state.offset && hashAt(offset) === hash);
  const last = theirs.findLastIndex(isShared);
  const common = theirs[last];
  if (common === undefined) return 0;
  const index = own.findIndex(({ epoch }) => epoch === common.epoch);
  const next = theirs[last + 1];
  // The last epoch of their history may end anywhere.
  if (index === -1 || next === undefined) return common.offset;
  const end = own[index + 1]?.offset ?? state.offset;
  if (end <= next.offset) return end;
  // Another hash there means that a resumed machine has written the same positions again.
  const mine = hashAt(next.offset);
  return mine === undefined || mine === next.hash ? next.offset : common.offset;
}

/** A position that another node reports. */
export interface ReportedPosition {
  readonly epoch: string;
  readonly offset: number;
  /** A node of an older version does not send it over a broker. */
  readonly hash: string | undefined;
}

/**
 * Whether this history contains the position in its current epoch, as far as its log still shows. After a restore of an
 * old backup, a position of the abandoned history may have the same epoch and offset, but another hash.
 */
export function historyContains(state: StoreState, log: Log, { epoch, offset, hash }: ReportedPosition): boolean {
  if (epoch !== state.epoch || offset > state.offset) return false;
  return hash === undefined || hash === (offset === state.offset ? state.hash : log.hashAt(offset));
}
