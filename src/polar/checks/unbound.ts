/**
 * A comparison needs values on both sides. A variable gets one from the head, from a fact or rule that is not negated,
 * from `=` with a term that has a value, or from `in`, in any order; with `or`, in every alternative that leads there.
 *
 * An `=` needs one side with a value or, by `matches`, a type. An equality of two unrestricted variables would bind
 * them outside a neighbouring `not`, where they could then be any value: that would invert the meaning of the rule.
 */
import { quote } from "../report.ts";
import type { Expression, Term, Variable } from "../syntax.ts";
import { unreachable } from "../../util/assert.ts";
import { variableNames } from "../walk.ts";
import type { Context } from "./context.ts";

export function checkUnbound(context: Context): void {
  for (const statement of context.program.statements) {
    if (statement.kind !== "rule" || !statement.body || statement.flawed) continue;
    const head = statement.head.params.map((param) => param.term);
    const bound: Scope = { names: variableNames(head), outer: undefined, typesCount: false };
    check(statement.body, bound, { ...bound, typesCount: true }, context);
  }
}

/** Variables that have a value here, in addition to those of the outer scope. */
interface Scope {
  readonly names: Set<string>;
  readonly outer: Scope | undefined;
  /** Whether a type counts as a value. */
  readonly typesCount: boolean;
}

/** `bound` are the variables with a value, `known` those with a value or a type. */
function check(expression: Expression, bound: Scope, known: Scope, context: Context): void {
  switch (expression.kind) {
    case "and":
      return checkAll(expression.operands, within(expression, bound), within(expression, known), context);
    case "or":
      return checkAll(expression.operands, bound, known, context);
    case "not":
      return check(expression.operand, bound, known, context);
    case "compare":
      for (const term of [expression.left, expression.right]) {
        if (term.kind === "variable" && !isBound(term, bound)) reportUnbound(term, context);
      }
      return;
    case "equal": {
      const { left, right, span } = expression;
      if (left.kind !== "variable" || right.kind !== "variable" || isBound(left, known) || isBound(right, known))
        return;
      const message = `${quote(left.name)} and ${quote(right.name)} are equal, but nothing else restricts them`;
      return context.report.error("rule/unbound-variable", span, message, { hint: "bind one of them with a fact" });
    }
    default:
      return;
  }
}

function checkAll(operands: readonly Expression[], bound: Scope, known: Scope, context: Context): void {
  for (const operand of operands) check(operand, bound, known, context);
}

function within(expression: Expression, scope: Scope): Scope {
  return { ...scope, names: gained(expression, scope), outer: scope };
}

/** The variables that have a value whenever `expression` is true. */
function gained(expression: Expression, scope: Scope): Set<string> {
  switch (expression.kind) {
    case "and":
      return gainedByAll(expression.operands, scope);
    case "or":
      return expression.operands
        .map((operand) => gained(operand, scope))
        .reduce((one, other) => one.intersection(other));
    case "call":
      return variableNames(expression.args);
    case "in":
      return variableNames([expression.term]);
    case "equal": {
      const sides = [expression.left, expression.right];
      return sides.some((side) => isBound(side, scope)) ? variableNames(sides) : new Set();
    }
    case "matches":
      return scope.typesCount ? new Set([expression.variable.name]) : new Set();
    case "not":
    case "compare":
    case "boolean":
      return new Set();
    default:
      return unreachable(expression);
  }
}

/** The variables of an `and`. Its conditions give values to each other: `x = y and y = z and p(z)`. */
function gainedByAll(operands: readonly Expression[], outer: Scope): Set<string> {
  const inside: Scope = { ...outer, names: new Set(), outer };
  const equalities = operands.filter((operand) => operand.kind === "equal");
  const add = (operand: Expression) => gained(operand, inside).forEach((name) => inside.names.add(name));
  for (const operand of operands) if (operand.kind !== "or" && operand.kind !== "equal") add(operand);
  spread(equalities, inside);
  for (const operand of operands) if (operand.kind === "or") add(operand);
  spread(equalities, inside);
  return inside.names;
}

/** Propagates values along the equalities. It visits each variable once, in any order of the equalities. */
function spread(equalities: readonly Extract<Expression, { kind: "equal" }>[], inside: Scope): void {
  const neighbours = new Map<string, Term[]>();
  const waiting: Term[] = [];
  for (const { left, right } of equalities) {
    for (const [side, other] of [
      [left, right],
      [right, left],
    ] as const) {
      if (isBound(side, inside)) waiting.push(other);
      else if (side.kind === "variable" && side.name !== "_")
        neighbours.getOrInsertComputed(side.name, () => []).push(other);
    }
  }
  for (const term of waiting) {
    if (term.kind !== "variable" || term.name === "_" || isBound(term, inside)) continue;
    inside.names.add(term.name);
    waiting.push(...(neighbours.get(term.name) ?? []));
  }
}

function isBound(term: Term, scope: Scope): boolean {
  if (term.kind !== "variable") return true;
  // Each `_` is a variable of its own.
  if (term.name === "_") return false;
  for (let at: Scope | undefined = scope; at; at = at.outer) if (at.names.has(term.name)) return true;
  return false;
}

function reportUnbound(term: Variable, { report }: Context): void {
  report.error("rule/unbound-variable", term.span, `${quote(term.name)} is compared, but nothing gives it a value`, {
    hint: `bind it with a fact, such as ${quote(`level(…, ${term.name === "_" ? "value" : term.name})`)}`,
  });
}
