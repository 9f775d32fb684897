/**
 * Patterns of facts with open types, under random policies: all answers together have exactly the ground instances that
 * the oracle finds. `FUZZ_RUNS` sets the number of samples and `FUZZ_SEED` the seed.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { defaultLimits } from "../../src/config/limits.ts";
import type { Fact, FactPattern } from "../../src/store/facts/fact.ts";
import { AppError } from "../../src/util/app-error.ts";
import { checkPolicy } from "../../src/engine/validation/policy-check.ts";
import { quota, randomTestMs, seededRuns } from "../seeds.ts";
import { openEngineInMemory, type EngineTarget } from "../cases/engine-target.ts";
import type { Ground } from "../oracle/domain.ts";
import type { Oracle, Tuple } from "../oracle.ts";
import { now, oracleOrNothing } from "./differential.ts";
import { policySpec, writePolicy } from "./policy.ts";
import { contextFacts, facts } from "./questions.ts";

/** Rules whose arguments may have any type, beside those of the random policy. */
const openRules = `
everyone(_anybody);
alike(x, x) if flag(x);
flagged_pair(x, y) if flag(x) and flag(y);
near_or_any(x, _y) if flag(x);
near_or_any(x, y) if link(x, y);
typed_any(_x: A, _y);
typed_any(x, y) if link(x, y);
copied(x, y) if typed_any(x, y);
unflagged(u: User, x) if link(u, x) and not flag(x);
`;

const predicates: Readonly<Record<string, number>> = {
  ...{ flag: 1, link: 2, level: 2, tag: 2, has_relation: 3, near: 2, has_role: 3, has_permission: 3, allow: 3 },
  ...{ everyone: 1, alike: 2, flagged_pair: 2, near_or_any: 2, typed_any: 2, copied: 2, unflagged: 2, unknown: 2 },
};

const type = fc.constantFrom("User", "User", "Bot", "A", "A", "B", "C", "String", "Integer", "Boolean");
const arg = fc.oneof(
  { weight: 3, arbitrary: fc.constant({ type: null, id: null }) },
  { weight: 2, arbitrary: fc.record({ type, id: fc.constant(null) }) },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constantFrom("User", "A", "B"), id: fc.constantFrom("1", "2", "9") }),
  },
);
const pattern: fc.Arbitrary<FactPattern> = fc
  .constantFrom(...Object.keys(predicates))
  .chain((predicate) =>
    fc
      .array(arg, { minLength: predicates[predicate] ?? 1, maxLength: predicates[predicate] ?? 1 })
      .map((args) => ({ predicate, args })),
  );
/** Facts of predicates that only heads have, of any types. */
const value = fc.record({ type: fc.constantFrom("User", "A", "A", "B"), id: fc.constantFrom("1", "2", "3") });
const openFact: fc.Arbitrary<Fact> = fc
  .constantFrom("everyone", "alike", "flagged_pair", "near_or_any", "typed_any", "copied", "unflagged")
  .chain((predicate) => {
    const arity = predicates[predicate] ?? 1;
    return fc.array(value, { minLength: arity, maxLength: arity }).map((args) => ({ predicate, args }));
  });
const sample = fc.record({
  policy: policySpec.map((spec) => `${writePolicy(spec)}\n${openRules}`),
  facts: fc.tuple(facts, fc.array(openFact, { maxLength: 5, size: "max" })).map((lists) => lists.flat()),
  contextFacts,
  patterns: fc.array(pattern, { minLength: 4, maxLength: 8 }),
});

/** The time that all permissions of recursive roles take must not decide on a slow machine. */
const limits = { ...defaultLimits, queryTimeMsMax: 1e9 };

test.each(seededRuns(20_251, 8))(
  "$runs random policies with seed $seed",
  ({ seed, runs, isKnown }) => {
    const counts = { refused: 0, asked: 0, notEnumerable: 0, answers: 0, wildcards: 0 };
    const result = fc.check(
      fc.property(sample, ({ policy: text, patterns, ...data }) => {
        const { policy } = checkPolicy([{ name: "fuzz.polar", text }], { runTests: false });
        const slow = policy && oracleOrNothing(policy, { ...data, questions: [] });
        if (slow === undefined) return void (counts.refused += 1);
        using engine = openEngineInMemory({ policy: text, now, ...data }, { limits });
        const problems = patterns.flatMap((asked) => {
          const answers = answersTo(asked, engine);
          counts.asked += 1;
          if (answers === "notEnumerable") {
            counts.notEnumerable += 1;
            return [];
          }
          counts.answers += answers.length;
          counts.wildcards += answers.filter(({ args }) => args.some(({ id }) => id === null)).length;
          return differences(slow, asked, answers).map((problem) => `${JSON.stringify(asked)}: ${problem}`);
        });
        expect(problems).toEqual([]);
      }),
      { numRuns: runs, seed },
    );
    console.log(`seed ${seed}, ${result.numRuns} runs:`, JSON.stringify(counts));
    if (result.failed) throw new Error(`${String(result.errorInstance)}\n\n${JSON.stringify(result.counterexample)}`);
    expect(counts.asked - counts.notEnumerable).toBeGreaterThanOrEqual(quota(runs, 2.5, isKnown));
    expect(counts.answers).toBeGreaterThanOrEqual(quota(runs, 1, isKnown));
    expect(counts.wildcards).toBeGreaterThanOrEqual(quota(runs, 0.3, isKnown));
  },
  randomTestMs,
);

function answersTo(asked: FactPattern, engine: EngineTarget): FactPattern[] | "notEnumerable" {
  try {
    return engine.queryPattern(asked);
  } catch (error) {
    if (error instanceof AppError && error.code === "query_not_enumerable") return "notEnumerable";
    throw error;
  }
}

function differences(slow: Oracle, asked: FactPattern, answers: readonly FactPattern[]): string[] {
  const tuples = slow.tuples(asked.predicate, asked.args.length);
  const known = new Set(tuples.map(keyOf));
  const wrong = answers.filter(
    (answer) =>
      instancesOf(slow, answer).some((tuple) => !known.has(keyOf(tuple))) ||
      !asked.args.every(({ type, id }, position) => {
        const given = answer.args[position];
        return (type === null || type === given?.type) && (id === null || id === given?.id);
      }),
  );
  const missing = tuples.filter((tuple) => covers(asked, tuple) && !answers.some((answer) => covers(answer, tuple)));
  const distinct = new Set(answers.map((answer) => JSON.stringify(answer)));
  return [
    ...wrong.map((answer) => `${JSON.stringify(answer)} is too wide`),
    ...missing.map((tuple) => `nothing for ${JSON.stringify(tuple)}`),
    ...(distinct.size < answers.length ? ["answers come twice"] : []),
  ];
}

function instancesOf({ domain }: Oracle, { args }: FactPattern): Tuple[] {
  return args.reduce<Tuple[]>(
    (tuples, { type, id }) => {
      const values = (type === null ? domain.all : domain.ofType(type)).filter(
        (value) => id === null || (value.id === id && !value.fresh),
      );
      return tuples.flatMap((tuple) => values.map((value) => [...tuple, value]));
    },
    [[]],
  );
}

function covers({ args }: FactPattern, tuple: Tuple): boolean {
  return args.every(({ type, id }, position) => {
    const value = tuple[position];
    return (type === null || type === value?.type) && (id === null || (id === value?.id && !value.fresh));
  });
}

function keyOf(tuple: Tuple): string {
  return tuple.map((value: Ground) => value.key).join();
}
