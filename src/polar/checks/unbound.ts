/**
 * A comparison needs values on both sides. A variable gets one from the head, from a fact or rule that is not negated, from `=` with
 * something that has a value, or from `in`; the order of conditions does not matter. With `or` it must get one on every way that leads
 * to the comparison.
 */
import { quote } from "../report.ts";
import type { Expression, Term } from "../syntax.ts";
import { unreachable } from "../../util/assert.ts";
import type { Context } from "./context.ts";

export function checkUnbound(context: Context): void {
  for (const statement of context.program.statements) {
    if (statement.kind !== "rule" || !statement.body) continue;
    const head = statement.head.params.map((param) => param.term);
    check(statement.body, new Set(namesOf(head)), context);
  }
}

type NameSet = ReadonlySet<string>;

function check(expression: Expression, bound: NameSet, context: Context): void {
  switch (expression.kind) {
    case "and": {
      const inside = bindings(expression, bound);
      for (const operand of expression.operands) check(operand, inside, context);
      return;
    }
    case "or":
      for (const operand of expression.operands) check(operand, bound, context);
      return;
    case "not":
      return check(expression.operand, bound, context);
    case "compare":
      for (const term of [expression.left, expression.right]) {
        if (term.kind !== "variable" || (term.name !== "_" && bound.has(term.name))) continue;
        context.report.error(
          "rule/unbound-variable",
          term.span,
          `${quote(term.name)} is compared, but nothing gives it a value`,
          {
            hint: `bind it with a fact, such as ${quote(`level(resource, ${term.name})`)}`,
          },
        );
      }
      return;
    default:
      return;
  }
}

/** The variables that have a value once `expression` holds, `bound` included. */
function bindings(expression: Expression, bound: NameSet): NameSet {
  switch (expression.kind) {
    case "and":
      return conjunction(expression.operands, bound);
    case "or":
      return expression.operands
        .map((operand) => bindings(operand, bound))
        .reduce((one, other) => one.intersection(other));
    case "call":
      return bound.union(new Set(namesOf(expression.args)));
    case "in":
      return bound.union(new Set(namesOf([expression.term])));
    case "equal": {
      const [left, right] = [expression.left, expression.right];
      const known = (term: Term) => term.kind !== "variable" || bound.has(term.name);
      return known(left) || known(right) ? bound.union(new Set(namesOf([left, right]))) : bound;
    }
    case "not":
    case "compare":
    case "matches":
    case "boolean":
      return bound;
    default:
      return unreachable(expression);
  }
}

/** Until nothing new comes: `x = y and y = z and p(z)`. */
function conjunction(operands: readonly Expression[], bound: NameSet): NameSet {
  let known = bound;
  for (;;) {
    const next = operands.reduce((sofar, operand) => bindings(operand, sofar), known);
    if (next.size === known.size) return known;
    known = next;
  }
}

function namesOf(terms: readonly Term[]): string[] {
  return terms.filter((term) => term.kind === "variable").map((term) => term.name);
}
