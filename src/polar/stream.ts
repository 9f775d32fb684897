/**
 * The parser's tokens. A parse function that fails reports the error and returns `undefined`; so do its callers, up to
 * the statement, which recovers (`recovery.ts`).
 */
import type { Advice, Report } from "./report.ts";
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
  /** Index of the token at which a missing `}` was last reported, so that several open blocks give one message. */
  unclosedAt: number;
  /** Index of the token after the call that was last reported instead of a value. */
  calledAt: number;
}

export function peek(stream: Stream, ahead = 0): Token {
  const { tokens, index } = stream;
  return must(tokens[Math.max(0, Math.min(index + ahead, tokens.length - 1))]);
}

/** Takes the current token and returns it. The end token is never taken. */
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

/** Reports an error at the current token, or at the range `at`. */
export function refuse(
  stream: Stream,
  code: string,
  message: string,
  advice: string | Advice = {},
  at: Omit<Span, "file"> = peek(stream),
): undefined {
  const span = { file: stream.file, start: at.start, end: at.end };
  stream.report.error(code, span, message, typeof advice === "string" ? { hint: advice } : advice);
}

/** Reports a warning at the range `at`. */
export function warn(stream: Stream, code: string, message: string, advice: Advice, at: Omit<Span, "file">): void {
  stream.report.warning(code, { file: stream.file, start: at.start, end: at.end }, message, advice);
}

/** Runs `parse` one nesting level deeper, or reports that the limit is reached. */
export function nested<T>(stream: Stream, parse: (stream: Stream) => T | undefined): T | undefined {
  if (stream.depth >= stream.depthMax) {
    const message = `expression is nested more than ${stream.depthMax} levels deep`;
    return refuse(stream, "syntax/too-deep", message, "give the inner part a rule of its own");
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
