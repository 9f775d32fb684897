/**
 * One engine through a history: facts come and go, policies change, and between the changes it is asked. What it keeps from one question to
 * the next (plans, symbols, policies) must never show. A history is made for every twentieth of `FUZZ_RUNS`.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { defaultLimits } from "../../src/config/limits.ts";
import type { EngineOptions } from "../../src/engine/engine.ts";
import { checkPolicy } from "../../src/engine/policy-check.ts";
import type { Policy } from "../../src/polar/policy.ts";
import type { Fact } from "../../src/store/fact.ts";
import { deletion, insertion, openLiveEngine } from "../cases/engine-target.ts";
import { printFact } from "../cases/case.ts";
import { answersOf, emptyTally, now, oracleOrNothing } from "./differential.ts";
import { policySpec, writePolicy } from "./policy.ts";
import { asked, contextFacts, facts, type Asked } from "./questions.ts";

type Step =
  | { readonly kind: "policy"; readonly text: string }
  | { readonly kind: "insert" | "delete"; readonly facts: readonly Fact[] }
  | { readonly kind: "clear" }
  | {
      readonly kind: "ask";
      readonly contextFacts: readonly Fact[];
      readonly questions: readonly Asked[];
      readonly hits: readonly number[];
    };

const ask = fc.record({
  kind: fc.constant("ask" as const),
  contextFacts,
  questions: fc.array(asked, { maxLength: 3 }),
  hits: fc.array(fc.nat(10_000), { maxLength: 2, size: "max" }),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("policy" as const), text: policySpec.map(writePolicy) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("insert" as const), facts }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("delete" as const), facts }) },
  { weight: 1, arbitrary: fc.constant({ kind: "clear" as const }) },
  { weight: 6, arbitrary: ask },
);
const history = fc
  .tuple(policySpec.map(writePolicy), facts, fc.array(step, { maxLength: 10, size: "max" }))
  .map(([text, first, steps]): Step[] => [{ kind: "policy", text }, { kind: "insert", facts: first }, ...steps]);

const runs = Math.ceil(Number(process.env["FUZZ_RUNS"] ?? 2000) / 20);
const seed = Number(process.env["FUZZ_SEED"] ?? 20_252);

/** Closures of more rows than `few` are given up, and facts are walked instead. */
const few = { ...defaultLimits, closureRowsMax: 3, closureUpdateRowsMax: 4 };

test.each<[string, EngineOptions]>([
  ["statements", { strategy: "statement" }],
  ["statements, closures given up on the way", { strategy: "statement", limits: few }],
  ["the evaluator", { strategy: "evaluator" }],
])(
  "histories, %s",
  (_, options) => {
    const tally = emptyTally();
    const property = fc.property(history, (steps) => expect(replay(steps)).toEqual([]));
    const result = fc.check(property, { numRuns: runs, seed });
    console.log(`seed ${seed}, ${result.numRuns} histories:`, JSON.stringify(tally));
    if (result.failed) {
      const [smallest] = result.counterexample ?? [[]];
      throw new Error(
        `the engine and the oracle differ: ${String(result.errorInstance)}\n\n${smallest.map(describe).join("\n")}`,
      );
    }

    function replay(steps: readonly Step[]): string[] {
      using engine = openLiveEngine(now, options);
      const stored = new Map<string, Fact>();
      let policy: Policy | undefined;
      let policies = 0;
      return steps.flatMap((one) => {
        switch (one.kind) {
          case "policy": {
            const checked = checkPolicy([{ name: "fuzz.polar", text: one.text }], { runTests: false }).policy;
            if (checked === undefined) return [];
            policy = checked;
            policies += 1;
            engine.apply({ kind: "policy", id: policies, source: one.text, filename: null });
            return [];
          }
          case "insert":
            for (const fact of one.facts) stored.set(printFact(fact), fact);
            engine.apply(insertion(one.facts));
            return [];
          case "delete":
            for (const fact of one.facts) stored.delete(printFact(fact));
            engine.apply(deletion(one.facts));
            return [];
          case "clear":
            stored.clear();
            engine.apply({ kind: "clear" });
            return [];
          case "ask": {
            if (policy === undefined) return [];
            const sample = { ...one, policy: "", facts: [...stored.values()] };
            const slow = oracleOrNothing(policy, sample);
            if (slow === undefined) tally.tooLarge += 1;
            return slow === undefined ? [] : answersOf(sample, engine.asking(one.contextFacts), slow, policy, tally);
          }
        }
      });
    }
  },
  300_000,
);

function describe(one: Step): string {
  switch (one.kind) {
    case "policy":
      return one.text;
    case "insert":
    case "delete":
      return `${one.kind} ${one.facts.map(printFact).join(" ")}`;
    case "clear":
      return "clear";
    case "ask":
      return `ask ${JSON.stringify(one)}`;
  }
}
