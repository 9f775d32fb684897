/** Desugars terms and conditions of longhand: literals get their wire form, and each `_` gets a name. */
import { assert, unreachable } from "../util/assert.ts";
import type { Fresh } from "./fresh.ts";
import type { Expression, Literal, Param, Term } from "./policy.ts";
import type * as syntax from "./syntax.ts";

export function desugarParam({ term, type }: syntax.Param, fresh: Fresh): Param {
  return { term: desugarTerm(term, fresh), type: type?.text };
}

function desugarTerm(term: syntax.Term, fresh: Fresh): Term {
  if (term.kind === "now") return term;
  if (term.kind !== "variable") return desugarLiteral(term);
  return { kind: "variable", name: term.name === "_" ? fresh() : term.name, span: term.span };
}

const primitives = { string: "String", integer: "Integer", boolean: "Boolean" } as const;

/** `term` must be a literal; the checks guarantee it. */
export function desugarLiteral(term: syntax.Term): Literal {
  assert(term.kind !== "variable" && term.kind !== "now", "a variable where the checks let only literals pass");
  // The grammar allows `Doc{1}` without a defined meaning. An id is a string, so it means `Doc{"1"}`.
  if (term.kind === "typed") return { kind: "literal", type: term.type.text, id: term.value.text, span: term.span };
  return { kind: "literal", type: primitives[term.kind], id: term.text, span: term.span };
}

export function desugarCall({ predicate, args, span }: syntax.Call, fresh: Fresh): Expression {
  return { kind: "call", predicate: predicate.text, args: args.map((term) => desugarTerm(term, fresh)), span };
}

export function desugarExpression(expression: syntax.Expression, fresh: Fresh): Expression {
  const { span } = expression;
  switch (expression.kind) {
    case "and":
    case "or":
      return {
        kind: expression.kind,
        operands: flatten(
          expression.kind,
          expression.operands.map((inner) => desugarExpression(inner, fresh)),
        ),
        span,
      };
    case "not":
      return { kind: "not", operand: desugarExpression(expression.operand, fresh), span };
    case "call":
      return desugarCall(expression, fresh);
    case "equal":
      return {
        kind: "equal",
        left: desugarTerm(expression.left, fresh),
        right: desugarTerm(expression.right, fresh),
        span,
      };
    case "compare": {
      const [left, right] = [desugarTerm(expression.left, fresh), desugarTerm(expression.right, fresh)];
      return { kind: "compare", operator: expression.operator, left, right, span };
    }
    case "in":
      return {
        kind: "in",
        term: desugarTerm(expression.term, fresh),
        values: expression.list.items.map(desugarLiteral),
        span,
      };
    case "matches": {
      const name = expression.variable.name === "_" ? fresh() : expression.variable.name;
      return { kind: "matches", variable: name, type: expression.type.text, exact: expression.exact, span };
    }
    case "boolean":
      return expression;
    default:
      return unreachable(expression);
  }
}

/** `a and (b and c)` is `a and b and c`. */
export function flatten(kind: "and" | "or", operands: readonly Expression[]): Expression[] {
  return operands.flatMap((operand) => (operand.kind === kind ? operand.operands : [operand]));
}
