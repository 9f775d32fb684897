/**
 * Random policies, facts and questions: the engine, by statements and by the evaluator, is compared with the oracle.
 * `FUZZ_RUNS` sets the number of samples and `FUZZ_SEED` the seed. A failure is shrunk and printed as a case file for
 * `test/cases/regressions/`, which `cases.test.ts` replays.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { openEngineInMemory, type EngineInput } from "../cases/engine-target.ts";
import { compilePolicy } from "../cases/compile-policy.ts";
import { differencesOf, noCounts, type Sample } from "./differential.ts";
import { policySpec, writePolicy } from "./policy.ts";
import { printCase } from "./print-case.ts";
import { asked, contextFacts, facts } from "./questions.ts";

const runs = Number(process.env["FUZZ_RUNS"] ?? 400);
const seed = Number(process.env["FUZZ_SEED"] ?? 20_251);
const sample: fc.Arbitrary<Sample> = fc.record({
  policy: policySpec.map(writePolicy),
  facts,
  contextFacts,
  questions: fc.array(asked, { minLength: 2, maxLength: 7 }),
  hits: fc.array(fc.nat(10_000), { maxLength: 2, size: "max" }),
});

describe("random policies", () => {
  test(
    `${runs} runs with seed ${seed}`,
    () => {
      const counts = noCounts();
      const result = fc.check(
        fc.property(sample, (one) => expect(differencesOf(one, counts)).toEqual([])),
        { numRuns: runs, seed },
      );
      console.log(`seed ${seed}, ${result.numRuns} runs:`, JSON.stringify(counts));
      if (result.failed) {
        const [smallest] = result.counterexample ?? [];
        const text =
          smallest === undefined ? "" : printCase(`found by seed ${seed}`, smallest, compilePolicy(smallest.policy));
        throw new Error(`the engine and the oracle differ: ${String(result.errorInstance)}\n\n${text}`);
      }
      // At least five questions for each policy, each with both strategies: over 2,000 with the default number of runs.
      expect(counts.answered / 2).toBeGreaterThan(runs * 5);
      // Samples that test nothing must be rare.
      expect(counts.invalidPolicies + counts.tooLarge).toBeLessThan(runs / 20);
      expect(counts.positive).toBeGreaterThan(counts.answered / 4);
      expect(counts.notEnumerable).toBeLessThan(counts.answered / 20);
    },
    600_000 + runs * 300,
  );

  test.each([
    ["forgets a stored fact", (input: EngineInput) => ({ ...input, facts: input.facts.slice(1) })],
    ["forgets the context facts", (input: EngineInput) => ({ ...input, contextFacts: [] })],
    [
      "stores the context facts",
      (input: EngineInput) => ({ ...input, facts: [...input.facts, ...input.contextFacts], contextFacts: [] }),
    ],
    ["has another clock", (input: EngineInput) => ({ ...input, now: input.now + 1 })],
  ])(
    "an engine that %s is detected",
    (name, spoil) => {
      // Few random policies use the clock; others can't detect a wrong clock.
      const spoiled =
        name === "has another clock" ? sample.filter(({ policy }) => policy.includes("@current_")) : sample;
      const property = fc.property(spoiled, (one) =>
        expect(differencesOf(one, noCounts(), (input, options) => openEngineInMemory(spoil(input), options))).toEqual(
          [],
        ),
      );
      expect(fc.check(property, { numRuns: 1000, seed, endOnFailure: true }).failed).toBe(true);
    },
    120_000,
  );
});
