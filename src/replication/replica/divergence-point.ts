/** Comparing histories: what one node has that another's does not contain. Histories that part have equal hashes up to where they do. */
import type { Epoch } from "../../store/log/epochs.ts";
import type { Log } from "../../store/log/log.ts";
import type { StoreState } from "../../store/log/store-state.ts";

/**
 * The last offset that this store has in common with a history of these epochs, as far as that can be told. Epochs begin at positions with a known hash,
 * so such a position that this store has too is in common. Both histories then are the same up to where the first of them leaves the last epoch that
 * they share, since one primary wrote all of that epoch (as leader epochs in Kafka, KIP-101). 0 where they share none.
 */
export function lastCommonOffset(
  present: StoreState,
  log: Log,
  own: readonly Epoch[],
  theirs: readonly Epoch[],
): number {
  const hashAt = (offset: number): string | undefined =>
    offset === present.offset ? present.hash : log.hashAt(offset);
  const isShared = ({ epoch, offset, hash }: Epoch): boolean =>
    own.some((mine) => mine.epoch === epoch && mine.offset === offset && mine.hash === hash) ||
    (offset <= present.offset && hashAt(offset) === hash);
  const last = theirs.findLastIndex(isShared);
  const common = theirs[last];
  if (common === undefined) return 0;
  const index = own.findIndex(({ epoch }) => epoch === common.epoch);
  const next = theirs[last + 1];
  // Their last epoch may end anywhere.
  if (index === -1 || next === undefined) return common.offset;
  const end = own[index + 1]?.offset ?? present.offset;
  if (end <= next.offset) return end;
  // Another hash there: a machine that was resumed has written the same positions again.
  const mine = hashAt(next.offset);
  return mine === undefined || mine === next.hash ? next.offset : common.offset;
}

/** Where somebody says that he stands. */
export interface ReportedPosition {
  readonly epoch: string;
  readonly offset: number;
  /** An older node does not say it over a broker. */
  readonly hash: string | undefined;
}

/**
 * Whether this history has passed through there, in its present epoch and as far as its log still tells. Where an old backup was put back, a position
 * of the history that was given up may have the same epoch and offset as one of this, but not the same hash.
 */
export function historyContains(present: StoreState, log: Log, { epoch, offset, hash }: ReportedPosition): boolean {
  if (epoch !== present.epoch || offset > present.offset) return false;
  return hash === undefined || hash === (offset === present.offset ? present.hash : log.hashAt(offset));
}
