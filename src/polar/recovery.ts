/**
 * Recovery after a syntax error. No statement contains a `;`, so the next `;` ends the broken one. So does the `}` of
 * the enclosing block, and a line that clearly begins a new top-level statement.
 */
import { type Stream, accept, advance, isMark, isWord, peek, refuse } from "./stream.ts";
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

/** Skips a block with a broken beginning: to its closing brace, or to the end of the statement if it has no braces. */
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

/** Whether a line starts here that can only be a block, a test or a declaration. */
function startsTopLevel(stream: Stream): boolean {
  return peek(stream).startsLine && beginsTopLevel(stream);
}

/** Whether a block, a test or a declaration begins here, also in the middle of a line. */
function beginsTopLevel(stream: Stream): boolean {
  const token = peek(stream);
  if (token.kind !== "identifier") return false;
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

/** Whether the tokens here cannot continue the statement before, so that a `;` is missing. */
export function beginsNext(stream: Stream): boolean {
  const [token, next] = [peek(stream), peek(stream, 1)];
  if (token.kind === "string") return isWord(next, "if");
  if (token.kind === "flag") return beginsFlaggedRule(stream);
  if (isAssertion(stream)) return true;
  return beginsTopLevel(stream) || (token.kind === "identifier" && isMark(next, "=") && sections.has(token.text));
}

function beginsFlaggedRule(stream: Stream): boolean {
  let ahead = 0;
  while (peek(stream, ahead).kind === "flag") ahead += 1;
  const [head, next] = [peek(stream, ahead), peek(stream, ahead + 1)];
  return isWord(next, "if") || (head.kind === "identifier" && isMark(next, "("));
}

const sections: ReadonlySet<string> = new Set(["roles", "permissions", "relations"]);

/** `assert allow(…)`, as opposed to a fact whose predicate is called `assert`. */
export function isAssertion(stream: Stream): boolean {
  const [token, next] = [peek(stream), peek(stream, 1)];
  return (isWord(token, "assert") || isWord(token, "assert_not")) && (next.kind === "identifier" || isMark(next, "!"));
}

/**
 * Parses items between `{` and `}`; the caller has taken `open`, the `{`. It skips an `item` that fails, and reports a
 * missing `}` once, at the innermost `{`, at the end of the text, a new block, or tokens for which `isOutside` is true.
 */
export function parseBraces(
  stream: Stream,
  open: Token,
  item: (stream: Stream) => true | undefined,
  isOutside: (stream: Stream) => boolean = () => false,
): void {
  for (;;) {
    const token = peek(stream);
    if (isMark(token, "}")) return void advance(stream);
    if (token.kind === "end" || startsTopLevel(stream) || isOutside(stream)) {
      if (stream.unclosedAt === stream.index) return;
      stream.unclosedAt = stream.index;
      return refuse(stream, "syntax/missing-brace", "this `{` is never closed", "add a `}`", open);
    }
    if (accept(stream, ";")) continue;
    const start = stream.index;
    if (item(stream) === undefined) skipStatement(stream, start);
    if (stream.index === start) advance(stream);
  }
}
