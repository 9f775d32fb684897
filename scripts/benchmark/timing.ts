/** Timing of short calls. Compared tasks alternate in blocks, so that other load on the machine affects them equally. */
import * as Bun from "bun";

export interface Task {
  /** The number of calls per block. */
  readonly callsPerBlock: number;
  readonly call: (index: number) => void;
}

export interface Times {
  readonly p50: number;
  readonly p99: number;
  readonly count: number;
}

/**
 * Milliseconds per call of each task. The first tenth of the blocks is warm-up. If a block is long enough for a p99, the
 * result has that of the median block: otherwise a moment of other load on the machine would look like a slow call.
 */
export function timeInTurns<Name extends string>(
  blocks: number,
  tasks: Readonly<Record<Name, Task>>,
): Record<Name, Times> {
  const names = Object.keys(tasks) as Name[];
  const taken = new Map<Name, number[][]>(names.map((name) => [name, []]));
  const warmUp = warmUpBlocks(blocks);
  for (let block = -warmUp; block < blocks; block++) {
    for (const name of names) {
      const { callsPerBlock, call } = tasks[name];
      const durations: number[] = [];
      for (let index = 0; index < callsPerBlock; index++) {
        const begin = Bun.nanoseconds();
        call((block + warmUp) * callsPerBlock + index);
        durations.push((Bun.nanoseconds() - begin) / 1e6);
      }
      if (block >= 0) taken.get(name)?.push(durations);
    }
  }
  return Object.fromEntries(names.map((name) => [name, timesOfBlocks(taken.get(name) ?? [])])) as Record<Name, Times>;
}

function timesOfBlocks(blocks: readonly (readonly number[])[]): Times {
  const all = timesOf(blocks.flat());
  const long = blocks.every(({ length }) => length >= 100);
  return long ? { ...all, p99: median(blocks.map((block) => timesOf(block).p99)) } : all;
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
