/** Parse helpers that require the next token and report an error if it is a different one. */
import { insertion } from "./fixes.ts";
import { explainLegacy } from "./legacy.ts";
import { beginsNext } from "./recovery.ts";
import { quote } from "./report.ts";
import type { Span } from "./span.ts";
import { type Stream, accept, advance, isMark, isWord, peek, refuse, spanOf, warn } from "./stream.ts";
import type { Name } from "./syntax.ts";
import { type Token, reservedWords } from "./token.ts";

export function expect(stream: Stream, mark: string, after: string): boolean {
  if (accept(stream, mark)) return true;
  unexpected(stream, `${quote(mark)} ${after}`);
  return false;
}

/** Takes an identifier that is not reserved. `what` describes it in the error message. */
export function expectName(stream: Stream, what: string): Name | undefined {
  const token = peek(stream);
  if (token.kind !== "identifier") return unexpected(stream, what);
  if (reservedWords.has(token.text))
    return refuse(stream, "syntax/reserved-word", `${quote(token.text)} is a reserved word, not ${what}`);
  advance(stream);
  return { text: token.text, span: spanOf(stream, token) };
}

/**
 * Whether a statement is complete without its `;`, given the two tokens after it. Pages of Oso's documentation leave out
 * the last `;` before a `}`, and that of a list of names, a fact or a rule of a block at the end of its line. A rule needs
 * its `;` at the end of a line if a condition on the next one may lack its `and`.
 */
export type Completes = (next: Token, following: Token) => boolean;

export const never: Completes = () => false;
export const beforeBrace: Completes = (next) => isMark(next, "}");
export const beforeLine: Completes = (next) => next.startsLine || next.kind === "end";
export const beforeBraceOrLine: Completes = (next) => isMark(next, "}") || next.startsLine;
/** No condition has a flag, or a word or a string before `if` or `=`: it is the next rule, or the next names. */
export const beforeBraceOrItem: Completes = (next, following) =>
  isMark(next, "}") || (next.startsLine && (next.kind === "flag" || isWord(following, "if") || isMark(following, "=")));

/**
 * Takes the `;` of a statement. If another statement or the end follows, it reports the missing `;`, as a warning if the
 * token there `completes` the statement, and skips nothing.
 */
export function expectSemicolon(stream: Stream, after: string, completes: Completes): true | undefined {
  if (accept(stream, ";")) return true;
  const token = peek(stream);
  const message = `missing \`;\` ${after}`;
  const at = lastEnd(stream);
  const fixes = [insertion(stream.file, at.end, ";", "insert the `;`")];
  if (completes(token, peek(stream, 1)) && mayFollowStatement(token)) {
    warn(stream, "syntax/omitted-semicolon", message, { hint: "`ostiary fmt` adds it", fixes }, at);
    return true;
  }
  const next =
    (token.startsLine && (token.kind === "string" || token.kind === "flag" || isFreeWord(token))) || beginsNext(stream);
  if (!next && token.kind !== "end" && !isMark(token, "}")) return unexpected(stream, `\`;\` ${after}`);
  refuse(stream, "syntax/missing-semicolon", message, { fixes }, at);
  return true;
}

function mayFollowStatement(token: Token): boolean {
  if (token.kind === "identifier") return !reservedWords.has(token.text);
  return ["string", "flag", "end"].includes(token.kind) || isMark(token, "}") || isMark(token, "?=");
}

function isFreeWord(token: Token): boolean {
  return token.kind === "identifier" && !reservedWords.has(token.text) && token.text !== "on" && token.text !== "iff";
}

/** Reports the current token, unless the lexer did. `legacy.ts` has better messages for older dialects. */
export function unexpected(stream: Stream, expected: string): undefined {
  const token = peek(stream);
  if (token.kind === "invalid" || token.kind === "unterminated" || token.kind === "badNumber") return;
  if (token.kind === "end") {
    const message = `the file ends where ${expected} is expected`;
    refuse(stream, "syntax/unexpected-end", message, undefined, lastEnd(stream));
  } else if (!explainLegacy(stream)) {
    const found = token.kind === "string" ? JSON.stringify(token.text) : token.text;
    refuse(stream, "syntax/unexpected-token", `unexpected ${quote(found)}, expected ${expected}`);
  }
}

/** The position after the last token taken. */
function lastEnd(stream: Stream): Omit<Span, "file"> {
  const { end } = peek(stream, -1);
  return { start: end, end };
}

/** Takes items separated by commas, and `close`. `trailingComma`: whether the grammar allows one before `close`. */
export function separated<T>(
  stream: Stream,
  close: string,
  trailingComma: "allowed" | "refused",
  item: (stream: Stream) => T | undefined,
): T[] | undefined {
  const items: T[] = [];
  if (accept(stream, close)) return items;
  for (;;) {
    const parsed = item(stream);
    if (parsed === undefined) return undefined;
    items.push(parsed);
    if (accept(stream, close)) return items;
    const comma = peek(stream);
    if (!accept(stream, ",")) return unexpected(stream, `\`,\` or ${quote(close)}`);
    if (!accept(stream, close)) continue;
    const message = `a comma is not allowed before ${quote(close)} here`;
    if (trailingComma === "refused") {
      const fixes = [{ title: "remove the comma", edits: [{ span: spanOf(stream, comma), text: "" }] }];
      refuse(stream, "syntax/trailing-comma", message, { hint: "remove the comma", fixes }, comma);
    }
    return items;
  }
}
