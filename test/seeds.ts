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
