/**
 * Terms order the epochs of a history, as in Raft ("In Search of an Understandable Consensus Algorithm", section 5.1): no clock decides which epoch
 * is the later one. A term has two parts in one number. The upper part counts successions: promotions, which other nodes vote for, and restores. The
 * lower part counts starts of the same primary, which nobody votes for. So a primary that starts again never comes before its successor, however often
 * it starts.
 *
 * Earlier versions took the time in ms for a term. Later successions have greater terms than those, so they need no conversion.
 */
const startsPerSuccession = 2 ** 20;

/** Of a new history. */
export const firstTerm = startsPerSuccession;

/** Of a successor, given the terms that are known to it. */
export function nextFailoverTerm(...known: readonly number[]): number {
  return (failoverOf(Math.max(...known)) + 1) * startsPerSuccession;
}

/** Of the same primary after another start, given the terms that are known to it. */
export function nextStartTerm(...known: readonly number[]): number {
  return Math.max(...known) + 1;
}

/** Whether nobody voted for it: it is of another start of the primary of the term before. */
export function isStartTerm(term: number): boolean {
  return term % startsPerSuccession !== 0;
}

/** Whether both are terms of one primary, of different starts at the most. */
export function isSameFailover(one: number, other: number): boolean {
  return failoverOf(one) === failoverOf(other);
}

function failoverOf(term: number): number {
  return Math.floor(term / startsPerSuccession);
}
