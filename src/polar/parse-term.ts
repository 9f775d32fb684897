/** Parses terms, calls and heads, which rules, facts and tests consist of, and `and` and `or` between conditions. */
import { expect, expectName, separated, unexpected } from "./expect.ts";
import {
  acceptConnective,
  acceptFlagAsValue,
  acceptParenthesesOfValue,
  explainAccess,
  skipAccess,
  skipCallAsValue,
} from "./legacy.ts";
import { quote } from "./report.ts";
import type { Span } from "./span.ts";
import { type Stream, accept, advance, isMark, peek, refuse, spanFrom, spanOf } from "./stream.ts";
import type { Call, Head, List, Name, Param, Scalar, Term } from "./syntax.ts";
import { reservedWords } from "./token.ts";

/** `IDENT "(" [ term { "," term } ] ")"` */
export function parseCall(
  stream: Stream,
  argument: (stream: Stream) => Term | undefined = parseTerm,
): Call | undefined {
  const start = peek(stream);
  const parsed = parseArguments(stream, argument);
  return parsed && { kind: "call", predicate: parsed.predicate, args: parsed.args, span: spanFrom(stream, start) };
}

/** `IDENT "(" [ item { "," item } ] ")"` */
export function parseArguments<T>(
  stream: Stream,
  argument: (stream: Stream) => T | undefined,
): { readonly predicate: Name; readonly args: T[] } | undefined {
  const predicate = expectName(stream, "the name of a predicate");
  if (!predicate || !expect(stream, "(", `after ${quote(predicate.text)}`)) return undefined;
  const args = separated(stream, ")", "refused", argument);
  return args && { predicate, args };
}

/** Flags are internal to Oso and have no meaning here. */
export function parseFlags(stream: Stream): Name[] {
  const flags: Name[] = [];
  while (peek(stream).kind === "flag") {
    const token = advance(stream);
    flags.push({ text: token.text, span: spanOf(stream, token) });
  }
  return flags;
}

/** Like a call, but a variable may carry its type. */
export function parseHead(stream: Stream): Head | undefined {
  const start = peek(stream);
  const parsed = parseArguments(stream, parseParam);
  return parsed && { predicate: parsed.predicate, params: parsed.args, span: spanFrom(stream, start) };
}

function parseParam(stream: Stream): Param | undefined {
  const term = parseTerm(stream);
  if (!term || !isMark(peek(stream), ":")) return term && { term, type: undefined };
  if (term.kind !== "variable") return unexpected(stream, "`,` or `)`: only a variable can be given a type");
  advance(stream);
  const type = expectName(stream, `the type of ${quote(term.name)}`);
  if (type && isMark(peek(stream), "{")) {
    const hint = `give the type alone, or the value alone: ${quote(`${type.text}{"id"}`)}`;
    return refuse(stream, "syntax/pattern", "a parameter takes a type, not a pattern of fields", hint);
  }
  return type && { term, type };
}

export function parseTerm(stream: Stream): Term | undefined {
  const token = peek(stream);
  if (token.kind === "now") return { kind: "now", span: spanOf(stream, advance(stream)) };
  const scalar = parseScalar(stream);
  if (scalar) return scalar;
  if (token.kind === "badNumber") {
    // The lexer reported it; any number lets the parser continue with the rest of the statement.
    return { kind: "integer", text: "0", span: spanOf(stream, advance(stream)) };
  }
  if (isMark(token, "{") || isMark(token, "[")) return refuseStructure(stream);
  if (acceptFlagAsValue(stream)) return { kind: "now", span: spanOf(stream, token) };
  if (token.kind !== "identifier" || reservedWords.has(token.text) || isNew(stream))
    return unexpected(stream, "a value or a variable");
  if (isMark(peek(stream, 1), "{") || acceptParenthesesOfValue(stream)) return parseTyped(stream);
  if (!skipCallAsValue(stream, "right")) {
    advance(stream);
    skipAccess(stream, token);
  }
  return { kind: "variable", name: token.text, span: spanOf(stream, token) };
}

