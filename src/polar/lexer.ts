/**
 * The lexer. It produces all tokens at once: policies are small, and the parser's recovery looks ahead and back. It
 * reports a bad character or number once and makes a token of it that the parser skips silently.
 */
import { type Report, quote } from "./report.ts";
import type { Source } from "./source.ts";
import type { Comment, Token, TokenKind } from "./token.ts";

/** Comments are separate because they may occur between any two tokens and only the formatter uses them. */
export function tokenize(source: Source, report: Report): Pick<Lexer, "tokens" | "comments"> {
  const { name: file, text } = source;
  const lexer: Lexer = { file, text, at: 0, startsLine: true, quotesReported: false, tokens: [], comments: [], report };
  if (reportForeignSchema(source, report)) lexer.at = text.length;
  for (;;) {
    skipBlank(lexer);
    if (lexer.at >= lexer.text.length) break;
    readToken(lexer);
  }
  push(lexer, "end", "", lexer.at);
  return { tokens: lexer.tokens, comments: lexer.comments };
}

interface Lexer {
  readonly file: string;
  readonly text: string;
  at: number;
  startsLine: boolean;
  /** Whether the message about double quotes was reported. */
  quotesReported: boolean;
  readonly tokens: Token[];
  readonly comments: Comment[];
  readonly report: Report;
}

