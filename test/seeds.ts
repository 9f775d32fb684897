/**
 * The seeds of random tests. Each random test runs with two: one that stays, so a failure with it is a regression, and
 * one from a hash of `src` and `test`, so every change is tried with other inputs. The same tree has the same seeds.
 */
import { treeHash } from "./tree-hash.ts";

/** From 1 to 999,999,999. */
export const treeSeed: number = 1 + (treeHash("src", "test").readUInt32BE(0) % 999_999_999);

/**
 * `fixed` and the seed of the tree, or only the seed that the environment variable gives, to repeat a run. A test
 * divides its number of runs among them.
 */
export function seedsOf(fixed: number, variable = "FUZZ_SEED"): readonly number[] {
  const asked = process.env[variable];
  if (asked === undefined) return [fixed, treeSeed];
  const seed = Number(asked);
  if (!Number.isSafeInteger(seed) || seed < 1)
    throw new Error(`${variable} must be a whole number from 1 on, not \`${asked}\``);
  return [seed];
}

/** A seed, and the number of samples that a test makes from it. */
export interface SeededRuns {
  readonly seed: number;
  readonly runs: number;
  /** Whether the samples include those that every run of all tests has made, whatever the tree. */
  readonly isKnown: boolean;
}

/** The environment variables that repeat a test (`seed`), and that make it longer (`runs`). */
export interface RunVariables {
  readonly seed: string;
  readonly runs: string;
}

/**
 * The seeds of `seedsOf`, each with its share of the samples. There are `usual` samples, `FUZZ_FACTOR` times as many if
 * it is set, or as many as the variable says.
 */
export function seededRuns(
  fixed: number,
  usual: number,
  variables: RunVariables = { seed: "FUZZ_SEED", runs: "FUZZ_RUNS" },
): readonly SeededRuns[] {
  const seeds = seedsOf(fixed, variables.seed);
  const runs = Number(process.env[variables.runs] ?? usual * Number(process.env["FUZZ_FACTOR"] ?? 1));
  return seeds.map((seed) => {
    const share = Math.ceil(runs / seeds.length);
    return { seed, runs: share, isKnown: seed === fixed && share >= usual / 2 };
  });
}

/**
 * The least that a count must reach after some random runs. `rate` is at most half of what a run adds on average. The
 * least is four standard deviations below it, so no seed fails by chance, and few runs need not reach anything. The
 * deviation is that of a rare event, or as large as `rate` if the event is frequent. Known samples must reach something:
 * they have before.
 */
export function quota(runs: number, rate: number, isKnown = false): number {
  const least = Math.floor(rate * runs - 4 * Math.max(rate, Math.sqrt(rate)) * Math.sqrt(runs));
  return Math.max(isKnown ? 1 : 0, least);
}

/** The time limit of a random test, which may be told to make any number of runs. */
export const randomTestMs = 3_600_000;
