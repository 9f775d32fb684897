/**
 * A sequence lock (Lameter 2005): a number that the writing and the reading threads share. It is odd during a commit,
 * and each commit leaves another even number. A reader that saw the same even number before and after it read knows
 * which state it has read, and can tell later without a query whether that state is still current.
 */

export type SequenceLock = Int32Array<SharedArrayBuffer>;

export function newSequenceLock(): SequenceLock {
  return new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
}

/** Runs `body`, which may change the store. */
export function whileWriting<T>(changes: SequenceLock, body: () => T): T {
  Atomics.add(changes, 0, 1);
  try {
    return body();
  } finally {
    Atomics.add(changes, 0, 1);
  }
}

/** The number of the current state; undefined during a commit. */
export function readSequence(changes: SequenceLock): number | undefined {
  const number = Atomics.load(changes, 0);
  return (number & 1) === 0 ? number : undefined;
}
