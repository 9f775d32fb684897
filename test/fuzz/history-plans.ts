/**
 * Random histories: they alternate between a few policies, and each step depends on the results of the steps before it.
 */
import fc from "fast-check";
import type { FactChange } from "../../src/log/event/event.ts";
import type { Fact, FactPattern } from "../../src/store/facts/fact.ts";
import { must } from "../../src/util/assert.ts";
import type { OpenQuestion, Step } from "../histories/history.ts";
import type { StepPlan } from "../histories/replay.ts";
import type { Truth } from "../histories/truth.ts";
import { isTrue, questionsOf } from "./differential.ts";
import { policySpec, writePolicy } from "./policy.ts";
import { askedBy, contextFacts, facts, type Asked } from "./questions.ts";
import { treeFact, treePolicy } from "./tree-policy.ts";

export interface Drawn {
  readonly policies: readonly string[];
  readonly first: readonly Fact[];
  readonly steps: readonly (DrawnStep & {
    /** The number of recent checks that are repeated immediately before and after the step. */
    readonly watched: number;
  })[];
}

/** A number selects one of the items that exist at that step. */
type DrawnStep =
  | { readonly kind: "policy"; readonly number: number; readonly undone: boolean }
  | { readonly kind: "write"; readonly changes: readonly DrawnChange[]; readonly way: "accepted" | "all" | "undone" }
  | { readonly kind: "clock"; readonly now: number }
  | { readonly kind: "clear" | "turn" }
  | {
      readonly kind: "ask";
      readonly contextFacts: readonly Fact[];
      readonly fresh: readonly Asked[];
      /** Each selects an allowed check. */
      readonly hits: readonly number[];
      /** The number of recent checks. */
      readonly again: number;
    };

type DrawnChange =
  | { readonly kind: "insert"; readonly facts: readonly Fact[] }
  /** A pattern from a stored fact. By position, 1 removes the id, and 2 also removes the type. */
  | { readonly kind: "delete"; readonly number: number; readonly open: readonly number[] };

const anyNumber = fc.nat(10_000);
const fact = fc
  .oneof({ weight: 3, arbitrary: treeFact }, { weight: 1, arbitrary: facts.map((some) => some.slice(0, 1)) })
  .map((one): readonly Fact[] => ("predicate" in one ? [one] : one));
const someFacts = (maxLength: number) => fc.array(fact, { maxLength, size: "max" }).map((some) => some.flat());

const change: fc.Arbitrary<DrawnChange> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("insert" as const), facts: someFacts(5) }) },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("delete" as const),
      number: anyNumber,
      open: fc.oneof(
        { weight: 3, arbitrary: fc.constant([]) },
        { weight: 2, arbitrary: fc.array(fc.constantFrom(0, 0, 0, 1, 2), { minLength: 2, maxLength: 4 }) },
      ),
    }),
  },
);

const recentMax = 8;

const ask = fc.record({
  kind: fc.constant("ask" as const),
  watched: fc.constant(0),
  contextFacts: fc.oneof({ weight: 5, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: contextFacts }),
  fresh: fc.array(askedBy({ authorize: 6, list: 2, actions: 1, query: 1 }), { maxLength: 2 }),
  hits: fc.array(anyNumber, { maxLength: 3, size: "max" }),
  again: fc.nat(recentMax),
});

const watched = fc.constantFrom(0, 0, recentMax);

const step: fc.Arbitrary<Drawn["steps"][number]> = fc.oneof(
  { weight: 48, arbitrary: ask },
  {
    weight: 48,
    arbitrary: fc.record({
      kind: fc.constant("write" as const),
      watched,
      changes: fc.array(change, { minLength: 1, maxLength: 3, size: "max" }),
      way: fc.constantFrom("accepted", "accepted", "accepted", "accepted", "accepted", "accepted", "all", "undone"),
    }),
  },
  {
    weight: 16,
    arbitrary: fc.record({ kind: fc.constant("clock" as const), watched, now: fc.nat(4) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("policy" as const),
      watched,
      number: anyNumber,
      undone: fc.constantFrom(false, false, false, true),
    }),
  },
  { weight: 4, arbitrary: fc.constant({ kind: "turn" as const, watched: 0 }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("clear" as const), watched }) },
);

