/**
 * The parser: recursive descent over the cloud dialect. No keyword is reserved (`resource(x) if …` is a rule), so it
 * looks one token ahead to decide which statement a word begins.
 */
import { beforeLine, expectName, expectSemicolon, never, unexpected } from "./expect.ts";
import { acceptIf } from "./legacy.ts";
import { tokenize } from "./lexer.ts";
import { parseBlock } from "./parse-block.ts";
import { parseExpression } from "./parse-expression.ts";
import { parseArguments, parseFlags, parseHead } from "./parse-term.ts";
import { parseTest } from "./parse-test.ts";
import { skipBlock, skipStatement } from "./recovery.ts";
import { type Report, quote } from "./report.ts";
import type { Source } from "./source.ts";
import { type Stream, accept, advance, isMark, peek, refuse, spanFrom, spanOf } from "./stream.ts";
import type { Declare, InlineQuery, Program, RuleStatement, RuleType, Statement } from "./syntax.ts";
import type { Token } from "./token.ts";

export function parse(source: Source, depthMax: number, report: Report): Program {
  return parseTokens(source.name, tokenize(source, report).tokens, depthMax, report);
}

export function parseTokens(file: string, tokens: readonly Token[], depthMax: number, report: Report): Program {
  const stream: Stream = { file, tokens, report, depthMax, index: 0, depth: 0, unclosedAt: -1, calledAt: -1 };
  const statements: Statement[] = [];
  let incomplete = false;
  while (peek(stream).kind !== "end") {
    if (accept(stream, ";")) continue;
    const start = stream.index;
    stream.depth = 0;
    const statement = parseStatement(stream);
    if (statement) statements.push(statement);
    else incomplete = recover(stream, start) || incomplete;
    if (stream.index === start) advance(stream);
  }
  return { statements, incomplete };
}

function parseStatement(stream: Stream): Statement | undefined {
  const token = peek(stream);
  if (token.kind === "flag") return parseRule(stream);
  if (isMark(token, "?=")) return parseInlineQuery(stream);
  if (token.kind !== "identifier") return unexpected(stream, "a block, a rule, a test or `declare`");
  if (isMark(peek(stream, 1), "(")) return parseRule(stream);
  switch (token.text) {
    case "actor":
    case "resource":
    case "global":
      return parseBlock(stream, token.text);
    case "test":
      return parseTest(stream);
    case "declare":
      return parseDeclare(stream);
    case "type":
      return parseRuleType(stream);
    default:
      return refuseWord(stream);
  }
}

/** Skips the failed statement. Returns whether it may have declared something. */
function recover(stream: Stream, start: number): boolean {
  const [first, second] = [stream.tokens[start], stream.tokens[start + 1]];
  const isLine = second?.kind === "identifier" && (first?.text === "declare" || first?.text === "type");
  const isRule = first?.kind === "flag" || (second !== undefined && isMark(second, "(")) || isLine;
  if (first && isMark(first, "}")) return false;
  if (isRule || (first && isMark(first, "?="))) skipStatement(stream, start);
  else skipBlock(stream, start);
  // The `}` that ended the skipping closes no known block, so it belongs to the skipped statement.
  accept(stream, "}");
  return !isRule;
}

/** `{ FLAG } head [ "if" expr ] ";"` */
function parseRule(stream: Stream): RuleStatement | undefined {
  const start = peek(stream);
  const errors = stream.report.diagnostics.length;
  const flags = parseFlags(stream);
  const head = parseHead(stream);
  if (!head) return undefined;
  const hasBody = acceptIf(stream);
  const body = hasBody ? parseExpression(stream) : undefined;
  if (hasBody && !body) return undefined;
  if (!expectSemicolon(stream, hasBody ? "after the rule" : `or \`if\` after ${quote(head.predicate.text)}`, never))
    return undefined;
  const flawed = stream.report.diagnostics.length > errors;
  return { kind: "rule", flags, head, body, flawed, span: spanFrom(stream, start) };
}

function parseDeclare(stream: Stream): Declare | undefined {
  const start = advance(stream);
  const parsed = parseArguments(stream, () => expectName(stream, "the name of a type"));
  if (!parsed || !expectSemicolon(stream, "after the declaration", beforeLine)) return undefined;
  return { kind: "declare", predicate: parsed.predicate, types: parsed.args, span: spanFrom(stream, start) };
}

function parseRuleType(stream: Stream): RuleType | undefined {
  const start = advance(stream);
  const head = parseHead(stream);
  if (!head || !expectSemicolon(stream, "after the rule type", never)) return undefined;
  return { kind: "ruleType", head, span: spanFrom(stream, start) };
}

function parseInlineQuery(stream: Stream): InlineQuery | undefined {
  const start = advance(stream);
  const body = parseExpression(stream);
  if (!body || !expectSemicolon(stream, "after the query", never)) return undefined;
  return { kind: "inlineQuery", body, span: spanFrom(stream, start) };
}

const keywords = ["actor", "resource", "global", "test", "declare"];

function refuseWord(stream: Stream): undefined {
  const token = peek(stream);
  const next = peek(stream, 1);
  if (next.kind !== "identifier" && next.kind !== "string" && !isMark(next, "{")) {
    advance(stream);
    return unexpected(stream, `\`(\` after ${quote(token.text)}`);
  }
  const message = `${quote(token.text)} does not begin a statement of Polar`;
  const advice =
    stream.report.suggest({ text: token.text, span: spanOf(stream, token) }, keywords) ??
    "a statement is a block, a rule, a test or `declare`";
  return refuse(stream, "syntax/unknown-statement", message, advice);
}
