/** Desugars terms and conditions of longhand: literals get their wire form, and each `_` gets a fresh name. */
import { assert, unreachable } from "../util/assert.ts";
import type { Expression, Literal, Param, Term } from "./policy.ts";
import type { Span } from "./span.ts";
import type * as syntax from "./syntax.ts";

/** Returns a name that the rule does not use: `wanted`, `wanted_2`, …; without an argument `_1`, `_2`, … */
export type Fresh = (wanted?: string) => string;

export function freshNames(used: Iterable<string>): Fresh {
  const taken = new Set(used);
  const counts = new Map<string, number>();
  return (wanted = "") => {
    let count = counts.get(wanted) ?? 0;
    let name: string;
    do {
      count += 1;
      name = count === 1 && wanted !== "" ? wanted : `${wanted}_${count}`;
    } while (taken.has(name));
    counts.set(wanted, count);
    taken.add(name);
    return name;
  };
}

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
      return joined(
        expression.kind,
        expression.operands.map((inner) => desugarExpression(inner, fresh)),
        span,
      );
    case "not":
      return { kind: "not", operand: desugarExpression(expression.operand, fresh), span };
    case "call":
      return desugarCall(expression, fresh);
    case "equal":
    case "compare":
      return { ...expression, left: desugarTerm(expression.left, fresh), right: desugarTerm(expression.right, fresh) };
    case "in": {
      const values = expression.list.items.map(desugarLiteral);
      return { kind: "in", term: desugarTerm(expression.term, fresh), values, span };
    }
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
export function joined(kind: "and" | "or", parts: readonly Expression[], span: Span): Expression {
  const operands = parts.flatMap((part) => (part.kind === kind ? part.operands : [part]));
  return { kind, operands, span };
}
