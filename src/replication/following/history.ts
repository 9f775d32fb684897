/** Comparing histories: what one node has that another's does not contain. Histories that part have equal hashes up to where they do. */
import type { Epoch } from "../../store/epochs.ts";
import type { Log } from "../../store/log.ts";
import type { State } from "../../store/state.ts";

/**
 * The last offset that this store has in common with a history of these epochs, as far as that can be told: epochs begin at positions with a known
 * hash, so it is the last such position that this store has too. 0 where it has none of them.
 */
export function lastCommonOffset(present: State, log: Log, epochs: readonly Epoch[]): number {
  const hashAt = (offset: number): string | undefined =>
    offset === present.offset ? present.hash : log.hashAt(offset);
  const common = epochs.filter(({ offset, hash }) => offset <= present.offset && hashAt(offset) === hash);
  return Math.max(0, ...common.map(({ offset }) => offset));
}

/** Where somebody says that he stands. */
export interface Stands {
  readonly epoch: string;
  readonly offset: number;
  /** An older node does not say it over a broker. */
  readonly hash: string | undefined;
}

/**
 * Whether this history has passed through there, in its present epoch and as far as its log still tells. Where an old backup was put back, a position
 * of the history that was given up may have the same epoch and offset as one of this, but not the same hash.
 */
export function isPassed(present: State, log: Log, { epoch, offset, hash }: Stands): boolean {
  if (epoch !== present.epoch || offset > present.offset) return false;
  return hash === undefined || hash === (offset === present.offset ? present.hash : log.hashAt(offset));
}
