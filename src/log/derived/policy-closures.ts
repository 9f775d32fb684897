/** The closures that queries under a policy can use: those of all recursive rules. */
import type { Limits } from "../../config/limits.ts";
import { cyclicRules, RuleGraph } from "../../datalog/analysis/rule-graph.ts";
import { budget, TooLarge } from "../../datalog/analysis/too-large.ts";
import { inferTypings, withoutTypeVariables } from "../../datalog/analysis/typings.ts";
import type { Closure } from "../../datalog/ir/closure.ts";
import { listKey, programTermKey, stringKey, typeKey } from "../../datalog/ir/key.ts";
import type { DatalogProgram, ProgramRule, ProgramTerm } from "../../datalog/ir/program.ts";
import type { TypeName } from "../../datalog/ir/signature.ts";
import { findClosures } from "../../datalog/pipeline.ts";
import { type Goal, TooManyNodes } from "../../datalog/specialise/specialise.ts";
import type { ActivePolicy } from "../../policy/active-policy.ts";

type ClosureSearchLimits = Pick<Limits, "closuresMax" | "planNodesMax" | "policyTypingsMax">;

/** By the limits of the search. */
const found = new WeakMap<ActivePolicy, Map<string, readonly Closure[]>>();

/** In no particular order. Empty if the policy exceeds the limits: then queries walk all facts. */
export function closuresOf(active: ActivePolicy, limits: ClosureSearchLimits): readonly Closure[] {
  const key = `${limits.closuresMax} ${limits.planNodesMax} ${limits.policyTypingsMax}`;
  return found.getOrInsertComputed(active, () => new Map()).getOrInsertComputed(key, () => search(active, limits));
}

function search(active: ActivePolicy, limits: ClosureSearchLimits): readonly Closure[] {
  const closures = new Map<string, Closure>();
  try {
    const goals = recursiveGoals(active, limits);
    findClosures(goals, {
      program: active.program,
      facts: active.factTypes,
      context: [],
      signatures: active.signatures,
      closures: (closure) => {
        closures.set(closure.name, closure);
        // Only collects the closures: nothing has to be rewritten.
        return false;
      },
      // The sum of what the goals may take one by one.
      nodesMax: limits.planNodesMax * goals.length,
      typingsMax: limits.policyTypingsMax * goals.length,
    });
  } catch (error) {
    if (error instanceof TooManyNodes || error instanceof TooLarge) return [];
    throw error;
  }
  return closures.size > limits.closuresMax ? [] : [...closures.values()];
}

/** The heads of recursive rules as goals, once for each combination of types. */
function recursiveGoals({ program, signatures }: ActivePolicy, limits: ClosureSearchLimits): Goal[] {
  const spend = budget(limits.policyTypingsMax, "types");
  const goals = new Map<string, Goal>();
  for (const rule of recursiveRules(program)) {
    const typed = inferTypings(rule.types, rule.body, signatures, (count) => spend(count, rule.span));
    for (const types of withoutTypeVariables(typed)) {
      const goal: Goal = { calls: [{ predicate: rule.predicate, args: rule.head }], types };
      const head = rule.head.map((term) => headTermKey(term, types));
      goals.set(stringKey(rule.predicate) + listKey(head), goal);
    }
  }
  return [...goals.values()];
}

function headTermKey(term: ProgramTerm, types: readonly TypeName[]): string {
  return programTermKey(term) + (term.kind === "var" ? typeKey(types[term.index]) : "");
}

/** Recursive rules, except those whose head contains the current time. */
function recursiveRules(program: DatalogProgram): ProgramRule[] {
  const rules = cyclicRules(program);
  const graph = new RuleGraph(rules);
  return rules.filter((rule) => !graph.loopsOf(rule).next().done && rule.head.every((term) => term.kind !== "now"));
}
