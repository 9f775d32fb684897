/**
 * The part of a history that is in the surviving log. A replaced primary may have acknowledged a write that its
 * successor does not have. The position of that write is in no epoch of the surviving log, so its offset means nothing.
 */
import type { Epoch, History, Position, Read, Write } from "./history.ts";

export interface SurvivingHistory {
  /** All writes. Lost ones appear as writes without an answer. */
  readonly writes: readonly Write[];
  /** All reads, without tokens of lost writes. */
  readonly reads: readonly Read[];
  /** Acknowledged writes that were lost. */
  readonly lost: readonly Write[];
}

export function survivingHistory({ writes, reads, epochs }: History): SurvivingHistory {
  const survives = survivalIn(epochs);
  const isLost = ({ token }: Write): boolean => token !== undefined && !survives(token);
  return {
    writes: writes.map((write) => (isLost(write) ? { ...write, endMs: Infinity, token: undefined } : write)),
    reads: reads.map((read) =>
      read.token === undefined || survives(read.token) ? read : { ...read, token: undefined },
    ),
    lost: writes.filter(isLost),
  };
}

/** Whether the log contains a position: its epoch is part of it, and did not end before that offset. */
function survivalIn(epochs: readonly Epoch[]): (position: Position) => boolean {
  const ends = new Map(epochs.map(({ epoch }, index) => [epoch, epochs[index + 1]?.offset ?? Infinity]));
  return ({ epoch, offset }) => offset <= (ends.get(epoch) ?? -1);
}
