/**
 * Free-form policies with their own tests: the test runner, both strategies of the engine and the oracle must agree.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { TooMuchWork } from "../oracle.ts";
import { judge, type Verdict } from "../polar/agree.ts";
import { freePolicy } from "./free-policy.ts";

const runs = Number(process.env["FUZZ_RUNS"] ?? 500);
const seed = Number(process.env["FUZZ_SEED"] ?? 20_251);
const conditionsMax = 300_000;

test(`${runs} free-form policies with seed ${seed}`, () => {
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
  expect(counts.refused + counts.tooLarge).toBeLessThan(runs * 0.7);
  expect(counts.passed).toBeGreaterThan(counts.failed / 4);
}, 600_000);

function judged(policy: string): Verdict | undefined {
  try {
    return judge(policy, { conditionsMax });
  } catch (error) {
    if (error instanceof TooMuchWork) return undefined;
    throw error;
  }
}
