/**
 * Explanations of random questions: the decision is that of the engine, and all facts in the explanation exist. Without
 * a `not`, these facts alone lead to the same decision.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { defaultLimits } from "../../src/config/limits.ts";
import { applyEvent } from "../../src/log/state/apply.ts";
import { Engine } from "../../src/engine/engine.ts";
import type { Effect } from "../../src/log/event/event.ts";
import { explainDecision } from "../../src/engine/explain/decision.ts";
import { explanationSchema, type ExplainedStep } from "../../src/engine/explain/explanation.ts";
import { explanationLines } from "../../src/engine/explain/explanation-text.ts";
import { checkPolicy } from "../../src/engine/validation/policy-check.ts";
import type { AuthorizeQuestion } from "../../src/engine/request/questions.ts";
import type { Connection } from "../../src/store/connection/connection.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import type { Fact } from "../../src/store/facts/fact.ts";
import { createState } from "../../src/store/log/store-state.ts";
import { quota, randomTestMs, seededRuns } from "../seeds.ts";
import { insertion } from "../cases/engine-target.ts";
import { now, oracleOrNothing, questionsOf, type Sample } from "./differential.ts";
import { policySpec, writePolicy } from "./policy.ts";
import { asked, contextFacts, facts } from "./questions.ts";
import { verifyReason } from "./reason.ts";

const sample: fc.Arbitrary<Sample> = fc.record({
  policy: policySpec.map(writePolicy),
  facts,
  contextFacts,
  questions: fc.array(asked, { maxLength: 3 }),
  hits: fc.array(fc.nat(10_000), { maxLength: 3, size: "max" }),
});

test.each(seededRuns(20_254, 8))(
  "$runs runs with seed $seed",
  ({ seed, runs, isKnown }) => {
    const counts = { allowed: 0, denied: 0, replayed: 0, truncated: 0 };
    fc.assert(
      fc.property(sample, (one) => {
        for (const question of checksOf(one)) explainAndVerify(one, question, counts);
      }),
      { numRuns: runs, seed },
    );
    console.log(`seed ${seed}, ${runs} runs:`, JSON.stringify(counts));
    expect(counts.allowed).toBeGreaterThanOrEqual(quota(runs, 0.3, isKnown));
    expect(counts.denied).toBeGreaterThanOrEqual(quota(runs, 0.15, isKnown));
    expect(counts.replayed).toBeGreaterThanOrEqual(quota(runs, 0.2, isKnown));
  },
  randomTestMs,
);

function checksOf(one: Sample): AuthorizeQuestion[] {
  const { policy } = checkPolicy([{ name: "fuzz.polar", text: one.policy }], { runTests: false });
  const slow = policy && oracleOrNothing(policy, one);
  if (!slow) return [];
  return questionsOf(one, slow).flatMap((question) =>
    question.kind === "authorize" ? [{ ...question.check, contextFacts: one.contextFacts }] : [],
  );
}

/** Steps limit an explanation, and no time, so that a slow machine explains the same. */
const limits = { ...defaultLimits, explanationTimeMsMax: 1e9, queryTimeMsMax: 1e9 };

type Counts = Record<"allowed" | "denied" | "replayed" | "truncated", number>;

function explainAndVerify({ policy, facts: stored }: Sample, question: AuthorizeQuestion, counts: Counts): void {
  using store = storeOf(policy, stored);
  const options = { limits, clock: now };
  const explain = () => store.database.transaction(() => explainDecision(store.database, question, options));
  const explanation = explain();
  expect(JSON.stringify(explain())).toBe(JSON.stringify(explanation));
  expect(explanationSchema.parse(explanation)).toEqual(explanation);
  expect(explanation.allowed).toBe(authorize(store.database, question));
  expect(explanationLines(explanation).length).toBeGreaterThan(1);
  expect(explanation.truncated?.reason).not.toBe("nothing");
  if (explanation.truncated) {
    counts.truncated += 1;
    return;
  }
  counts[explanation.allowed ? "allowed" : "denied"] += 1;
  verifyReason(explanation);
  if (!explanation.allowed) return expect(explanation.denial).not.toBeNull();

  const steps = allSteps(explanation.derivation);
  const used = (from: string): Fact[] =>
    steps.flatMap((step) => (step.kind === "fact" && step.from === from ? [asFact(step)] : []));
  for (const fact of used("stored")) expect(stored).toContainEqual(fact);
  for (const fact of used("context")) expect(question.contextFacts).toContainEqual(fact);
  if (steps.some((step) => step.kind === "condition" && step.text.startsWith("not "))) return;
  using replay = storeOf(policy, used("stored"));
  expect(authorize(replay.database, { ...question, contextFacts: used("context") })).toBe(true);
  counts.replayed += 1;
}

function allSteps(step: ExplainedStep | null): ExplainedStep[] {
  if (step === null) return [];
  return step.kind === "rule" ? [step, ...step.steps.flatMap(allSteps)] : [step];
}

function asFact({ fact }: Extract<ExplainedStep, { kind: "fact" }>): Fact {
  return {
    predicate: fact.predicate,
    args: fact.args.map(({ type, id }) => ({ type: String(type), id: String(id) })),
  };
}

function authorize(database: Connection, question: AuthorizeQuestion): boolean {
  return database.transaction(() =>
    new Engine(database, { clock: () => now, inTransaction: true }).authorize(question),
  );
}

function storeOf(policy: string, stored: readonly Fact[]): { database: Connection } & Disposable {
  const database = openStore(":memory:");
  createState(database, "test", "0000000000000001");
  const effects: Effect[] = [{ kind: "policy", id: 1, source: policy, filename: "fuzz.polar" }, insertion(stored)];
  effects.forEach((effect, index) =>
    database.transaction(() =>
      applyEvent(database, { offset: index + 1, timeMs: now * 1000, traceparent: null, effect }),
    ),
  );
  return { database, [Symbol.dispose]: () => database.close() };
}
