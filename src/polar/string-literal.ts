/** The one way to write a string down, the inverse of what the lexer decodes. All other characters stand for themselves. */
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
