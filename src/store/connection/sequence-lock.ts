/**
 * Whether a store has changed, without asking it: a number that the thread which writes and those which read share (a sequence lock, Lameter
 * 2005). It is odd from before a commit until after it, and another one afterwards. Who saw the same even number before and after it
 * read knows which state it has read, and whether that is still the present one.
 */

export type SequenceLock = Int32Array<SharedArrayBuffer>;

export function newSequenceLock(): SequenceLock {
  return new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
}

/** Runs what may change the store. */
export function whileWriting<T>(changes: SequenceLock, body: () => T): T {
  Atomics.add(changes, 0, 1);
  try {
    return body();
  } finally {
    Atomics.add(changes, 0, 1);
  }
}

/** Names the present state; `undefined` while it may be changing. */
export function readSequence(changes: SequenceLock): number | undefined {
  const number = Atomics.load(changes, 0);
  return (number & 1) === 0 ? number : undefined;
}
