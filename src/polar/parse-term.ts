/** Parses terms, calls and heads, which rules, facts and tests consist of. */
import { expect, expectName, separated, unexpected } from "./expect.ts";
import { acceptFlagAsValue, acceptParenthesesOfValue, explainAccess, skipAccess, skipCallAsValue } from "./legacy.ts";
import { quote } from "./report.ts";
import { type Stream, accept, advance, isMark, peek, spanFrom, spanOf } from "./stream.ts";
import type { Call, Head, List, Name, Param, Scalar, Term } from "./syntax.ts";
import { reservedWords } from "./token.ts";

/** `IDENT "(" [ term { "," term } ] ")"` */
export function parseCall(
  stream: Stream,
  argument: (stream: Stream) => Term | undefined = parseTerm,
): Call | undefined {
  const start = peek(stream);
  const predicate = expectName(stream, "the name of a predicate");
  if (!predicate || !expect(stream, "(", `after ${quote(predicate.text)}`)) return undefined;
  const args = separated(stream, ")", "refused", argument);
  return args && { kind: "call", predicate, args, span: spanFrom(stream, start) };
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
  const predicate = expectName(stream, "the name of a predicate");
  if (!predicate || !expect(stream, "(", `after ${quote(predicate.text)}`)) return undefined;
  const params = separated(stream, ")", "refused", parseParam);
  return params && { predicate, params, span: spanFrom(stream, start) };
}

function parseParam(stream: Stream): Param | undefined {
  const term = parseTerm(stream);
  if (!term || !isMark(peek(stream), ":")) return term && { term, type: undefined };
  if (term.kind !== "variable") return unexpected(stream, "`,` or `)`: only a variable can be given a type");
  advance(stream);
  const type = expectName(stream, `the type of ${quote(term.name)}`);
  if (type && isMark(peek(stream), "{")) {
    stream.report.error(
      "syntax/pattern",
      spanOf(stream, peek(stream)),
      "a parameter takes a type, not a pattern of fields",
      {
        hint: `give the type alone, or the value alone: ${quote(`${type.text}{"id"}`)}`,
      },
    );
    return undefined;
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
  stream.report.error("test/variable-in-fact", term.span, `${found} in a fact: facts of a test hold values only`, {
    hint: 'write a value, such as `"text"` or `User{"alice"}`',
  });
  return undefined;
}

function isNew(stream: Stream): boolean {
  return (
    peek(stream).text === "new" && peek(stream, 1).kind === "identifier" && !reservedWords.has(peek(stream, 1).text)
  );
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
    stream.report.error(
      "syntax/pattern",
      spanOf(stream, peek(stream)),
      `${quote(type.text)} has no fields: values carry a type and an id only`,
      {
        hint: `give the id alone: ${quote(`${type.text}{"id"}`)}`,
      },
    );
    return undefined;
  }
  if (!value) return unexpected(stream, `the id of a ${quote(type.text)}`);
  // The reported form `User("ann")` ends with a parenthesis.
  if (!accept(stream, isMark(open, "(") ? ")" : "}") && !expect(stream, "}", "after the id")) return undefined;
  return { kind: "typed", type, value, span: spanFrom(stream, start) };
}

function refuseStructure(stream: Stream): undefined {
  const token = peek(stream);
  const dictionary = isMark(token, "{");
  stream.report.error(
    dictionary ? "syntax/dictionary" : "syntax/list",
    spanOf(stream, token),
    dictionary
      ? "a dictionary is not a value of Polar"
      : "a list is not a value of Polar: it is allowed only after `in`",
    { hint: "state each entry as a fact of its own" },
  );
}

/** `"[" [ term { "," term } [","] ] "]"` */
export function parseList(stream: Stream, after: string): List | undefined {
  const start = peek(stream);
  if (explainAccess(stream)) return { kind: "list", items: [], span: spanFrom(stream, start) };
  if (!accept(stream, "[")) return unexpected(stream, `a list ${quote("[…]")} ${after}`);
  const items = separated(stream, "]", "allowed", parseTerm);
  return items && { kind: "list", items, span: spanFrom(stream, start) };
}
