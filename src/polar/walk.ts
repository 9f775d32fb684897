/** Traversals of the syntax tree that several checks share. */
import { unreachable } from "../util/assert.ts";
import type { Call, Expression, Program, ShorthandAtom, ShorthandExpression, Term } from "./syntax.ts";

/** The expression and every expression inside it, outermost first. The parser bounds the depth. */
export function* expressionsOf(expression: Expression): Generator<Expression> {
  yield expression;
  if (expression.kind === "not") yield* expressionsOf(expression.operand);
  if (expression.kind !== "and" && expression.kind !== "or") return;
  for (const operand of expression.operands) yield* expressionsOf(operand);
}

export function* termsOf(expression: Expression): Generator<Term> {
  for (const inner of expressionsOf(expression)) yield* ownTerms(inner);
}

/** The terms of this expression, without those of nested expressions. */
export function ownTerms(expression: Expression): readonly Term[] {
  switch (expression.kind) {
    case "and":
    case "or":
    case "not":
    case "boolean":
      return [];
    case "call":
      return expression.args;
    case "equal":
    case "compare":
      return [expression.left, expression.right];
    case "in":
      return [expression.term, ...expression.list.items];
    case "matches":
      return [expression.variable];
    default:
      return unreachable(expression);
  }
}

export function* atomsOf(expression: ShorthandExpression): Generator<ShorthandAtom> {
  if (expression.kind !== "and" && expression.kind !== "or") return yield expression;
  for (const operand of expression.operands) yield* atomsOf(operand);
}

/** Every longhand expression: bodies of rules and conditions of assertions. */
export function* writtenExpressions(program: Program): Generator<Expression> {
  for (const statement of program.statements) {
    if (statement.kind === "rule" && statement.body) yield statement.body;
    if (statement.kind === "test") {
      for (const { iff } of statement.assertions) if (iff) yield iff;
    }
  }
}

export function callsOf(expression: ShorthandExpression): Call[] {
  return [...atomsOf(expression)].filter((atom) => atom.kind === "call");
}

export function variableNames(terms: Iterable<Term>): Set<string> {
  return new Set([...terms].flatMap((term) => (term.kind === "variable" ? [term.name] : [])));
}
