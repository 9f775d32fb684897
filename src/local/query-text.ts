/**
 * Checks the text of a bound query, which becomes a part of a larger statement: it must be one query that begins with
 * `SELECT`, `WITH` or `VALUES` and closes all its quotes, comments and parentheses. The application wrote it and runs
 * it in its own database, so the check finds mistakes; it is no protection against the application.
 */
import type { DialectName } from "./dialect-names.ts";

/** The query without the semicolon at its end, or what is wrong with it: a text that continues "`query` …". */
export function checkQuery(
  text: string,
  dialect: DialectName,
): { readonly query: string } | { readonly problem: string } {
  const query = text.trim().replace(/[;\s]+$/, "");
  if (query === "") return { problem: "is empty: write a SELECT" };
  if (!/^(?:select|with|values)\b/i.test(query.replace(/^[\s(]+/, "")))
    return { problem: "must begin with SELECT, WITH or VALUES" };
  if (query.includes("\0")) return { problem: "contains the character U+0000" };
  let depth = 0;
  for (let at = 0; at < query.length;) {
    const part = nextPart(query, at, dialect);
    if (part.kind === "unclosed") return { problem: `opens ${part.name} that it does not close` };
    if (part.kind === "open") depth += 1;
    if (part.kind === "close") depth -= 1;
    if (depth < 0) return { problem: "closes a parenthesis that it does not open" };
    if (part.kind === "semicolon") return { problem: "has more than one statement: remove the `;`" };
    at = part.end;
  }
  return depth === 0 ? { query } : { problem: "opens a parenthesis that it does not close" };
}

export type Part =
  | { readonly kind: "open" | "close" | "semicolon" | "other"; readonly end: number }
  | { readonly kind: "unclosed"; readonly name: string };

/** A quote or a comment as a whole, or one character. `at` must not be inside of a quote or a comment. */
export function nextPart(text: string, at: number, dialect: DialectName): Part {
  const rest = text.slice(at, at + 2);
  if (rest === "--" || (dialect === "mysql" && rest.startsWith("#"))) {
    const end = text.indexOf("\n", at);
    return { kind: "other", end: end < 0 ? text.length : end };
  }
  if (rest === "/*") return until(commentEnd(text, at, dialect), "a comment");
  const [first = ""] = rest;
  switch (first) {
    case "'":
      return until(quoteEnd(text, at, first, hasEscapes(text, at, dialect)), "a quote");
    case '"':
    case "`":
      return until(quoteEnd(text, at, first, dialect === "mysql" && first === '"'), "a quote");
    case "$": {
      const [tag] = dialect === "postgres" ? (/^\$(?:[A-Za-z_]\w*)?\$/.exec(text.slice(at, at + 66)) ?? []) : [];
      if (tag === undefined) return { kind: "other", end: at + 1 };
      const end = text.indexOf(tag, at + tag.length);
      return until(end < 0 ? undefined : end + tag.length, "a quote");
    }
    case "(":
      return { kind: "open", end: at + 1 };
    case ")":
      return { kind: "close", end: at + 1 };
    case ";":
      return { kind: "semicolon", end: at + 1 };
    default:
      return { kind: "other", end: at + 1 };
  }
}

function until(end: number | undefined, name: string): Part {
  return end === undefined ? { kind: "unclosed", name } : { kind: "other", end };
}

/** PostgreSQL's comments nest. */
function commentEnd(text: string, at: number, dialect: DialectName): number | undefined {
  let depth = 0;
  for (const { 0: mark, index } of text.slice(at).matchAll(/\/\*|\*\//g)) {
    if (mark === "*/") depth -= 1;
    else if (depth === 0 || dialect === "postgres") depth += 1;
    if (depth === 0) return at + index + 2;
  }
  return undefined;
}

/** Whether a backslash escapes inside the quote: always in MySQL, and in PostgreSQL's `E'…'`. */
function hasEscapes(text: string, at: number, dialect: DialectName): boolean {
  if (dialect === "mysql") return true;
  return dialect === "postgres" && /(?:^|\W)[eE]$/.test(text.slice(Math.max(0, at - 2), at));
}

function quoteEnd(text: string, at: number, quote: string, escapes: boolean): number | undefined {
  for (let next = at + 1; next < text.length; next += 1) {
    if (escapes && text[next] === "\\") next += 1;
    else if (text[next] === quote) {
      if (text[next + 1] !== quote) return next + 1;
      next += 1;
    }
  }
  return undefined;
}
