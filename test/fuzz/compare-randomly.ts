/** Compares the engine with the oracle under random policies. A difference is shrunk and printed as a case file. */
import { expect } from "bun:test";
import fc from "fast-check";
import { compilePolicy } from "../cases/compile-policy.ts";
import type { SeededRuns } from "../seeds.ts";
import { type Counts, differencesOf, noCounts, type Sample } from "./differential.ts";
import { printCase } from "./print-case.ts";

/** Prints and returns what was counted. */
export function compareRandomly(
  samples: fc.Arbitrary<Sample>,
  { seed, runs }: Pick<SeededRuns, "seed" | "runs">,
): Counts {
  const counts = noCounts();
  const result = fc.check(
    fc.property(samples, (one) => expect(differencesOf(one, counts)).toEqual([])),
    { numRuns: runs, seed },
  );
  console.log(`seed ${seed}, ${result.numRuns} runs:`, JSON.stringify(counts));
  if (result.failed) {
    const [smallest] = result.counterexample ?? [];
    const text =
      smallest === undefined ? "" : printCase(`found by seed ${seed}`, smallest, compilePolicy(smallest.policy));
    throw new Error(`the engine and the oracle differ: ${String(result.errorInstance)}\n\n${text}`);
  }
  return counts;
}
