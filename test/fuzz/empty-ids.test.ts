/**
 * An actor with an empty id gets the same answers as any other actor that no stored fact and no rule names, also if
 * context facts are about it. `FUZZ_RUNS` sets the number of samples and `FUZZ_SEED` the seed.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Fact } from "../../src/store/facts/fact.ts";
import { checkPolicy } from "../../src/engine/validation/policy-check.ts";
import { AppError } from "../../src/util/app-error.ts";
import { quota, randomTestMs, seededRuns } from "../seeds.ts";
import { openFilledEngine } from "../cases/engine-target.ts";
import { now } from "./differential.ts";
import { policySpec, writePolicy } from "./policy.ts";
import { contextFacts, facts } from "./questions.ts";
import { permissionNames } from "./rules.ts";

const anA = { type: "A", id: "1" };
const resources = [anA, { type: "A", id: "9" }, { type: "B", id: "1" }];
const strategies = ["statement", "evaluator"] as const;

const sample = fc.record({
  policy: policySpec.map(writePolicy),
  facts,
  contextFacts,
  actorType: fc.constantFrom("User", "User", "User", "Bot"),
});

test.each(seededRuns(20_251, 8))(
  "$runs random policies with seed $seed",
  ({ seed, runs, isKnown }) => {
    const counts = { allowed: 0, denied: 0, listed: 0 };
    const result = fc.check(
      fc.property(sample, ({ policy, facts: stored, contextFacts: context, actorType }) => {
        const { policy: checked } = checkPolicy([{ name: "fuzz.polar", text: policy }], { runTests: false });
        if (checked === undefined) return;
        for (const strategy of strategies) {
          using opened = openFilledEngine({ policy, facts: stored, now }, { strategy });
          const answersFor = (id: string): unknown[] => {
            const actor = { type: actorType, id };
            const granted = { predicate: "has_permission", args: [actor, { type: "String", id: "p" }, anA] };
            const mine = [granted, ...context.map((fact) => renamed(fact, actorType, id))];
            const engine = opened.asking(mine);
            const checks = permissionNames.flatMap((action) =>
              resources.map((resource) => engine.authorize({ actor, action, resource })),
            );
            for (const allowed of checks) counts[allowed ? "allowed" : "denied"] += 1;
            const lists = ["A", actorType].map((type) => attempt(() => engine.list(actor, "p", type)));
            counts.listed += lists.filter((list) => Array.isArray(list) && list.length > 0).length;
            // A list of the actor's own type can have its id.
            const own = lists.map((list) =>
              Array.isArray(list) ? list.map((each) => (each === id ? "self" : each)).toSorted() : list,
            );
            return [checks, own, resources.map((resource) => attempt(() => engine.actions(actor, resource)))];
          };
          expect(answersFor("")).toEqual(answersFor("stranger"));
        }
      }),
      { numRuns: runs, seed },
    );
    if (result.failed) throw new Error(`${String(result.errorInstance)}\n\n${JSON.stringify(result.counterexample)}`);
    console.log(`seed ${seed}, ${result.numRuns} runs:`, JSON.stringify(counts));
    expect(counts.allowed).toBeGreaterThanOrEqual(quota(runs, 2, isKnown));
    expect(counts.denied).toBeGreaterThanOrEqual(quota(runs, 8, isKnown));
    expect(counts.listed).toBeGreaterThanOrEqual(quota(runs, 1, isKnown));
  },
  randomTestMs,
);

/** The context fact with the actor in the place of the value `1` of its type. */
function renamed({ predicate, args }: Fact, type: string, id: string): Fact {
  return { predicate, args: args.map((arg) => (arg.type === type && arg.id === "1" ? { type, id } : arg)) };
}

function attempt(body: () => string[]): string[] | string {
  try {
    return body();
  } catch (error) {
    if (error instanceof AppError) return error.code;
    throw error;
  }
}
