/**
 * Random questions under a policy that is not stored: the store has the facts under another policy, and mostly lacks
 * predicates, types and constants of the draft. Decision and explanation are those of a store that activates the draft.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { defaultLimits } from "../../src/config/limits.ts";
import { explainDecision } from "../../src/engine/explain/decision.ts";
import type { AuthorizeQuestion } from "../../src/engine/request/questions.ts";
import { applyEvent } from "../../src/log/state/apply.ts";
import type { Effect } from "../../src/log/event/event.ts";
import { checkPolicy } from "../../src/engine/validation/policy-check.ts";
import type { Connection } from "../../src/store/connection/connection.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import type { Fact } from "../../src/store/facts/fact.ts";
import { createState } from "../../src/store/log/store-state.ts";
import { insertion } from "../cases/engine-target.ts";
import { quota, randomTestMs, seededRuns } from "../seeds.ts";
import { now, oracleOrNothing, questionsOf, type Sample } from "./differential.ts";
import { policySpec, writePolicy } from "./policy.ts";
import { asked, contextFacts, facts } from "./questions.ts";

const sample = fc.record({
  policy: policySpec.map(writePolicy),
  /** The policy of the store; undefined if it has none. */
  stored: fc.oneof(fc.constantFrom("actor User {}", undefined), policySpec.map(writePolicy)),
  facts,
  contextFacts,
  questions: fc.array(asked, { maxLength: 3 }),
  hits: fc.array(fc.nat(10_000), { maxLength: 3, size: "max" }),
});

test.each(seededRuns(20_268, 8))(
  "$runs runs with seed $seed",
  ({ seed, runs, isKnown }) => {
    const counts = { allowed: 0, denied: 0 };
    fc.assert(
      fc.property(sample, ({ stored, ...one }) => compare(stored, one, counts)),
      { numRuns: runs, seed },
    );
    console.log(`seed ${seed}, ${runs} runs:`, JSON.stringify(counts));
    expect(counts.allowed).toBeGreaterThanOrEqual(quota(runs, 0.3, isKnown));
    expect(counts.denied).toBeGreaterThanOrEqual(quota(runs, 0.15, isKnown));
  },
  randomTestMs,
);

/** Steps limit an explanation, and no time, so that a slow machine explains the same. */
const limits = { ...defaultLimits, explanationTimeMsMax: 1e9, queryTimeMsMax: 1e9 };

function compare(stored: string | undefined, one: Sample, counts: Record<"allowed" | "denied", number>): void {
  const sources = [{ name: "policy.polar", text: one.policy }];
  const { policy, active } = checkPolicy(sources, { runTests: false });
  const slow = policy && oracleOrNothing(policy, one);
  if (!slow || !active) return;
  const draft = { ...active, sources };
  for (const question of questionsOf(one, slow)) {
    if (question.kind !== "authorize") continue;
    const check: AuthorizeQuestion = { ...question.check, contextFacts: one.contextFacts };
    const under = explained(stored, undefined, one.facts, check, draft);
    const activated = explained(stored, one.policy, one.facts, check, undefined);
    expect(under).toEqual({ ...activated, policy: { id: 0, filename: "policy.polar" } });
    counts[under.allowed ? "allowed" : "denied"] += 1;
  }
}

function explained(
  stored: string | undefined,
  next: string | undefined,
  storedFacts: readonly Fact[],
  question: AuthorizeQuestion,
  draft: Parameters<typeof explainDecision>[2]["draft"],
) {
  const store: Connection = openStore(":memory:");
  try {
    createState(store, "test", "test");
    const policies = [stored, next].map((source, index) =>
      source === undefined ? [] : [{ kind: "policy", id: index + 1, source, filename: null } as const],
    );
    const [first = [], second = []] = policies;
    const effects: Effect[] = [...first, insertion(storedFacts), ...second];
    effects.forEach((effect, index) =>
      store.transaction(() => applyEvent(store, { offset: index + 1, timeMs: 0, traceparent: null, effect })),
    );
    const options = { limits, clock: now, ...(draft && { draft }) };
    return store.transaction(() => explainDecision(store, question, options));
  } finally {
    store.close();
  }
}