/** A term without variables, as facts in tests require. */
export function parseConcrete(stream: Stream): Term | undefined {
  const errors = stream.report.diagnostics.length;
  const term = parseTerm(stream);
  if (term?.kind !== "variable" && term?.kind !== "now") return term;
  // The variable only replaces something that was already reported.
  if (stream.report.diagnostics.length > errors) return undefined;
  const found = term.kind === "now" ? "`@current_unix_time`" : `variable ${quote(term.name)}`;
  const message = `${found} in a fact: facts of a test hold values only`;
  const hint = 'write a value, such as `"text"` or `User{"alice"}`';
  return refuse(stream, "test/variable-in-fact", message, hint, term.span);
}

function isNew(stream: Stream): boolean {
  const next = peek(stream, 1);
  return peek(stream).text === "new" && next.kind === "identifier" && !reservedWords.has(next.text);
}

function parseScalar(stream: Stream): Scalar | undefined {
  const token = peek(stream);
  if (token.kind === "string" || token.kind === "integer") {
    return { kind: token.kind, text: token.text, span: spanOf(stream, advance(stream)) };
  }
  if (token.kind !== "identifier" || (token.text !== "true" && token.text !== "false")) return undefined;
  return { kind: "boolean", text: token.text, span: spanOf(stream, advance(stream)) };
}

/** `User{"alice"}` */
function parseTyped(stream: Stream): Term | undefined {
  const start = peek(stream);
  const type = expectName(stream, "the name of a type");
  if (!type) return undefined;
  const open = advance(stream);
  const value = parseScalar(stream);
  if (!value && isMark(peek(stream, 1), ":")) {
    const message = `${quote(type.text)} has no fields: values carry a type and an id only`;
    return refuse(stream, "syntax/pattern", message, `give the id alone: ${quote(`${type.text}{"id"}`)}`);
  }
  if (!value) return unexpected(stream, `the id of a ${quote(type.text)}`);
  // The reported form `User("ann")` ends with a parenthesis.
  if (!accept(stream, isMark(open, "(") ? ")" : "}") && !expect(stream, "}", "after the id")) return undefined;
  return { kind: "typed", type, value, span: spanFrom(stream, start) };
}

function refuseStructure(stream: Stream): undefined {
  const hint = "state each entry as a fact of its own";
  if (isMark(peek(stream), "{"))
    return refuse(stream, "syntax/dictionary", "a dictionary is not a value of Polar", hint);
  return refuse(stream, "syntax/list", "a list is not a value of Polar: it is allowed only after `in`", hint);
}

/** `"[" [ term { "," term } [","] ] "]"` */
export function parseList(stream: Stream, after: string): List | undefined {
  const start = peek(stream);
  if (explainAccess(stream)) return { kind: "list", items: [], span: spanFrom(stream, start) };
  if (!accept(stream, "[")) return unexpected(stream, `a list ${quote("[…]")} ${after}`);
  const items = separated(stream, "]", "allowed", parseTerm);
  return items && { kind: "list", items, span: spanFrom(stream, start) };
}

interface Connected<E> {
  readonly kind: "and" | "or";
  readonly operands: readonly E[];
  readonly span: Span;
}

/** Parses `or` over `and` over operands. A single operand is returned as it is. `undefined` after a reported error. */
export function parseAlternatives<E>(
  stream: Stream,
  operand: (stream: Stream) => E | undefined,
): E | Connected<E | Connected<E>> | undefined {
  return parseOperands(stream, "or", (inner) => parseOperands(inner, "and", operand));
}

function parseOperands<E>(
  stream: Stream,
  operator: "and" | "or",
  operand: (stream: Stream) => E | undefined,
): E | Connected<E> | undefined {
  const start = peek(stream);
  const first = operand(stream);
  if (!first) return undefined;
  const operands = [first];
  while (acceptConnective(stream, operator)) {
    const next = operand(stream);
    if (!next) return undefined;
    operands.push(next);
  }
  return operands.length === 1 ? first : { kind: operator, operands, span: spanFrom(stream, start) };
}
