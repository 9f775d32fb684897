/**
 * Terms order the epochs of a history, as in Raft ("In Search of an Understandable Consensus Algorithm", section 5.1):
 * no clock decides which epoch is the later one. The upper part of the number counts failovers: promotions, which other
 * nodes vote for, and restores. The lower part counts starts of the same primary, which need no vote. So a primary never
 * overtakes its successor, however often it starts. Earlier versions used the time in ms; later terms are greater.
 */
const startsPerFailover = 2 ** 20;

/** The term of the first epoch of a history. */
export const firstTerm = startsPerFailover;

/** The term of a new primary that knows these terms. */
export function nextFailoverTerm(...known: readonly number[]): number {
  return (failoverOf(Math.max(...known)) + 1) * startsPerFailover;
}

/** The term of the same primary after a start. It knows these terms. */
export function nextStartTerm(...known: readonly number[]): number {
  return Math.max(...known) + 1;
}

/** Whether the term began with a start of the primary of the term before, so without a vote. */
export function isStartTerm(term: number): boolean {
  return term % startsPerFailover !== 0;
}

/** Whether both terms belong to the same primary, with any number of starts between them. */
export function isSameFailover(one: number, other: number): boolean {
  return failoverOf(one) === failoverOf(other);
}

function failoverOf(term: number): number {
  return Math.floor(term / startsPerFailover);
}
