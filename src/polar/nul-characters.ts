/**
 * The check that a policy has no character U+0000. One of the drivers of SQLite reads a text only up to this character:
 * the rest of the policy would be lost, and a string could become another one. This is no check of the compiler, since
 * stores of release 0.1.0 may have such a policy, and it must stay active.
 */
import type { Diagnostic } from "./diagnostic.ts";
import { tokenize } from "./lexer.ts";
import { createReport } from "./report.ts";
import type { Source } from "./source.ts";

/** One error for each string with the character, and one for the first occurrence in the text of a source. */
export function nulCharacters(sources: readonly Source[]): readonly Diagnostic[] {
  const { error, diagnostics } = createReport();
  for (const source of sources) {
    const { name: file, text } = source;
    const at = text.indexOf("\0");
    if (at >= 0)
      error("syntax/invalid-character", { file, start: at, end: at + 1 }, "the policy has a character U+0000");
    if (!text.includes("\\0")) continue;
    for (const { kind, text: value, start, end } of tokenize(source, createReport()).tokens) {
      if (kind === "string" && value.includes("\0"))
        error("syntax/invalid-character", { file, start, end }, "a string can't contain the character U+0000", {
          hint: "write another character than `\\0`",
        });
    }
  }
  return diagnostics;
}
