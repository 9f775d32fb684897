/** Writes a string literal, the inverse of the lexer's decoding. All other characters are written as they are. */
export function stringLiteral(value: string): string {
  return `"${value.replace(/["\\\n\r\t\0]/g, (found) => escapes[found] ?? found)}"`;
}

const escapes: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\0": "\\0",
};
