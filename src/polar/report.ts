/** The list of diagnostics that every stage adds to. Reporting never throws, so that further problems are found. */
import { suggestion } from "../util/suggestion.ts";
import type { Diagnostic } from "./diagnostic.ts";
import type { Span } from "./span.ts";

export interface Report {
  readonly diagnostics: Diagnostic[];
  readonly error: Finding;
  readonly warning: Finding;
  /** "did you mean" with the most similar known name. */
  readonly suggest: (name: string, known: Iterable<string>) => string | undefined;
}

type Finding = (code: string, span: Span, message: string, more?: Pick<Diagnostic, "hint" | "related">) => void;

export function createReport(): Report {
  const diagnostics: Diagnostic[] = [];
  const finding =
    (severity: Diagnostic["severity"]): Finding =>
    (code, span, message, more = {}) => {
      diagnostics.push({ code, severity, message, span, ...more });
    };
  let suggestionsLeft = suggestionsMax;
  const suggest = (name: string, known: Iterable<string>) => {
    const found = suggestionsLeft > 0 ? suggestion(name, known) : undefined;
    suggestionsLeft -= 1;
    return found && `did you mean ${quote(found)}?`;
  };
  return { diagnostics, error: finding("error"), warning: finding("warning"), suggest };
}

/** The search for the most similar name is slow, and nobody reads more suggestions than this. */
const suggestionsMax = 30;

const quotedLengthMax = 60;

/** User input for a message: in backticks, on one line, and cut if it is long. */
export function quote(text: string): string {
  const cut = text.length > quotedLengthMax ? `${text.slice(0, quotedLengthMax)}…` : text;
  return `\`${cut.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (found) => `\\u{${found.codePointAt(0)?.toString(16)}}`)}\``;
}
