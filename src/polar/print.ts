/** Prints checked rules as Polar, each on one line. */
import { unreachable } from "../util/assert.ts";
import type { Expression, Literal, Param, Rule, Term } from "./policy.ts";
import { stringLiteral } from "./string-literal.ts";

/** Returns the printed name of a variable. */
type Naming = (name: string) => string;

const asNamed: Naming = (name) => name;

export function printRule({ predicate, params, body }: Rule, naming: Naming = asNamed): string {
  const head = `${predicate}(${params.map((param) => printParam(param, naming)).join(", ")})`;
  return `${head}${body ? ` if ${printExpression(body, naming)}` : ""};`;
}

export function printParam({ term, type }: Param, naming: Naming = asNamed): string {
  return type === undefined ? printTerm(term, naming) : `${printTerm(term, naming)}: ${type}`;
}

export function printTerm(term: Term, naming: Naming = asNamed): string {
  if (term.kind === "variable") return naming(term.name);
  return term.kind === "now" ? "@current_unix_time" : printLiteral(term);
}

export function printLiteral({ type, id }: Omit<Literal, "kind" | "span">): string {
  if (type === "String") return stringLiteral(id);
  return type === "Integer" || type === "Boolean" ? id : `${type}{${stringLiteral(id)}}`;
}

export function printExpression(expression: Expression, naming: Naming = asNamed): string {
  const term = (printed: Term) => printTerm(printed, naming);
  switch (expression.kind) {
    case "and":
    case "or":
      return expression.operands.map((operand) => printOperand(operand, naming)).join(` ${expression.kind} `);
    case "not":
      return `not ${printOperand(expression.operand, naming)}`;
    case "call":
      return `${expression.predicate}(${expression.args.map(term).join(", ")})`;
    case "equal":
      return `${term(expression.left)} = ${term(expression.right)}`;
    case "compare":
      return `${term(expression.left)} ${expression.operator} ${term(expression.right)}`;
    case "in":
      return `${term(expression.term)} in [${expression.values.map(printLiteral).join(", ")}]`;
    case "matches":
      return `${naming(expression.variable)} matches${expression.exact ? "!" : ""} ${expression.type}`;
    case "boolean":
      return `${expression.value}`;
    default:
      return unreachable(expression);
  }
}

function printOperand(expression: Expression, naming: Naming): string {
  const isGroup = expression.kind === "and" || expression.kind === "or";
  return isGroup ? `(${printExpression(expression, naming)})` : printExpression(expression, naming);
}
