/** Which closures questions under a policy may read: those of all rules that ask for themselves again. */
import type { Limits } from "../../config/limits.ts";
import type { DatalogProgram, ProgramRule, ProgramTerm } from "../../datalog/ir/program.ts";
import type { Closure } from "../../datalog/ir/closure.ts";
import { cyclicRules, RuleGraph } from "../../datalog/analysis/rule-graph.ts";
import { findClosures } from "../../datalog/pipeline.ts";
import { type Goal, TooManyNodes } from "../../datalog/specialise/specialise.ts";
import { Budget, TooLarge } from "../../datalog/analysis/too-large.ts";
import { inferTypings, withoutTypeVariables } from "../../datalog/analysis/typings.ts";
import type { TypeName } from "../../datalog/ir/signature.ts";
import type { ActivePolicy } from "../policy/active-policy.ts";
import { keyPart, sequenceKey, valueKey } from "../request/keys.ts";

export type ClosureSearchLimits = Pick<Limits, "closuresMax" | "planNodesMax" | "policyTypingsMax">;

/** By the limits under which they were looked for. */
const found = new WeakMap<ActivePolicy, Map<string, readonly Closure[]>>();

/** In no particular order; none where the policy has more than its limits allow: then everything is walked. */
export function closuresOf(active: ActivePolicy, limits: ClosureSearchLimits): readonly Closure[] {
  const key = `${limits.closuresMax} ${limits.planNodesMax} ${limits.policyTypingsMax}`;
  let underLimits = found.get(active);
  if (!underLimits) found.set(active, (underLimits = new Map()));
  let known = underLimits.get(key);
  if (!known) underLimits.set(key, (known = search(active, limits)));
  return known;
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
        // It is only noted here: nothing has to be rewritten.
        return false;
      },
      // As much as the goals could take one by one.
      nodesMax: limits.planNodesMax * goals.length,
      typingsMax: limits.policyTypingsMax * goals.length,
    });
  } catch (error) {
    if (error instanceof TooManyNodes || error instanceof TooLarge) return [];
    throw error;
  }
  return closures.size > limits.closuresMax ? [] : [...closures.values()];
}

/** What the heads of recursive rules give, once for each combination of types. */
function recursiveGoals({ program, signatures }: ActivePolicy, limits: ClosureSearchLimits): Goal[] {
  const budget = new Budget(limits.policyTypingsMax, "types");
  const goals = new Map<string, Goal>();
  for (const rule of recursiveRules(program)) {
    const typed = inferTypings(rule.types, rule.body, signatures, (count) => budget.spend(count, rule.span));
    for (const types of withoutTypeVariables(typed)) {
      const goal: Goal = { calls: [{ predicate: rule.predicate, args: rule.head }], types };
      const head = sequenceKey(rule.head, (term) => headTermKey(term, types));
      goals.set(keyPart(rule.predicate) + head, goal);
    }
  }
  return [...goals.values()];
}

function headTermKey(term: ProgramTerm, types: readonly TypeName[]): string {
  if (term.kind === "var") return `?${term.index} ${keyPart(types[term.index])}`;
  return term.kind === "const" ? valueKey(term.value) : "now";
}

/** Rules that may ask for themselves again, without those that give the clock. */
function recursiveRules(program: DatalogProgram): ProgramRule[] {
  const rules = cyclicRules(program);
  const graph = new RuleGraph(rules);
  return rules.filter((rule) => !graph.loopsOf(rule).next().done && rule.head.every((term) => term.kind !== "now"));
}
