/**
 * Going on after a syntax error. No statement holds a `;` inside, so the next `;` ends the broken one; so does the `}` that closes what
 * the statement stands in, and a line that plainly begins a new top-level statement.
 */
import { quote } from "./report.ts";
import { type Stream, advance, isMark, isWord, peek, spanOf } from "./stream.ts";
import type { Token } from "./token.ts";

/** Skips the rest of the statement that began at token `start`. */
export function skipStatement(stream: Stream, start: number): void {
  const failedAt = stream.index;
  let open = 0;
  for (stream.index = start; ; advance(stream)) {
    const token = peek(stream);
    if (token.kind === "end") return;
    const past = stream.index >= failedAt;
    if (past && stream.index > start && startsTopLevel(stream)) return;
    if (past && (isMark(token, ";") || token.kind === "unterminated")) return void advance(stream);
    if (isMark(token, "{")) open += 1;
    if (isMark(token, "}") && --open < 0) return;
  }
}

/** Skips a block whose beginning made no sense: to the end of its braces, or of the statement if there are none. */
export function skipBlock(stream: Stream, start: number): void {
  stream.index = start;
  let open = 0;
  for (advance(stream); ; advance(stream)) {
    const token = peek(stream);
    if (token.kind === "end" || startsTopLevel(stream)) return;
    if (isMark(token, "{")) open += 1;
    if (isMark(token, "}")) open -= 1;
    if (open <= 0 && (isMark(token, ";") || isMark(token, "}"))) return void advance(stream);
  }
}

/** A line that begins a block, a test or a declaration, and can be nothing else. */
function startsTopLevel(stream: Stream): boolean {
  const token = peek(stream);
  if (token.kind !== "identifier" || !token.startsLine) return false;
  const next = peek(stream, 1);
  const third = peek(stream, 2);
  switch (token.text) {
    case "actor":
    case "resource":
      return next.kind === "identifier" && (isMark(third, "{") || isWord(third, "extends"));
    case "global":
      return isMark(next, "{");
    case "test":
      return (next.kind === "string" || isWord(next, "fixture")) && !isMark(third, ";");
    case "declare":
      return next.kind === "identifier" && isMark(third, "(");
    default:
      return false;
  }
}

/**
 * Parses what stands between `{` and `}`, `open` being the `{` just taken. An `item` that fails is skipped; `onFailure` hears of it. A
 * missing `}` is reported once, at the `{` that is innermost.
 */
export function parseBraces(stream: Stream, open: Token, item: (stream: Stream) => true | undefined): void {
  for (;;) {
    const token = peek(stream);
    if (isMark(token, "}")) return void advance(stream);
    if (token.kind === "end" || startsTopLevel(stream)) {
      if (stream.unclosedAt === stream.index) return;
      stream.unclosedAt = stream.index;
      stream.report.error("syntax/missing-brace", spanOf(stream, open), `this ${quote("{")} is never closed`, {
        hint: "add a `}`",
      });
      return;
    }
    const start = stream.index;
    if (item(stream) === undefined) skipStatement(stream, start);
    if (stream.index === start) advance(stream);
  }
}
