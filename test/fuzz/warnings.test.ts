/**
 * Warnings about random policies: each check gives the same ones, and rules that they say to be without effect derive
 * nothing in the oracle.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { circularRules } from "../../src/datalog/analysis/circular-rules.ts";
import type { ActivePolicy } from "../../src/policy/active-policy.ts";
import { checkPolicy } from "../../src/engine/validation/policy-check.ts";
import type { Policy, Rule } from "../../src/polar/policy.ts";
import type { Span } from "../../src/polar/span.ts";
import type { Fact } from "../../src/store/facts/fact.ts";
import { oracle, TooMuchWork, type Oracle } from "../oracle.ts";
import { quota, randomTestMs, seededRuns } from "../seeds.ts";
import { freePolicy } from "./free-policy.ts";
import { policySpec, writePolicy } from "./policy.ts";
import { facts } from "./questions.ts";

const conditionsMax = 100_000;

/** Permissions and predicates that ask for each other, with few roles and facts that they could begin with. */
const name = fc.constantFrom("p", "q", "r", "s");
const atom = fc.oneof(
  { weight: 6, arbitrary: name.map((one) => `"${one}"`) },
  { weight: 2, arbitrary: name.map((one) => `"${one}" on "up"`) },
  { weight: 2, arbitrary: fc.constantFrom("f(actor, resource)", "g(actor, resource)") },
  { weight: 1, arbitrary: fc.constantFrom('"role"', "flag(resource)") },
);
const condition = fc
  .array(fc.array(atom, { minLength: 1, maxLength: 2 }), { minLength: 1, maxLength: 2 })
  .map((alternatives) => alternatives.map((atoms) => atoms.join(" and ")).join(" or "));
const call = fc.oneof(
  fc.constantFrom("f(u, x)", "g(u, x)"),
  name.map((one) => `has_permission(u, "${one}", x)`),
);
const circularPolicy = fc
  .record({
    shorthand: fc.array(fc.tuple(name, condition), { minLength: 1, maxLength: 5 }),
    longhand: fc.array(fc.tuple(fc.constantFrom("f", "g"), call), { maxLength: 3 }),
  })
  .map(({ shorthand, longhand }) => {
    const rules = shorthand.map(([head, body]) => `"${head}" if ${body};`).join(" ");
    const others = longhand.map(([head, body]) => `${head}(u: User, x: A) if ${body};`).join("\n");
    return `actor User {} resource A { roles = ["role"]; permissions = ["p", "q", "r", "s"]; relations = { up: A }; ${rules} }\n${others}`;
  });

const anyPolicy = fc.oneof(circularPolicy, policySpec.map(writePolicy), freePolicy);

test.each(seededRuns(20_251, 60))(
  "$runs random policies with seed $seed",
  ({ seed, runs, isKnown }) => {
    const counts = { unreachable: 0, circular: 0, selfImplied: 0, tooLarge: 0 };
    const result = fc.check(
      fc.property(anyPolicy, facts, (text, random) => {
        const sources = [{ name: "policy.polar", text }];
        const { policy, active, diagnostics } = checkPolicy(sources, { runTests: false });
        expect(checkPolicy(sources, { runTests: false }).diagnostics).toEqual(diagnostics);
        if (!policy || !active) return;
        const found = (code: string): Set<string> =>
          new Set(diagnostics.flatMap((one) => (one.code === code ? [placeOf(one.span)] : [])));
        const known = [...random, ...policy.tests.flatMap((one) => one.facts)];
        try {
          const unreachable = policy.rules.filter(({ span }) => found("rule/unreachable").has(placeOf(span)));
          expectNothing(unreachable, policy, known);
          counts.unreachable += unreachable.length;
          counts.circular += expectCircular(active, known);
          const places = found("rule/self-implied");
          const selfImplied = policy.rules.filter(({ body }) => body && places.has(placeOf(body.span)));
          expectSame(selfImplied, policy, known);
          counts.selfImplied += selfImplied.length;
        } catch (error) {
          if (!(error instanceof TooMuchWork)) throw error;
          counts.tooLarge += 1;
        }
      }),
      { numRuns: runs, seed },
    );
    console.log(`seed ${seed}, ${result.numRuns} runs:`, JSON.stringify(counts));
    if (result.failed)
      throw new Error(`${(result.errorInstance as Error)?.stack ?? ""}\n\n${JSON.stringify(result.counterexample)}`);
    expect(counts.unreachable).toBeGreaterThanOrEqual(quota(runs, 0.1, isKnown));
    expect(counts.circular).toBeGreaterThanOrEqual(quota(runs, 0.1, isKnown));
    expect(counts.selfImplied).toBeGreaterThanOrEqual(quota(runs, 0.05, isKnown));
  },
  randomTestMs,
);

function placeOf({ start, end }: Span): string {
  return `${start}-${end}`;
}

/** Rules in a cycle derive nothing without facts of their own predicates. Returns how many there are. */
function expectCircular({ policy, program }: ActivePolicy, known: readonly Fact[]): number {
  const cycles = circularRules(policy, program);
  for (const cycle of cycles) {
    const predicates = new Set(cycle.map(({ predicate }) => predicate));
    const spans = new Set(cycle.map(({ span }) => span));
    const rules = policy.rules.filter(({ span }) => spans.has(span));
    expectNothing(
      rules,
      policy,
      known.filter(({ predicate }) => !predicates.has(predicate)),
    );
  }
  return cycles.length;
}

/** What the rules derive is derived a second time, under a predicate that nothing else has. */
function expectNothing(rules: readonly Rule[], policy: Policy, known: readonly Fact[]): void {
  if (rules.length === 0) return;
  const copies = rules.map((rule) => ({ ...rule, predicate: "copied" }));
  const slow = run({ ...policy, rules: [...policy.rules, ...copies] }, known);
  for (const arity of new Set(copies.map(({ params }) => params.length)))
    expect(slow.tuples("copied", arity).map((tuple) => tuple.map(({ key }) => key))).toEqual([]);
}

/** Without the rules, the same is true. */
function expectSame(rules: readonly Rule[], policy: Policy, known: readonly Fact[]): void {
  if (rules.length === 0) return;
  const never = (rule: Rule): Rule => {
    const { body, span } = rule;
    if (!rules.includes(rule) || !body) return rule;
    return { ...rule, body: { kind: "and", operands: [body, { kind: "boolean", value: false, span }], span } };
  };
  const [all, others] = [policy, { ...policy, rules: policy.rules.map(never) }].map((one) => run(one, known));
  for (const { predicate, params } of policy.rules) {
    const [one, other] = [all, others].map((slow) =>
      slow
        ?.tuples(predicate, params.length)
        .map((tuple) => tuple.map(({ key }) => key).join())
        .toSorted(),
    );
    expect(one).toEqual(other);
  }
}

function run(policy: Policy, known: readonly Fact[]): Oracle {
  return oracle(policy, { facts: [], contextFacts: known, now: 1, conditionsMax });
}
