/**
 * Negation must be stratified: no rule may depend on the negation of something that depends on it, or the least model would not exist.
 * The graph is over rules, and an edge needs heads and calls whose constants and types can meet, so that
 * `"a" if …` may negate `"b"` although both are `has_role`.
 */
import type { Span } from "../polar/span.ts";
import { argumentOf, type Argument } from "./fact-types.ts";
import type { Program, ProgramLiteral, ProgramRule, ProgramTerm } from "./program.ts";
import { stronglyConnected } from "./components.ts";

export interface NegativeCycle {
  readonly rule: Span;
  /** The predicate that is negated. */
  readonly predicate: string;
  /** The rule through which the negation comes back. */
  readonly through: Span;
}

/** The first negative cycle of each rule that has one; empty for a stratified program. */
export function findNegativeCycles(program: Program): NegativeCycle[] {
  const edges = new Map<ProgramRule, { target: ProgramRule; negative: boolean; predicate: string }[]>();
  for (const rule of program.rules) edges.set(rule, outgoing(rule, program));
  const component = stronglyConnected(program.rules, (rule) => (edges.get(rule) ?? []).map((edge) => edge.target));
  return program.rules.flatMap((rule) => {
    const bad = (edges.get(rule) ?? []).find(
      (edge) => edge.negative && component.get(edge.target) === component.get(rule),
    );
    return bad ? [{ rule: rule.span, predicate: bad.predicate, through: bad.target.span }] : [];
  });
}

function argumentsOf(terms: readonly ProgramTerm[], rule: ProgramRule): Argument[] {
  return terms.map((term) => argumentOf(term, rule.types));
}

function outgoing(
  rule: ProgramRule,
  { heads }: Program,
): { target: ProgramRule; negative: boolean; predicate: string }[] {
  const found: { target: ProgramRule; negative: boolean; predicate: string }[] = [];
  const visit = (literals: readonly ProgramLiteral[], negative: boolean): void => {
    for (const literal of literals) {
      if (literal.kind === "not") visit(literal.body, true);
      if (literal.kind !== "call") continue;
      for (const target of heads.get(literal.predicate)?.candidates(argumentsOf(literal.args, rule)) ?? []) {
        if (meets(literal.args, rule, target)) found.push({ target, negative, predicate: literal.predicate });
      }
    }
  };
  visit(rule.body, false);
  return found;
}

function meets(args: readonly ProgramTerm[], caller: ProgramRule, target: ProgramRule): boolean {
  return args.every((arg, position) => {
    const head = target.head[position];
    if (!head) return false;
    if (arg.kind === "const" && head.kind === "const")
      return arg.value.type === head.value.type && arg.value.id === head.value.id;
    const left = typesOf(arg, caller);
    const right = typesOf(head, target);
    return !left || !right || [...left].some((type) => right.has(type));
  });
}

function typesOf(term: ProgramTerm, rule: ProgramRule): ReadonlySet<string> | undefined {
  if (term.kind === "var") return rule.types[term.index];
  return new Set([term.kind === "now" ? "Integer" : term.value.type]);
}
