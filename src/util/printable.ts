/**
 * Text from elsewhere (names, ids, file names, messages of other programs) as a terminal may show it. A control character in it could move the
 * cursor, hide or repaint lines, or forge one; an invisible or a bidirectional one could show another name than it is. Each is written as its escape
 * sequence of JSON (`\u001b`), so that JSON that passes through here means the same as before.
 */

/** Control and format characters, line and paragraph separators, and halves of characters. */
const unprintable = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
const unprintableInLines = /[^\P{Cc}\n\t]|[\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** On one line: line breaks and tabs are escaped as well. */
export function printable(text: string): string {
  return text.replace(unprintable, escaped);
}

/** The same for text that consists of lines: line breaks and tabs stay. */
export function printableLines(text: string): string {
  return text.replace(unprintableInLines, escaped);
}

function escaped(character: string): string {
  return character
    .split("")
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
    .join("");
}
