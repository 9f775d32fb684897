/** Negation must be stratified: no rule may depend on the negation of something that depends on it, or the least model would not exist. */
import type { Span } from "../../polar/span.ts";
import type { DatalogProgram } from "../ir/program.ts";
import { cyclicRules, RuleGraph } from "./rule-graph.ts";

export interface NegativeCycle {
  readonly rule: Span;
  /** The predicate that is negated. */
  readonly predicate: string;
  /** The rule through which the negation comes back. */
  readonly through: Span;
}

/** The first negative cycle of each rule that has one; empty for a stratified program. */
export function findNegativeCycles(program: DatalogProgram): NegativeCycle[] {
  const rules = cyclicRules(program);
  const graph = new RuleGraph(rules);
  return rules.flatMap((rule) => {
    for (const { call, negative, through } of graph.loopsOf(rule))
      if (negative) return [{ rule: rule.span, predicate: call.predicate, through }];
    return [];
  });
}
