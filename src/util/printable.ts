/**
 * Makes untrusted text (names, ids, file names, messages of other programs) safe for a terminal. Control characters
 * could move the cursor, hide or forge lines; invisible and bidirectional characters could make a name look like
 * another one. Each of them is replaced by its escape sequence of JSON (`\u001b`), so JSON keeps its meaning.
 */

/** Control and format characters, line and paragraph separators, and lone surrogates. */
const unprintable = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
const unprintableInLines = /[^\P{Cc}\n\t]|[\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** Escapes text for one line: line breaks and tabs too. */
export function printable(text: string): string {
  return text.replace(unprintable, escapeCharacter);
}

/** Escapes text of several lines: line breaks and tabs stay. */
export function printableLines(text: string): string {
  return text.replace(unprintableInLines, escapeCharacter);
}

function escapeCharacter(character: string): string {
  return character
    .split("")
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
    .join("");
}
