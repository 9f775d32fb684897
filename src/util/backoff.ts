/**
 * Exponential backoff: each failure doubles the delay before the next attempt. Half of the delay is random ("equal
 * jitter"), so that nodes that failed together do not retry together.
 */
export interface BackoffLimits {
  readonly minMs: number;
  readonly maxMs: number;
}

/** The delay in ms after a number of consecutive failures (0 or more). `random` is a random number from 0 to 1. */
export function backoffMs(failures: number, { minMs, maxMs }: BackoffLimits, random: number): number {
  return Math.min(minMs * 2 ** failures, maxMs) * (0.5 + random / 2);
}
