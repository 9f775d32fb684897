/**
 * Free-form policies with their own tests: the test runner, both strategies of the engine and the oracle must agree.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { TooMuchWork } from "../oracle.ts";
import { quota, randomTestMs, seededRuns } from "../seeds.ts";
import { judge, type Verdict } from "../polar/agree.ts";
import { freePolicy } from "./free-policy.ts";

const conditionsMax = 300_000;

test.each(seededRuns(20_251, 60))(
  "$runs free-form policies with seed $seed",
  ({ seed, runs, isKnown }) => {
    const counts = { refused: 0, tooLarge: 0, passed: 0, failed: 0 };
    const result = fc.check(
      fc.property(freePolicy, (policy) => {
        const verdict = judged(policy);
        if (verdict === undefined) counts.tooLarge += 1;
        else if (verdict.diagnostics.some(({ severity }) => severity === "error")) counts.refused += 1;
        else {
          counts.failed += verdict.failures.length;
          counts.passed += verdict.assertions - verdict.failures.length;
          expect(verdict.disagreements).toEqual([]);
        }
      }),
      { numRuns: runs, seed },
    );
    console.log(`seed ${seed}, ${result.numRuns} runs:`, JSON.stringify(counts));
    if (result.failed) throw new Error(`${String(result.errorInstance)}\n\n${result.counterexample?.join("\n")}`);
    expect(counts.passed).toBeGreaterThanOrEqual(quota(runs, 0.3, isKnown));
    expect(counts.failed).toBeGreaterThanOrEqual(quota(runs, 0.3, isKnown));
  },
  randomTestMs,
);

function judged(policy: string): Verdict | undefined {
  try {
    return judge(policy, { conditionsMax });
  } catch (error) {
    if (error instanceof TooMuchWork) return undefined;
    throw error;
  }
}
