/** Engines with a fault, which random policies must detect. The seeds stay, so nothing depends on chance. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { AppError } from "../../src/util/app-error.ts";
import { randomTestMs } from "../seeds.ts";
import type { EngineTarget } from "../cases/engine-target.ts";
import { differencesOf, type Fault, noCounts, randomSample, type Sample } from "./differential.ts";
import { openSample } from "./open-policy.ts";

/** Few random policies use the clock; others can't detect a wrong clock. */
const withClock = randomSample.filter(({ policy }) => policy.includes("@current_"));

test.each<[string, number, fc.Arbitrary<Sample>, Fault]>([
  ["forgets a stored fact", 20_251, randomSample, { input: (input) => ({ ...input, facts: input.facts.slice(1) }) }],
  ["forgets the context facts", 16, randomSample, { input: (input) => ({ ...input, contextFacts: [] }) }],
  [
    "stores the context facts",
    22,
    randomSample,
    { input: (input) => ({ ...input, facts: [...input.facts, ...input.contextFacts], contextFacts: [] }) },
  ],
  ["has another clock", 14, withClock, { input: (input) => ({ ...input, now: input.now + 1 }) }],
  [
    "refuses a list that has a wildcard",
    20_251,
    openSample,
    listing((list) => {
      const ids = list();
      if (ids.includes("*")) throw new AppError("query_not_enumerable", "refused");
      return ids;
    }),
  ],
  ["lists nothing instead of refusing", 20_251, openSample, listing((list) => (isRefused(list) ? [] : list()))],
  ["lists everything instead of refusing", 20_251, openSample, listing((list) => (isRefused(list) ? ["*"] : list()))],
])(
  "an engine that %s is detected",
  (_, seed, samples, fault) => {
    const property = fc.property(samples, (one) => expect(differencesOf(one, noCounts(), fault)).toEqual([]));
    const { failed, numRuns } = fc.check(property, { numRuns: 1000, seed, endOnFailure: true });
    console.log(`found after ${numRuns} runs`);
    expect(failed).toBe(true);
  },
  randomTestMs,
);

/** An engine whose lists are changed. */
function listing(change: (list: () => string[]) => string[]): Fault {
  return {
    engine: (engine: EngineTarget) => ({
      ...engine,
      list: (actor, action, type) => change(() => engine.list(actor, action, type)),
    }),
  };
}

function isRefused(list: () => string[]): boolean {
  try {
    list();
    return false;
  } catch (error) {
    if (error instanceof AppError && error.code === "query_not_enumerable") return true;
    throw error;
  }
}
