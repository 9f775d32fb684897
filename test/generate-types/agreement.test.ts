/**
 * What clients may store is what a node accepts, and what they may ask is all that rules can answer: over the corpus, the case files and random
 * policies, against the accepted fact types and against the oracle.
 */
import { describe, expect, test } from "bun:test";
import { Glob } from "bun";
import fc from "fast-check";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { defaultLimits } from "../../src/config/limits.ts";
import { clientTypes, type ClientTuple } from "../../src/datalog/print/client-types.ts";
import { prepare } from "../../src/policy/active-policy.ts";
import { checkPolicy } from "../../src/engine/validation/policy-check.ts";
import type { Policy } from "../../src/polar/policy.ts";
import type { Fact, Value } from "../../src/store/facts/fact.ts";
import { parseCase } from "../cases/case.ts";
import { compilePolicy } from "../cases/compile-policy.ts";
import { policySpec, writePolicy } from "../fuzz/policy.ts";
import { facts as randomFacts } from "../fuzz/questions.ts";
import { oracle, TooMuchWork } from "../oracle.ts";
import { quota, randomTestMs, seededRuns } from "../seeds.ts";

const cases = join(import.meta.dirname, "../cases");
const corpus = join(import.meta.dirname, "../../../shared/corpus");
/** FUZZ_RUNS is the number of policies. */
const samples = seededRuns(4242, 100);

function typesOf(policy: Policy, tuplesMax = 500) {
  const { program, universe } = prepare(policy, defaultLimits);
  return clientTypes(policy, program, universe, tuplesMax);
}

/** Every combination of types that the tuples name, `_` for any. */
function signatures(tuples: readonly ClientTuple[]): string[] {
  return tuples.flatMap(({ predicate, args }) =>
    args
      .reduce<string[][]>(
        (rows, { types }) => rows.flatMap((row) => (types ?? ["_"]).map((type) => [...row, type])),
        [[]],
      )
      .map((types) => `${predicate}(${types.join(", ")})`),
  );
}

function disagreements(policy: Policy): string[] {
  const accepted = prepare(policy, defaultLimits)
    .factTypes.filter(({ types }) => types.length >= 1 && types.length <= 5)
    .map(({ predicate, types }) => ({ predicate: predicate.replace(/\/\d+$/, ""), types }));
  const names = new Set(
    accepted.map(({ predicate, types }) => `${predicate}(${types.map((type) => type ?? "_").join(", ")})`),
  );
  return [500, 0].flatMap((tuplesMax) => {
    const { facts } = typesOf(policy, tuplesMax);
    const extra = signatures(facts).filter((name) => !names.has(name));
    const missing = accepted.filter(
      ({ predicate, types }) =>
        !facts.some(
          (tuple) =>
            tuple.predicate === predicate &&
            tuple.args.length === types.length &&
            tuple.args.every((arg, place) => arg.types === undefined || arg.types.includes(types[place] ?? "_")),
        ),
    );
    return [...extra, ...missing.map((type) => JSON.stringify(type))];
  });
}

function fits(predicate: string, args: readonly Value[], tuples: readonly ClientTuple[]): boolean {
  return tuples.some(
    (tuple) =>
      tuple.predicate === predicate &&
      tuple.args.length === args.length &&
      tuple.args.every(({ types, ids }, place) => {
        const value = args[place];
        return value !== undefined && (types?.includes(value.type) ?? true) && (ids?.includes(value.id) ?? true);
      }),
  );
}

/** What follows from facts that a client could store, and that it could not ask for. */
function unasked(policy: Policy, facts: readonly Fact[], now: number): { derived: number; problems: string[] } {
  const types = typesOf(policy);
  const stored = facts.filter(({ predicate, args }) => fits(predicate, args, types.facts));
  const known = new Set(stored.map((fact) => JSON.stringify([fact.predicate, fact.args.map(plain)])));
  const slow = oracle(policy, { facts: stored, now, conditionsMax: 200_000 });
  const heads = new Map(
    policy.rules.map(({ predicate, params }) => [`${predicate}/${params.length}`, { predicate, arity: params.length }]),
  );
  const derived = [...heads.values()]
    .filter(({ arity }) => arity >= 1 && arity <= 5)
    .flatMap(({ predicate, arity }) => slow.tuples(predicate, arity).map((args) => ({ predicate, args })))
    .filter(({ predicate, args }) => !known.has(JSON.stringify([predicate, args.map(plain)])));
  const problems = derived
    .filter(({ predicate, args }) => !fits(predicate, args, types.queries))
    .map(({ predicate, args }) => `${predicate}(${args.map(({ type, id }) => `${type}:${id}`).join(", ")})`);
  return { derived: derived.length, problems };
}

function plain({ type, id }: Value): Value {
  return { type, id };
}

test.each(samples)(
  "the facts of a client are the accepted fact types ($runs random policies with the seed $seed)",
  ({ seed, runs }) => {
    let compiled = 0;
    const property = fc.property(policySpec.map(writePolicy), (text) => {
      const { policy } = checkPolicy([{ name: "random.polar", text }], { runTests: false });
      if (policy === undefined) return;
      compiled += 1;
      expect(disagreements(policy)).toEqual([]);
    });
    fc.assert(property, { numRuns: runs, seed });
    console.log(`${compiled} policies are valid`);
    expect(compiled).toBeGreaterThanOrEqual(Math.floor(runs * 0.8));
  },
  randomTestMs,
);

test.each(samples)(
  "all that $runs random policies with the seed $seed can answer may be asked",
  ({ seed, runs, isKnown }) => {
    let derived = 0;
    const sample = fc.record({ text: policySpec.map(writePolicy), facts: randomFacts });
    const property = fc.property(sample, ({ text, facts }) => {
      const { policy } = checkPolicy([{ name: "random.polar", text }], { runTests: false });
      if (policy === undefined) return;
      try {
        const found = unasked(policy, facts, 1);
        derived += found.derived;
        expect(found.problems).toEqual([]);
      } catch (error) {
        if (!(error instanceof TooMuchWork)) throw error;
      }
    });
    fc.assert(property, { numRuns: runs, seed });
    console.log(`${derived} derived facts`);
    expect(derived).toBeGreaterThanOrEqual(quota(runs, 10, isKnown));
  },
  randomTestMs,
);

describe("for the case files", () => {
  test.each([...new Glob("**/*.yaml").scanSync(cases)].sort())("%s", (file) => {
    const { policy: text, facts, now } = parseCase(readFileSync(join(cases, file), "utf8"));
    const policy = compilePolicy(text);
    expect(disagreements(policy)).toEqual([]);
    expect(unasked(policy, facts, now).problems).toEqual([]);
  });
});

describe.skipIf(!existsSync(corpus))("for the corpus (skipped where ../shared/corpus is absent)", () => {
  const files = existsSync(corpus) ? [...new Glob("*.polar").scanSync(corpus)].sort() : [];
  test.each(files)("%s", (file) => {
    const policy = compilePolicy(readFileSync(join(corpus, file), "utf8"));
    expect(disagreements(policy)).toEqual([]);
    const tests = policy.tests.flatMap(({ facts }) => facts.map(({ predicate, args }) => ({ predicate, args })));
    expect(unasked(policy, tests, 1_700_000_000).problems).toEqual([]);
  });
});
