/** Parse helpers that require the next token and report an error if it is a different one. */
import { explainLegacy } from "./legacy.ts";
import { beginsNext } from "./recovery.ts";
import { quote } from "./report.ts";
import { type Stream, accept, advance, isMark, peek, spanOf } from "./stream.ts";
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
  if (reservedWords.has(token.text)) {
    stream.report.error(
      "syntax/reserved-word",
      spanOf(stream, token),
      `${quote(token.text)} is a reserved word, not ${what}`,
    );
    return undefined;
  }
  advance(stream);
  return { text: token.text, span: spanOf(stream, token) };
}

/**
 * Takes the `;` of a statement. If the next line begins a new statement, the missing `;` is reported and nothing is
 * skipped.
 */
export function expectSemicolon(stream: Stream, after: string): true | undefined {
  if (accept(stream, ";")) return true;
  const token = peek(stream);
  const next =
    (token.startsLine && (token.kind === "string" || token.kind === "flag" || isFreeWord(token))) || beginsNext(stream);
  if (!next && token.kind !== "end" && !isMark(token, "}")) return unexpected(stream, `\`;\` ${after}`);
  const end = peek(stream, -1).end;
  stream.report.error("syntax/missing-semicolon", { file: stream.file, start: end, end }, `missing \`;\` ${after}`);
  return true;
}

function isFreeWord(token: Token): boolean {
  return token.kind === "identifier" && !reservedWords.has(token.text) && token.text !== "on" && token.text !== "iff";
}

/**
 * Reports the current token. The lexer may have reported it already, and `legacy.ts` has better messages for older
 * dialects.
 */
export function unexpected(stream: Stream, expected: string): undefined {
  const token = peek(stream);
  if (token.kind === "invalid" || token.kind === "unterminated" || token.kind === "badNumber") return;
  if (token.kind === "end") {
    const { end } = peek(stream, -1);
    stream.report.error(
      "syntax/unexpected-end",
      { file: stream.file, start: end, end },
      `the file ends where ${expected} is expected`,
    );
  } else if (!explainLegacy(stream)) {
    const found = quote(sourceText(token));
    stream.report.error("syntax/unexpected-token", spanOf(stream, token), `unexpected ${found}, expected ${expected}`);
  }
}

function sourceText(token: Token): string {
  return token.kind === "string" ? JSON.stringify(token.text) : token.text;
}

/**
 * Takes items separated by commas, and `close` after them. `trailingComma` says whether the grammar allows a comma
 * before `close`.
 */
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
    if (trailingComma === "refused") {
      stream.report.error(
        "syntax/trailing-comma",
        spanOf(stream, comma),
        `a comma is not allowed before ${quote(close)} here`,
        {
          hint: "remove the comma",
        },
      );
    }
    return items;
  }
}
