/** Counts what happened in histories: a check of things that hardly ever happen would prove nothing. */
export interface HistoryCounts {
  histories: number;
  steps: number;
  /** Batches and policies that were refused, as expected. */
  refused: number;
  undone: number;
  policies: number;
  /** Facts that a new policy no longer used. */
  unusedFacts: number;
  cleared: number;
  /** Patterns with wildcards, and the facts that they deleted. */
  wildcards: number;
  wildcardFacts: number;
  asks: number;
  /** How often no question could be asked, because the oracle's model would have been too large. */
  tooLarge: number;
  questions: number;
  withContext: number;
  /**
   * Checks that a decision cache may answer, and how often one did: immediately, or after other steps. There are three
   * caches.
   */
  cacheable: number;
  cached: { immediately: number; later: number };
  positive: number;
  notEnumerable: number;
  /** Repeated decisions with another answer, by the only kind of change in between. */
  overturned: { write: number; policy: number; clear: number; clock: number; several: number };
  /**
   * After writes: closures that are materialized, not empty, deeper than their steps, cyclic, and abandoned on the edge
   * with the tight limits.
   */
  closures: { materialized: number; filled: number; deep: number; cyclic: number; rowsMax: number; abandoned: number };
  /** Deleted facts whose ends a closure still connects, and those whose ends it does not. */
  detours: number;
  cuts: number;
}

export function emptyCounts(): HistoryCounts {
  return {
    histories: 0,
    steps: 0,
    refused: 0,
    undone: 0,
    policies: 0,
    unusedFacts: 0,
    cleared: 0,
    wildcards: 0,
    wildcardFacts: 0,
    asks: 0,
    tooLarge: 0,
    questions: 0,
    withContext: 0,
    cacheable: 0,
    cached: { immediately: 0, later: 0 },
    positive: 0,
    notEnumerable: 0,
    overturned: { write: 0, policy: 0, clear: 0, clock: 0, several: 0 },
    closures: { materialized: 0, filled: 0, deep: 0, cyclic: 0, rowsMax: 0, abandoned: 0 },
    detours: 0,
    cuts: 0,
  };
}
