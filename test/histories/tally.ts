/** What histories came to, counted: a check of things that hardly ever happen is none. */
export interface Tally {
  histories: number;
  steps: number;
  /** Batches and policies that were refused, as they had to be. */
  refused: number;
  undone: number;
  policies: number;
  /** Facts that a new policy had no use for any more. */
  orphaned: number;
  cleared: number;
  /** Patterns that are open somewhere, and the facts that they took away. */
  wildcards: number;
  wildcardFacts: number;
  asks: number;
  /** Times that nothing could be asked: the oracle's model would have been too large. */
  tooLarge: number;
  questions: number;
  withContext: number;
  /** Checks that a memo may answer, and how often one did: at once, or after what had happened since. Of three memos. */
  memorable: number;
  remembered: { atOnce: number; later: number };
  positive: number;
  notEnumerable: number;
  /** Decisions asked for again whose answer is another one, by what alone had happened in between. */
  overturned: { write: number; policy: number; clear: number; clock: number; several: number };
  /** After writes: closures that were kept, not empty, deeper than their steps, with a cycle, and given up on the edge with the tight limits. */
  closures: { kept: number; filled: number; deep: number; cyclic: number; rowsMax: number; givenUp: number };
  /** Deleted facts whose ends a closure went on connecting, and those whose ends it did not. */
  detours: number;
  cuts: number;
}

export function emptyTally(): Tally {
  return {
    histories: 0,
    steps: 0,
    refused: 0,
    undone: 0,
    policies: 0,
    orphaned: 0,
    cleared: 0,
    wildcards: 0,
    wildcardFacts: 0,
    asks: 0,
    tooLarge: 0,
    questions: 0,
    withContext: 0,
    memorable: 0,
    remembered: { atOnce: 0, later: 0 },
    positive: 0,
    notEnumerable: 0,
    overturned: { write: 0, policy: 0, clear: 0, clock: 0, several: 0 },
    closures: { kept: 0, filled: 0, deep: 0, cyclic: 0, rowsMax: 0, givenUp: 0 },
    detours: 0,
    cuts: 0,
  };
}
