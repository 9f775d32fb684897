/**
 * The position of the first error in a text that is not JSON. `JSON.parse` is fast, but its errors name no position
 * on some runtimes, so a text that it refused is scanned again by this checker for RFC 8259, which stores only the open
 * brackets. It uses a list instead of recursion, unlike libraries such as jsonc-parser, because a million `[` must not
 * overflow the stack.
 */

/** Returns the line and the column (from 1) of the first wrong character, and the expected text. */
export function describeJsonError(text: string): string {
  const { problem = "it is nested too deeply", at } = firstError(text);
  let [line, start] = [1, 0];
  for (let end = text.indexOf("\n"); end !== -1 && end < at; end = text.indexOf("\n", start)) {
    line += 1;
    start = end + 1;
  }
  return `line ${line}, column ${at - start + 1}: ${problem}`;
}

/** Returns the first error and its offset; without `problem` the text is JSON. */
function firstError(text: string): { readonly problem?: string | undefined; readonly at: number } {
  let at = 0;
  /** The brackets that close the open objects and lists. */
  const ends: ("]" | "}")[] = [];

  /** Goes past a match of a sticky pattern. Returns false if there is none. */
  const skip = (pattern: RegExp): boolean => {
    pattern.lastIndex = at;
    const found = pattern.test(text);
    if (found) at = pattern.lastIndex;
    return found;
  };
  /** Returns the next character that is no white space; empty at the end. */
  const next = (): string => {
    skip(space);
    return text.charAt(at);
  };
  const string = (): string | undefined => {
    const start = at;
    at += 1;
    do skip(plain);
    while (skip(escape));
    const found = text.charAt(at);
    if (found === "\\") return "there is no such escape";
    if (found !== '"' && found !== "") return "expected an escape for this control character";
    at = found === "" ? start : at + 1;
    return found === "" ? "this text has no end" : undefined;
  };
  /** Reads the name of a property and its colon. */
  const name = (): string | undefined => {
    if (next() !== '"') return "expected a name in double quotes";
    const problem = string();
    if (problem !== undefined) return problem;
    if (next() !== ":") return "expected `:`";
    at += 1;
    return undefined;
  };
  /** Reads a scalar or an empty object or list, and any number of opening brackets before it. */
  const value = (): string | undefined => {
    for (let found = next(); found === "{" || found === "["; found = next()) {
      const end = found === "{" ? "}" : "]";
      at += 1;
      if (next() === end) {
        at += 1;
        return undefined;
      }
      ends.push(end);
      const problem = end === "}" ? name() : undefined;
      if (problem !== undefined) return problem;
    }
    const found = text.charAt(at);
    if (found === '"') return string();
    if (found === "") return "the text ends, expected a value";
    return skip(scalar) ? undefined : "expected a value (texts need double quotes)";
  };

  for (;;) {
    const problem = value();
    if (problem !== undefined) return { problem, at };
    while (ends.length > 0 && next() === ends.at(-1)) {
      ends.pop();
      at += 1;
    }
    const end = ends.at(-1);
    const found = next();
    if (end === undefined) return { problem: found === "" ? undefined : "expected the end of the text", at };
    if (found === "") return { problem: `the text ends, expected \`${end}\``, at };
    if (found !== ",") return { problem: `expected \`,\` or \`${end}\``, at };
    at += 1;
    const nameProblem = end === "}" ? name() : undefined;
    if (nameProblem !== undefined) return { problem: nameProblem, at };
  }
}

// Sticky patterns, so that no part of the text has to be copied.
const space = /[ \t\r\n]*/y;
const scalar = /(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.+-])/y;
/** The part of a string before its end, an escape, or a character that needs an escape. */
const plain = /[^"\\\u0000-\u001f]*/y;
const escape = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