// A letter is any character except ASCII punctuation, digits and white space. Control, format and surrogate characters
// are not letters, because names that look alike are dangerous in an authorization policy. Quotation marks of other
// languages are not letters either. The classes name what they exclude, because the first use of a set difference takes
// 60 ms of a processor in each thread.
const noLetters = String.raw`\s\p{Cc}\p{Cf}\p{Cs}\p{Pi}\p{Pf}„‚＂＇〝〞〟@\[-\^\x60\{-\x7f`;
const segment = String.raw`[^\0-\x3f${noLetters}][^\0-\/:-\x3f${noLetters}]*`;
const identifier = new RegExp(`${segment}(?:::${segment})*\\??`, "uy");
const flag = new RegExp(`@(${segment})`, "uy");
const number = /[+-]?\d+(\.\d+)?([eE][+-]?\d+)?/y;
const blank = /\s+|#[^\n\r]*/y;
const lineEnd = /\r\n?|\n/y;
const punctuation = /matches!(?!=)|::|!=|<=|>=|\?=|==|:=|:-|&&|\|\||[{}[\](),;:=<>.+\-*/!|&%^]/y;
/** A string in single quotes, backquotes, or the quotation marks of word processors and other languages. */
const foreignString =
  /'([^'"\n\r]*)'|'([^'’"\n\r]*)’|`([^`"\n\r]*)`|[“”„‟«»＂〝〞〟]([^"“”„‟«»＂〝〞〟\n\r]*)["“”‟«»＂〝〞〟]|[‘’‚‛‹›＇]([^'‘’‚‛‹›＇\n\r]*)['‘’‛‹›＇]/y;
const loneSurrogate = /\p{Cs}/u;

function readToken(lexer: Lexer): void {
  const { text, at } = lexer;
  if (text[at] === '"') return readString(lexer);
  if (text.startsWith("//", at) || text.startsWith("/*", at)) return skipForeignComment(lexer);
  const numeral = match(number, text, at);
  if (numeral) return readNumber(lexer, numeral);
  const mark = match(punctuation, text, at);
  if (mark?.[0] === "::") return readInvalid(lexer, 2, "`::` must be between two names");
  if (mark) return push(lexer, "punctuation", mark[0], at + mark[0].length);
  const word = match(identifier, text, at);
  if (word) return push(lexer, "identifier", word[0], at + word[0].length);
  const mention = match(flag, text, at);
  if (mention?.[1] === "current_unix_time") return push(lexer, "now", mention[0], at + mention[0].length);
  if (mention) return push(lexer, "flag", mention[0], at + mention[0].length);
  const foreign = match(foreignString, text, at);
  if (foreign) return readForeignString(lexer, foreign);
  readInvalid(lexer, unknownLength(text, at));
}

/** Reported once, because the other strings of the text usually have the same quotes. */
function readForeignString(lexer: Lexer, [found, ...texts]: RegExpExecArray): void {
  const end = lexer.at + found.length;
  const message = `${quote(found)} is not a string: strings are written in double quotes`;
  const hint = 'write `"text"`, here and in all other places with such quotes';
  if (!lexer.quotesReported) refuse(lexer, "syntax/quotes", end, message, hint);
  lexer.quotesReported = true;
  push(lexer, "string", texts.find((text) => text !== undefined) ?? "", end);
}

/** Reports `//` and `/*` and skips them like a comment, so that the rest of the text is checked too. */
function skipForeignComment(lexer: Lexer): void {
  const { text, at } = lexer;
  const mark = text.slice(at, at + 2);
  const hint = "a comment goes from `#` to the end of its line";
  refuse(lexer, "syntax/comment", at + 2, `${quote(mark)} does not begin a comment`, hint);
  const close = mark === "/*" ? text.indexOf("*/", at + 2) + 2 : text.slice(at).search(/[\n\r]/) + at;
  lexer.at = close < at + 2 ? text.length : close;
  if (/[\n\r]/.test(text.slice(at, lexer.at))) lexer.startsLine = true;
}

/** How many characters from `at` on cannot begin a token. They are reported together. */
function unknownLength(text: string, at: number): number {
  let end = at;
  for (const character of text.slice(at, at + 200)) {
    const known =
      character === '"' ||
      /\s/.test(character) ||
      [number, punctuation, identifier, flag, blank].some((kind) => match(kind, text, end) !== null);
    if (known && end > at) break;
    end += character.length;
  }
  return end - at;
}

function readInvalid(lexer: Lexer, length: number, message?: string): void {
  const { text, at } = lexer;
  const found = text.slice(at, at + length);
  const isQuote = /^['“”„‟«»＂〝〞〟‘’‚‛‹›＇]/.test(found);
  const hint = isQuote ? 'strings are written in double quotes: `"text"`' : undefined;
  refuse(lexer, "syntax/invalid-character", at + length, message ?? `${quote(found)} has no meaning in Polar`, hint);
  push(lexer, "invalid", found, at + length);
}

function readNumber(lexer: Lexer, numeral: RegExpExecArray): void {
  const [found, fraction, exponent] = numeral;
  const end = lexer.at + found.length;
  if (fraction !== undefined || exponent !== undefined) {
    const hint = "the number type of Polar is `Integer`: scale the value, for example to cents";
    refuse(lexer, "syntax/float", end, `${quote(found)} is not a whole number`, hint);
    return push(lexer, "badNumber", found, end);
  }
  // More than 20 digits never fit into 64 bits, and parsing a megabyte of digits with `BigInt` would take long.
  const digits = found.replace(/^[+-]?0*(?=\d)/, "");
  const value = digits.length <= 20 ? BigInt(found.startsWith("-") ? `-${digits}` : digits) : undefined;
  if (value === undefined || value !== BigInt.asIntN(64, value)) {
    const hint = "integers go from -9223372036854775808 to 9223372036854775807";
    refuse(lexer, "syntax/integer-overflow", end, `${quote(found)} does not fit into 64 bits`, hint);
    return push(lexer, "badNumber", found, end);
  }
  push(lexer, "integer", value.toString(), end);
}

const escapes: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", "0": "\0" };

function readString(lexer: Lexer): void {
  const { text } = lexer;
  let value = "";
  let at = lexer.at + 1;
  for (;;) {
    const next = text[at];
    if (next === undefined || next === "\n" || next === "\r") {
      const hint = /^[^“„‟〝]*[”＂〞〟]/.test(value)
        ? 'close it with `"`, not with a typographic quote'
        : 'close it with `"` on the same line; a line break inside is written `\\n`';
      refuse(lexer, "syntax/unterminated-string", at, "string without closing quote", hint);
      return push(lexer, "unterminated", value, at);
    }
    if (next === '"') break;
    const continued = next === "\\" ? match(lineEnd, text, at + 1) : null;
    if (continued) {
      value += "\n";
      at += 1 + continued[0].length;
    } else if (next === "\\" && at + 1 < text.length) {
      const escaped = String.fromCodePoint(text.codePointAt(at + 1) ?? 0);
      value += escapes[escaped] ?? escaped;
      at += 1 + escaped.length;
    } else {
      value += next;
      at += 1;
    }
  }
  if (loneSurrogate.test(value)) {
    refuse(lexer, "syntax/invalid-character", at + 1, "string holds half of a surrogate pair");
    return push(lexer, "invalid", value, at + 1);
  }
  push(lexer, "string", value, at + 1);
}

function skipBlank(lexer: Lexer): void {
  for (let found = match(blank, lexer.text, lexer.at); found; found = match(blank, lexer.text, lexer.at)) {
    const [blanks] = found;
    const start = lexer.at;
    lexer.at += blanks.length;
    if (blanks.startsWith("#")) lexer.comments.push({ start, end: lexer.at, startsLine: lexer.startsLine });
    else if (/[\n\r]/.test(blanks)) lexer.startsLine = true;
  }
}

function push(lexer: Lexer, kind: TokenKind, text: string, end: number): void {
  lexer.tokens.push({ kind, text, start: lexer.at, end, startsLine: lexer.startsLine });
  lexer.at = end;
  lexer.startsLine = false;
}

/** Reports an error from the current position to `end`. */
function refuse({ report, file, at }: Lexer, code: string, end: number, message: string, hint?: string): void {
  report.error(code, { file, start: at, end }, message, hint === undefined ? {} : { hint });
}

function match(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

/** No policy in Polar can begin like one of these. */
const schemas: readonly { readonly what: string; readonly begin: RegExp; readonly hint: string }[] = [
  {
    what: "a schema of SpiceDB",
    begin: /(definition)\s+[\w/]+\s*\{|(caveat)\s+[\w/]+\s*\(|(use)\s+\w+\s+(?:definition|caveat|use)\b/y,
    hint: '`definition doc { relation viewer: user  permission view = viewer }` is `resource Doc { roles = ["viewer"]; permissions = ["view"]; "view" if "viewer"; }` in Polar, and `user` is `actor User {}`',
  },
  {
    what: "a schema of OpenFGA",
    begin:
      /(model)\s+schema\s+\d|(module)\s+[\w-]+\s+(?:extend\s+)?type\b|(extend)\s+type\b|(type)\s+[\w-]+\s+(?:relations|type)\b/y,
    hint: '`type doc  relations  define viewer: [user]` is `resource Doc { roles = ["viewer"]; }` in Polar, `define can_view: viewer` is `permissions = ["can_view"]; "can_view" if "viewer";`, and `type user` is `actor User {}`',
  },
  {
    what: "a policy of Cedar",
    begin:
      /(?:@\w+\("[^"\n]*"\)\s*)*(permit|forbid)\s*\(\s*principal(?:\s*,\s*action(?:\s*,\s*resource)?)?\s*(?:==|(?:in|is)\b|\)\s*(?:when|unless)\b)/y,
    hint: '`permit(principal, action == Action::"view", resource) when { … }` is `has_permission(user: User, "view", doc: Doc) if …;` in Polar, with `actor User {}` and `resource Doc { permissions = ["view"]; }`, and `forbid` is a `not` in the rules that allow',
  },
];

const foreignBlank = /\s+|\/\/[^\n]*|#[^\n]*|\/\*[^]*?\*\//y;

/** Reports another engine's schema or policy once, with how to write it in Polar, instead of each of its lines. */
function reportForeignSchema({ name: file, text }: Source, report: Report): boolean {
  let begin = 0;
  for (let found = match(foreignBlank, text, 0); found; found = match(foreignBlank, text, begin))
    begin += found[0].length;
  for (const schema of schemas) {
    const [, ...groups] = match(schema.begin, text, begin) ?? [];
    const word = groups.find((group) => group !== undefined);
    if (word === undefined) continue;
    const start = text.indexOf(word, begin);
    const message = `this is ${schema.what}, not a policy in Polar`;
    report.error("syntax/foreign-schema", { file, start, end: start + word.length }, message, { hint: schema.hint });
    return true;
  }
  return false;
}
