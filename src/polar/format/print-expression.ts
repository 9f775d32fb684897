/** Prints conditions of longhand and shorthand rules, with `and` and `or` at the end of lines and few parentheses. */
import { unreachable } from "../../util/assert.ts";
import { stringLiteral } from "../string-literal.ts";
import type { Expression, ShorthandExpression, ShorthandTerm } from "../syntax.ts";
import { isMark } from "../stream.ts";
import { type Doc, concat, group, indent } from "./doc.ts";
import { type Page, lineBefore, lineBeforeClosing, tokenAfter, tokenBefore } from "./page.ts";
import { printCall, printList, printTerm } from "./print-term.ts";

type Condition = Expression | ShorthandExpression;

export function printExpression(page: Page, expression: Condition): Doc {
  switch (expression.kind) {
    case "and":
    case "or":
      return printConnected(page, expression);
    case "not":
      return concat(["not ", printOperand(page, expression.operand)]);
    case "call":
      return printCall(page, expression);
    case "equal":
      return `${printTerm(expression.left)} = ${printTerm(expression.right)}`;
    case "compare":
      return `${printTerm(expression.left)} ${expression.operator} ${printTerm(expression.right)}`;
    case "in":
      return concat([`${printTerm(expression.term)} in `, printList(page, expression.list)]);
    case "matches":
      return `${expression.variable.name} matches${expression.exact ? "!" : ""} ${expression.type.text}`;
    case "boolean":
      return `${expression.value}`;
    case "name":
      return printShorthandTerm(expression.term);
    case "global":
      return `global ${printShorthandTerm(expression.term)}`;
    case "on":
      return `${printShorthandTerm(expression.term)} on ${printShorthandTerm(expression.target)}`;
    default:
      return unreachable(expression);
  }
}

export function printShorthandTerm({ quoted, text }: ShorthandTerm): string {
  return quoted ? stringLiteral(text) : text;
}

interface Connected {
  readonly kind: "and" | "or";
  readonly operands: readonly Condition[];
}

function printConnected(page: Page, { kind, operands }: Connected): Doc {
  const parts = operands.flatMap((operand, index) =>
    index === 0
      ? [printOperand(page, operand)]
      : [` ${kind}`, lineBefore(page, " ", startOf(page, operand), "part"), printOperand(page, operand)],
  );
  return concat(parts);
}

/** An `and` inside an `or` gets parentheses, although it does not need them: not every reader knows the precedence. */
function printOperand(page: Page, operand: Condition): Doc {
  if (!isConnected(operand)) return printExpression(page, operand);
  const { start, end } = operand.span;
  const next = tokenAfter(page, end);
  const parts = [lineBefore(page, "", start, "opening"), printConnected(page, operand)];
  const closing = isMark(next, ")") ? next.start : end;
  return group(["(", indent(parts), lineBeforeClosing(page, "", closing, "part"), ")"]);
}

/** The start of the operand, including its opening parenthesis. */
function startOf(page: Page, operand: Condition): number {
  const { start } = operand.span;
  const before = tokenBefore(page, start);
  return isConnected(operand) && before && isMark(before, "(") ? before.start : start;
}

function isConnected(expression: Condition): expression is Extract<Condition, Connected> {
  return expression.kind === "and" || expression.kind === "or";
}
