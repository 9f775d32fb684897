/** The list of diagnostics that every stage adds to. Reporting never throws, so that further problems are found. */
import { suggestion } from "../util/suggestion.ts";
import type { Diagnostic, Fix } from "./diagnostic.ts";
import type { Span } from "./span.ts";
import type { Name } from "./syntax.ts";

export interface Report {
  readonly diagnostics: Diagnostic[];
  readonly error: Finding;
  readonly warning: Finding;
  /** "did you mean" with the most similar known name, and the replacement by it. `write` gives a name as in the text. */
  readonly suggest: (name: Name, known: Iterable<string>, write?: (name: string) => string) => Advice | undefined;
}

/** How to fix a problem. */
export type Advice = Pick<Diagnostic, "hint" | "fixes">;

type Finding = (code: string, span: Span, message: string, more?: Advice & Pick<Diagnostic, "related">) => void;

export function createReport(): Report {
  const diagnostics: Diagnostic[] = [];
  const finding =
    (severity: Diagnostic["severity"]): Finding =>
    (code, span, message, more = {}) => {
      diagnostics.push({ code, severity, message, span, ...more });
    };
  let suggestionsLeft = suggestionsMax;
  const suggest: Report["suggest"] = ({ text, span }, known, write = (found) => found) => {
    const found = suggestionsLeft > 0 ? suggestion(text, known) : undefined;
    suggestionsLeft -= 1;
    return found ? { hint: `did you mean ${quote(found)}?`, fixes: [replacement(span, write(found))] } : undefined;
  };
  return { diagnostics, error: finding("error"), warning: finding("warning"), suggest };
}

export function replacement(span: Span, text: string): Fix {
  return { title: `replace it by ${quote(text)}`, edits: [{ span, text }] };
}

/** The search for the most similar name is slow, and nobody reads more suggestions than this. */
const suggestionsMax = 30;

const quotedLengthMax = 60;

/** User input for a message: in backticks, on one line, and cut if it is long. */
export function quote(text: string): string {
  const cut = text.length > quotedLengthMax ? `${text.slice(0, quotedLengthMax)}…` : text;
  return `\`${cut.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (found) => `\\u{${found.codePointAt(0)?.toString(16)}}`)}\``;
}
