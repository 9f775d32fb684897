/**
 * Makes untrusted text (names, ids, file names, messages of other programs) safe to show, in a terminal and in the web
 * console. Control characters could move the cursor, hide or forge lines; invisible and bidirectional characters, and
 * spaces that are none, could make a name look like another one. Each of them is replaced by its escape sequence of JSON
 * (`\u001b`), so JSON keeps its meaning, and a string in quotes can be pasted back.
 */

/**
 * Control, format, private and unassigned characters, line and paragraph separators, lone surrogates, all that fonts may
 * show as nothing (joiners, variation selectors, tags, fillers), and all spaces but the usual one.
 */
const unprintable = /[\p{C}\p{Zl}\p{Zp}\p{DI}\u2800]|(?! )\p{Zs}/gu;
export const unprintableInLines = /(?![\n\t])[\p{C}\p{Zl}\p{Zp}\p{DI}\u2800]|(?! )\p{Zs}/gu;

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