/** Small ones only, because large ones would take nearly all of the time; other tests have large ones. */
const smallSpec = policySpec.map((spec) => ({
  ...spec,
  usual: spec.usual.slice(0, 4),
  usualLonghand: spec.usualLonghand.slice(0, 1),
  shorthand: spec.shorthand.slice(0, 2),
  rules: spec.rules.slice(0, 2),
}));

const policy = fc.oneof({ weight: 9, arbitrary: treePolicy }, { weight: 1, arbitrary: smallSpec.map(writePolicy) });

export const drawnHistory: fc.Arbitrary<Drawn> = fc.noBias(
  fc.record({
    policies: fc.array(policy, { minLength: 1, maxLength: 3, size: "max" }),
    first: someFacts(25),
    steps: fc.array(step, { maxLength: 150, size: "max" }),
  }),
);

export function policiesOf({ policies }: Drawn): Map<string, string> {
  return new Map(policies.map((text, index) => [nameOf(index), text]));
}

export function plansOf({ policies, first, steps }: Drawn): StepPlan[] {
  const load: Step = { kind: "policy", policy: nameOf(0), undone: false };
  const fill: DrawnStep = { kind: "write", changes: [{ kind: "insert", facts: first }], way: "accepted" };
  const plans = steps.flatMap(({ watched, ...one }) => {
    const watch: DrawnStep = { kind: "ask", contextFacts: [], fresh: [], hits: [], again: watched };
    return watched === 0 ? [one] : [watch, one, watch];
  });
  return [
    () => [load],
    ...[fill, ...plans].map(
      (one): StepPlan =>
        (truth, checked) =>
          planned(one, policies, truth, checked),
    ),
  ];
}

function nameOf(index: number): string {
  return `p${index + 1}`;
}

function planned(step: DrawnStep, policies: readonly string[], truth: Truth, checked: readonly Asked[]): Step[] {
  switch (step.kind) {
    case "policy":
      return [{ kind: "policy", policy: nameOf(step.number % policies.length), undone: step.undone }];
    case "write": {
      const changes = step.changes.flatMap((one) => plannedChange(one, step.way === "all", truth));
      return changes.length === 0 ? [] : [{ kind: "write", changes, undone: step.way === "undone" }];
    }
    case "ask":
      return plannedAsk(step, truth, checked);
    default:
      return [step];
  }
}

function plannedChange(drawn: DrawnChange, all: boolean, truth: Truth): FactChange[] {
  if (drawn.kind === "insert") {
    const inserts = all ? drawn.facts : truth.storable(drawn.facts);
    return inserts.length === 0 ? [] : [{ inserts }];
  }
  const stored = truth.facts;
  if (stored.length === 0) return [];
  const { predicate, args } = must(stored[drawn.number % stored.length]);
  const pattern: FactPattern = {
    predicate,
    args: args.map(({ type, id }, position) => {
      const open = drawn.open[position] ?? 0;
      return { type: open === 2 ? null : type, id: open > 0 ? null : id };
    }),
  };
  return [{ deletes: [pattern] }];
}

function plannedAsk(step: DrawnStep & { kind: "ask" }, truth: Truth, checked: readonly Asked[]): Step[] {
  const questions = [...step.fresh, ...(step.again === 0 ? [] : checked.slice(-step.again))];
  const slow = truth.oracle(step.contextFacts, questions);
  if (slow === undefined) return [];
  const all = questionsOf({ questions, hits: step.hits }, slow);
  const checks = (allowed: boolean) =>
    all.flatMap((one) => (one.kind === "authorize" && isTrue(one, slow) === allowed ? [one.check] : []));
  const open = all.filter((one): one is OpenQuestion => one.kind !== "authorize");
  return all.length === 0
    ? []
    : [{ kind: "ask", contextFacts: step.contextFacts, allowed: checks(true), denied: checks(false), questions: open }];
}
