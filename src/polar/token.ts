/** Tokens. Keywords are identifiers: nearly all are keywords only in some positions (see `reservedWords`). */
export type TokenKind =
  /** `text` is the identifier. */
  | "identifier"
  /** `text` is the decoded value. */
  | "string"
  /** `text` is in canonical form: no `+`, no leading zeros. */
  | "integer"
  /** `1.5`, `1e9`, or an integer beyond 64 bits: already reported, kept so that the parser continues. */
  | "badNumber"
  /** `@current_unix_time` */
  | "now"
  /** `@name` before a rule. */
  | "flag"
  /** Including operators of older dialects (`==`, `.`, `+`), so that the parser can name the replacement. */
  | "punctuation"
  /** Characters without a meaning: already reported. */
  | "invalid"
  /** A string without its closing quote, up to the end of its line: already reported. */
  | "unterminated"
  | "end";

export interface Token {
  readonly kind: TokenKind;
  readonly text: string;
  readonly start: number;
  readonly end: number;
  /** First on its line. */
  readonly startsLine: boolean;
}

/** From `#` to the end of the line, without the line break. */
export interface Comment {
  readonly start: number;
  readonly end: number;
  /** Alone on its line. */
  readonly startsLine: boolean;
}

/** Words that are never names. Others, such as `actor`, `role`, `test` and `on`, may be variables and predicates. */
export const reservedWords: ReadonlySet<string> = new Set(["true", "false", "if", "and", "or", "not", "in", "matches"]);
