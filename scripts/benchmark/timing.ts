/**
 * Timing of short calls. What is compared is called in turns, a block of the one and a block of the other, so that whatever else this machine
 * does falls on all of them alike.
 */

export interface Task {
  /** How often it is called in each block. */
  readonly callsPerBlock: number;
  readonly call: (index: number) => void;
}

export interface Times {
  readonly p50: number;
  readonly p99: number;
  readonly count: number;
}

/** Milliseconds of one call of each task. A tenth of the blocks come first and don't count. */
export function timeInTurns<Name extends string>(
  blocks: number,
  tasks: Readonly<Record<Name, Task>>,
): Record<Name, Times> {
  const names = Object.keys(tasks) as Name[];
  const taken = new Map<Name, number[]>(names.map((name) => [name, []]));
  const warmUp = warmUpBlocks(blocks);
  for (let block = -warmUp; block < blocks; block++) {
    for (const name of names) {
      const { callsPerBlock, call } = tasks[name];
      for (let index = 0; index < callsPerBlock; index++) {
        const begin = Bun.nanoseconds();
        call((block + warmUp) * callsPerBlock + index);
        const end = Bun.nanoseconds();
        if (block >= 0) taken.get(name)?.push((end - begin) / 1e6);
      }
    }
  }
  return Object.fromEntries(names.map((name) => [name, timesOf(taken.get(name) ?? [])])) as Record<Name, Times>;
}

export const warmUpBlocks = (blocks: number): number => Math.ceil(blocks / 10);

export function timesOf(durations: readonly number[]): Times {
  const sorted = Float64Array.from(durations).sort();
  return { p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99), count: sorted.length };
}

export function median(numbers: readonly number[]): number {
  return quantile(Float64Array.from(numbers).sort(), 0.5);
}

function quantile(sorted: Float64Array, share: number): number {
  const value = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
  if (value === undefined) throw new Error("nothing was measured");
  return value;
}
