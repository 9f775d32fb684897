/** Parses the body of a rule: `or` over `and` over `not` over single conditions. */
import { expect, expectName, unexpected } from "./expect.ts";
import {
  acceptEquals,
  acceptNot,
  comparesValueInParentheses,
  followsAccess,
  skipCallAsValue,
  skipMisplacedFlag,
} from "./legacy.ts";
import type { Comparison } from "./policy.ts";
import { quote } from "./report.ts";
import { type Stream, accept, acceptWord, advance, isMark, isWord, nested, peek, spanFrom, spanOf } from "./stream.ts";
import type { Expression, Term } from "./syntax.ts";
import { parseAlternatives, parseCall, parseList, parseTerm } from "./parse-term.ts";
import type { Token } from "./token.ts";

export function parseExpression(stream: Stream): Expression | undefined {
  return parseAlternatives(stream, parseNot);
}

function parseNot(stream: Stream): Expression | undefined {
  skipMisplacedFlag(stream);
  const start = peek(stream);
  if (!acceptNot(stream)) return parseCondition(stream);
  const operand = nested(stream, parseNot);
  return operand && { kind: "not", operand, span: spanFrom(stream, start) };
}

function parseCondition(stream: Stream): Expression | undefined {
  const start = peek(stream);
  if (accept(stream, "(")) {
    const inner = nested(stream, parseExpression);
    return inner && expect(stream, ")", "or another condition") ? inner : undefined;
  }
  if (!comparesValueInParentheses(stream)) {
    if (skipCallAsValue(stream, "left")) return parseOperator(stream, start, variableAt(stream, start));
    if (start.kind === "identifier" && isMark(peek(stream, 1), "(")) return parseCall(stream);
  }
  const term = parseTerm(stream);
  return term && parseOperator(stream, start, term);
}

/** A variable that replaces the reported tokens. */
function variableAt(stream: Stream, token: Token): Term {
  return { kind: "variable", name: token.text, span: spanOf(stream, token) };
}

const comparisons: readonly string[] = ["<", "<=", ">", ">=", "!="] satisfies Comparison[];

function parseOperator(stream: Stream, start: Token, left: Term): Expression | undefined {
  const token = peek(stream);
  if (acceptEquals(stream)) {
    const right = parseTerm(stream);
    return right && { kind: "equal", left, right, span: spanFrom(stream, start) };
  }
  if (token.kind === "punctuation" && comparisons.includes(token.text)) {
    advance(stream);
    const right = parseTerm(stream);
    return right && { kind: "compare", operator: token.text as Comparison, left, right, span: spanFrom(stream, start) };
  }
  if (acceptWord(stream, "in")) {
    const list = parseList(stream, "after `in`");
    return list && { kind: "in", term: left, list, span: spanFrom(stream, start) };
  }
  if (isWord(token, "matches") || isMark(token, "matches!")) return parseMatches(stream, start, left);
  if (left.kind === "variable" && followsAccess(stream)) {
    // A field or a method as a condition was reported; a fact replaces it.
    return { kind: "call", predicate: { text: left.name, span: left.span }, args: [left], span: left.span };
  }
  if (left.kind === "boolean") return { kind: "boolean", value: left.text === "true", span: left.span };
  const what = left.kind === "variable" ? quote(left.name) : "the value";
  return unexpected(stream, `\`=\`, a comparison, \`in\` or \`matches\` after ${what}`);
}

function parseMatches(stream: Stream, start: Token, left: Term): Expression | undefined {
  if (left.kind !== "variable")
    return unexpected(stream, "`=` or a comparison: only a variable can be matched with a type");
  const exact = isMark(advance(stream), "matches!");
  const type = expectName(stream, "the name of a type");
  if (type && isMark(peek(stream), "{"))
    return unexpected(stream, "the end of the condition: `matches` takes only a type");
  return type && { kind: "matches", variable: left, type, exact, span: spanFrom(stream, start) };
}
