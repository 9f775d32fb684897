/** Which closures questions under a policy may read: those of every predicate whose rules ask for the same predicate again. */
import type { Limits } from "../config/limits.ts";
import type { Closure } from "../datalog/closures.ts";
import type { ProgramRule } from "../datalog/program.ts";
import { type Goal, specialise, TooManyNodes } from "../datalog/specialise.ts";
import { Budget, TooLarge } from "../datalog/too-large.ts";
import { typings, withoutLinks } from "../datalog/typings.ts";
import type { ActivePolicy } from "./active-policy.ts";

export type ClosureSearchLimits = Pick<Limits, "closuresMax" | "planNodesMax" | "policyTypingsMax">;

const found = new WeakMap<ActivePolicy, readonly Closure[]>();

/** In no particular order; none where the policy has more than its limits allow: then everything is walked. */
export function closuresOf(active: ActivePolicy, limits: ClosureSearchLimits): readonly Closure[] {
  let known = found.get(active);
  if (!known) found.set(active, (known = search(active, limits)));
  return known;
}

function search(active: ActivePolicy, limits: ClosureSearchLimits): readonly Closure[] {
  const closures = new Map<string, Closure>();
  const knowledge = {
    program: active.program,
    facts: active.factTypes,
    context: [],
    signatures: active.signatures,
    closures: (closure: Closure) => {
      closures.set(closure.name, closure);
      return true;
    },
    nodesMax: limits.planNodesMax,
    typingsMax: limits.policyTypingsMax,
  };
  try {
    for (const goal of recursiveGoals(active, limits)) {
      specialise(goal, knowledge);
      if (closures.size > limits.closuresMax) return [];
    }
  } catch (error) {
    if (error instanceof TooManyNodes || error instanceof TooLarge) return [];
    throw error;
  }
  return [...closures.values()];
}

/** What the heads of recursive rules give, once for each combination of types. */
function recursiveGoals({ program, signatures }: ActivePolicy, limits: ClosureSearchLimits): Goal[] {
  const budget = new Budget(limits.policyTypingsMax, "types");
  const goals = new Map<string, Goal>();
  for (const rule of program.rules.filter(isRecursive)) {
    const typed = typings(rule.types, rule.body, signatures, (count) => budget.spend(count, rule.span));
    for (const types of withoutLinks(typed)) {
      const goal: Goal = { calls: [{ predicate: rule.predicate, args: rule.head }], types };
      const key = rule.head.map((term) => (term.kind === "var" ? [term.index, types[term.index]] : term));
      goals.set(JSON.stringify([rule.predicate, key]), goal);
    }
  }
  return [...goals.values()];
}

function isRecursive(rule: ProgramRule): boolean {
  return (
    rule.body.some((literal) => literal.kind === "call" && literal.predicate === rule.predicate) &&
    rule.head.every((term) => term.kind !== "now")
  );
}
