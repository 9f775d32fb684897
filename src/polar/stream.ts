/**
 * The parser's view of the tokens. A parse function gives `undefined` when it could not go on; it has reported by then, and its callers
 * hand the `undefined` up to the statement, which recovers (`recovery.ts`).
 */
import type { Report } from "./report.ts";
import type { Span } from "./span.ts";
import type { Token } from "./token.ts";
import { must } from "../util/assert.ts";

export interface Stream {
  readonly file: string;
  readonly tokens: readonly Token[];
  readonly report: Report;
  readonly depthMax: number;
  index: number;
  depth: number;
  /** Token at which a missing `}` was reported last: one message, however many blocks are open there. */
  unclosedAt: number;
  /** Token behind the call that was reported last to stand where a value must. */
  calledAt: number;
}

export function peek(stream: Stream, ahead = 0): Token {
  const { tokens, index } = stream;
  return must(tokens[Math.max(0, Math.min(index + ahead, tokens.length - 1))]);
}

/** The present token, stepping over it; the end is never stepped over. */
export function advance(stream: Stream): Token {
  const token = peek(stream);
  if (token.kind !== "end") stream.index += 1;
  return token;
}

export function isMark(token: Token, text: string): boolean {
  return token.kind === "punctuation" && token.text === text;
}

export function isWord(token: Token, text: string): boolean {
  return token.kind === "identifier" && token.text === text;
}

export function accept(stream: Stream, mark: string): boolean {
  if (!isMark(peek(stream), mark)) return false;
  stream.index += 1;
  return true;
}

export function acceptWord(stream: Stream, word: string): boolean {
  if (!isWord(peek(stream), word)) return false;
  stream.index += 1;
  return true;
}

/** Runs `parse` one level deeper, if the policy may nest that deep. */
export function nested<T>(stream: Stream, parse: (stream: Stream) => T | undefined): T | undefined {
  if (stream.depth >= stream.depthMax) {
    const message = `expression is nested more than ${stream.depthMax} levels deep`;
    stream.report.error("syntax/too-deep", spanOf(stream, peek(stream)), message, {
      hint: "give the inner part a rule of its own",
    });
    return undefined;
  }
  stream.depth += 1;
  const result = parse(stream);
  stream.depth -= 1;
  return result;
}

export function spanOf(stream: Stream, token: Token): Span {
  return { file: stream.file, start: token.start, end: token.end };
}

/** From `start` to the end of the last token taken. */
export function spanFrom(stream: Stream, start: Token): Span {
  return { file: stream.file, start: start.start, end: Math.max(start.end, peek(stream, -1).end) };
}
