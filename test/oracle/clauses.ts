/**
 * The clauses of the oracle: one per alternative of a rule (`or` is the same as two rules), with its conditions in an
 * order in which each can be evaluated. The order affects only the time: a variable that no call binds is tried with
 * every value of the domain.
 *
 * A variable of the head, or of a condition outside all negations, belongs to the whole clause. Any other variable is
 * local to each `not` in which it occurs ("there is no such x"), and the same rule applies to nested negations.
 */
import type { Expression, Rule, Term } from "../../src/polar/policy.ts";
import { assert, unreachable } from "../../src/util/assert.ts";

export interface Clause {
  readonly predicate: string;
  readonly head: readonly Term[];
  readonly steps: readonly Step[];
}

export type Condition = Exclude<Expression, { kind: "and" | "or" | "not" }>;

export type Step =
  | Condition
  /** Tries every value of the domain. */
  | { readonly kind: "each"; readonly variable: string }
  /** True if none of the alternatives has a solution. */
  | { readonly kind: "not"; readonly alternatives: readonly (readonly Step[])[] };

export function clausesOf(rule: Rule): Clause[] {
  const head = rule.params.map((param) => param.term);
  const headVariables = head.flatMap(variablesOfTerm);
  const types: Expression[] = rule.params.flatMap(({ term, type }) =>
    type === undefined || term.kind !== "variable"
      ? []
      : [{ kind: "matches", variable: term.name, type, exact: false, span: term.span }],
  );
  return alternatives(rule.body).map((conjunction) => ({
    predicate: rule.predicate,
    head,
    steps: stepsOf([...types, ...conjunction], headVariables, new Set()),
  }));
}

/** The disjunctive normal form; `not` is not expanded. */
export function alternatives(expression: Expression | undefined): Exclude<Expression, { kind: "and" | "or" }>[][] {
  if (expression === undefined) return [[]];
  switch (expression.kind) {
    case "or":
      return expression.operands.flatMap(alternatives);
    case "and":
      return expression.operands
        .map(alternatives)
        .reduce((left, right) => left.flatMap((l) => right.map((r) => [...l, ...r])), [[]]);
    default:
      return [[expression]];
  }
}

function stepsOf(conjunction: readonly Expression[], wanted: readonly string[], outer: ReadonlySet<string>): Step[] {
  const own = new Set([...outer, ...wanted, ...conjunction.filter((e) => e.kind !== "not").flatMap(variablesOf)]);
  const bound = new Set(outer);
  const waiting = [...conjunction];
  const steps: Step[] = [];
  for (;;) {
    const ranks = waiting.map((expression) => rank(expression, own, bound));
    const best = Math.min(...ranks);
    if (best < impossible) {
      const [next] = waiting.splice(ranks.indexOf(best), 1);
      assert(next !== undefined, "a step was chosen");
      steps.push(next.kind === "not" ? negation(next.operand, bound) : condition(next));
      if (next.kind !== "not") for (const variable of variablesOf(next)) bound.add(variable);
      continue;
    }
    const variable = [...waiting.flatMap(variablesOf), ...wanted].find((name) => own.has(name) && !bound.has(name));
    if (variable === undefined) break;
    steps.push({ kind: "each", variable });
    bound.add(variable);
  }
  assert(waiting.length === 0, "every condition found its place");
  return steps;
}

function negation(operand: Expression, bound: ReadonlySet<string>): Step {
  return { kind: "not", alternatives: alternatives(operand).map((conjunction) => stepsOf(conjunction, [], bound)) };
}

function condition(expression: Expression): Condition {
  assert(expression.kind !== "and" && expression.kind !== "or" && expression.kind !== "not", "a simple condition");
  return expression;
}

const impossible = 9;

/** Checks come first, then calls (those with a bound argument first), then lists. */
function rank(expression: Expression, own: ReadonlySet<string>, bound: ReadonlySet<string>): number {
  const isBound = (term: Term) => term.kind !== "variable" || bound.has(term.name);
  switch (expression.kind) {
    case "boolean":
      return 0;
    case "matches":
      return bound.has(expression.variable) ? 0 : impossible;
    case "equal":
      return isBound(expression.left) || isBound(expression.right) ? 0 : impossible;
    case "compare":
      return isBound(expression.left) && isBound(expression.right) ? 0 : impossible;
    case "not":
      return variablesOf(expression).every((name) => bound.has(name) || !own.has(name)) ? 0 : impossible;
    case "call":
      return expression.args.some(isBound) ? 1 : 2;
    case "in":
      return isBound(expression.term) ? 0 : 3;
    default:
      return impossible;
  }
}

export function variablesOf(expression: Expression): string[] {
  switch (expression.kind) {
    case "and":
    case "or":
      return expression.operands.flatMap(variablesOf);
    case "not":
      return variablesOf(expression.operand);
    case "call":
      return expression.args.flatMap(variablesOfTerm);
    case "equal":
    case "compare":
      return [expression.left, expression.right].flatMap(variablesOfTerm);
    case "in":
      return variablesOfTerm(expression.term);
    case "matches":
      return [expression.variable];
    case "boolean":
      return [];
    default:
      return unreachable(expression);
  }
}

/** The variables of a step, including those inside of negations. */
export function variablesOfStep(step: Step): string[] {
  if (step.kind === "each") return [step.variable];
  return step.kind === "not" ? step.alternatives.flat().flatMap(variablesOfStep) : variablesOf(step);
}

function variablesOfTerm(term: Term): string[] {
  return term.kind === "variable" ? [term.name] : [];
}
