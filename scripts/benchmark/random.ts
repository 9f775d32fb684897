/** Seeded random numbers: the same seed gives the same facts and questions on every machine. */

export type Random = () => number;

/** Uniform numbers from 0 below 1 (mulberry32). */
export function random(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A whole number from 0 below `count`, each equally likely. */
export const below = (next: Random, count: number): number => Math.floor(next() * count);

/** One of the items, each equally likely. */
export function pick<Item>(next: Random, items: readonly Item[]): Item {
  const item = items[below(next, items.length)];
  if (item === undefined) throw new Error("there is nothing to pick from");
  return item;
}

/** Whole numbers from 0 below `count`, the n-th with a probability proportional to 1/n (Zipf). */
export function zipf(next: Random, count: number): () => number {
  const sums = new Float64Array(count);
  let sum = 0;
  for (let rank = 0; rank < count; rank++) sums[rank] = sum += 1 / (rank + 1);
  return () => {
    const wanted = next() * sum;
    let [low, high] = [0, count - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((sums[middle] ?? sum) > wanted) high = middle;
      else low = middle + 1;
    }
    return low;
  };
}
