/**
 * For how long writes were not possible although they should have been. They should be possible while the coordination
 * service answers and enough nodes run and reach it and each other. Only then the time counts, until the next
 * acknowledged write. It starts again when another fault affects one of these nodes, since the others then have to
 * elect a primary.
 */

export interface AvailabilityFigures {
  /** How long writes should have been possible. */
  readonly possibleMs: number;
  /** Waits of half a second and more. */
  readonly waits: number;
  readonly medianMs: number;
  readonly worstMs: number;
  /** When the longest wait began. */
  readonly worstFromMs: number;
  /** Including the times when writes were not possible. */
  readonly longestWithoutMs: number;
}

/** From this time on, writes should be possible, or should not be. */
export interface AvailabilityChange {
  readonly atMs: number;
  readonly isPossible: boolean;
}

const waitMsMin = 500;

/**
 * `acknowledgedMs` has the times of all acknowledgements, in any order; `turns` is in order and begins at the start.
 */
export function availabilityOf(
  turns: readonly AvailabilityChange[],
  acknowledgedMs: readonly number[],
  endMs: number,
): AvailabilityFigures {
  const times = Float64Array.from(acknowledgedMs).sort();
  const beginMs = turns[0]?.atMs ?? endMs;
  const stretches = turns
    .map(({ atMs, isPossible }, index) => ({ isPossible, fromMs: atMs, toMs: turns[index + 1]?.atMs ?? endMs }))
    .filter(({ isPossible }) => isPossible);
  const waits = stretches
    .flatMap(({ fromMs, toMs }) => gapsWithin(times, fromMs, toMs))
    .filter(({ lengthMs }) => lengthMs >= waitMsMin)
    .sort((a, b) => a.lengthMs - b.lengthMs);
  return {
    possibleMs: stretches.reduce((sum, { fromMs, toMs }) => sum + toMs - fromMs, 0),
    waits: waits.length,
    medianMs: waits[Math.floor(waits.length / 2)]?.lengthMs ?? 0,
    worstMs: waits.at(-1)?.lengthMs ?? 0,
    worstFromMs: waits.at(-1)?.fromMs ?? 0,
    longestWithoutMs: gapsWithin(times, beginMs, endMs).reduce((most, { lengthMs }) => Math.max(most, lengthMs), 0),
  };
}

interface Gap {
  readonly fromMs: number;
  readonly lengthMs: number;
}

/** The gaps between two moments: from one time to the next, and also from the first moment and to the last. */
function gapsWithin(times: Float64Array, fromMs: number, toMs: number): Gap[] {
  const gaps: Gap[] = [];
  let lastMs = fromMs;
  for (let index = firstAfter(times, fromMs); index < times.length; index++) {
    const atMs = Math.min(times[index] ?? toMs, toMs);
    gaps.push({ fromMs: lastMs, lengthMs: atMs - lastMs });
    lastMs = atMs;
    if (lastMs >= toMs) return gaps;
  }
  return [...gaps, { fromMs: lastMs, lengthMs: toMs - lastMs }];
}

function firstAfter(times: Float64Array, atMs: number): number {
  const index = times.findIndex((time) => time > atMs);
  return index === -1 ? times.length : index;
}
