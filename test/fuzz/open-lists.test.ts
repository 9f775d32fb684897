/**
 * Random policies that mix global roles, wildcards, negation and equality: every list must be exact, and a list is
 * refused only if its answers can't be listed (`Oracle.isOpen`). Both strategies of the engine are compared with the
 * oracle. `FUZZ_RUNS` sets the number of policies and `FUZZ_SEED` the seed; each policy gets two to five lists.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { checkPolicy } from "../../src/engine/validation/policy-check.ts";
import { AppError } from "../../src/util/app-error.ts";
import { compilePolicy } from "../cases/compile-policy.ts";
import { type EngineTarget, openBothInMemory } from "../cases/engine-target.ts";
import { answersOf, noCounts, now, oracleOrNothing, type Sample } from "./differential.ts";
import { openContext, openFacts, openPolicy, openQuestion } from "./open-policy.ts";
import { printCase } from "./print-case.ts";

const runs = Number(process.env["FUZZ_RUNS"] ?? 2000);
const seed = Number(process.env["FUZZ_SEED"] ?? 20_251);
const sample: fc.Arbitrary<Sample> = fc.record({
  policy: openPolicy,
  facts: openFacts,
  contextFacts: openContext,
  questions: fc.array(openQuestion, { minLength: 2, maxLength: 5, size: "max" }),
  hits: fc.constant([]),
});

type Spoil = (engine: EngineTarget) => EngineTarget;

/** The errors of both strategies; empty if they agree with the oracle. */
function differencesOf(one: Sample, counts = noCounts(), spoil: Spoil = (engine) => engine): string[] {
  const { policy } = checkPolicy([{ name: "fuzz.polar", text: one.policy }], { runTests: false });
  const slow = policy && oracleOrNothing(policy, one);
  if (!policy || !slow) {
    if (policy) counts.tooLarge += 1;
    else counts.invalidPolicies += 1;
    return [];
  }
  using opened = openBothInMemory({ ...one, now });
  return Object.entries(opened.engines).flatMap(([strategy, engine]) =>
    answersOf(one, spoil(engine), slow, policy, counts).map((problem) => `${strategy}: ${problem}`),
  );
}

describe("lists of random policies with open answers", () => {
  test(
    `${runs} policies with seed ${seed}`,
    () => {
      const counts = noCounts();
      const result = fc.check(
        fc.property(sample, (one) => expect(differencesOf(one, counts)).toEqual([])),
        { numRuns: runs, seed },
      );
      console.log(`seed ${seed}, ${result.numRuns} policies:`, JSON.stringify(counts));
      if (result.failed) {
        const [smallest] = result.counterexample ?? [];
        const text =
          smallest === undefined ? "" : printCase(`found by seed ${seed}`, smallest, compilePolicy(smallest.policy));
        throw new Error(`the engine and the oracle differ: ${String(result.errorInstance)}\n\n${text}`);
      }
      // Each list is counted once for each strategy.
      expect((counts.answered + counts.notEnumerable) / 2).toBeGreaterThan(runs * 3);
      expect(counts.invalidPolicies + counts.tooLarge).toBeLessThan(runs / 20);
      expect(counts.positive).toBeGreaterThan(counts.answered / 4);
      expect(counts.notEnumerable).toBeGreaterThan(counts.answered / 50);
    },
    600_000 + runs * 300,
  );

  const isRefused = (body: () => string[]): boolean => {
    try {
      body();
      return false;
    } catch (error) {
      if (error instanceof AppError && error.code === "query_not_enumerable") return true;
      throw error;
    }
  };

  test.each<[string, Spoil]>([
    [
      "refuses a list that has a wildcard",
      (engine) => ({
        ...engine,
        list(actor, action, type) {
          const ids = engine.list(actor, action, type);
          if (ids.includes("*")) throw new AppError("query_not_enumerable", "refused");
          return ids;
        },
      }),
    ],
    [
      "lists nothing instead of refusing",
      (engine) => ({
        ...engine,
        list: (actor, action, type) =>
          isRefused(() => engine.list(actor, action, type)) ? [] : engine.list(actor, action, type),
      }),
    ],
    [
      "lists everything instead of refusing",
      (engine) => ({
        ...engine,
        list: (actor, action, type) =>
          isRefused(() => engine.list(actor, action, type)) ? ["*"] : engine.list(actor, action, type),
      }),
    ],
  ])(
    "an engine that %s is detected",
    (_, spoil) => {
      const property = fc.property(sample, (one) => expect(differencesOf(one, noCounts(), spoil)).toEqual([]));
      expect(fc.check(property, { numRuns: 1000, seed, endOnFailure: true }).failed).toBe(true);
    },
    120_000,
  );
});
