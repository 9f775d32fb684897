/**
 * The position of the first error in a text that is not JSON. `JSON.parse` is fast, but its errors name no position
 * on some runtimes, so a text that it refused is scanned again by this checker for RFC 8259, which stores only the open
 * brackets. The checker uses a list instead of recursion, unlike libraries such as jsonc-parser, because a million `[`
 * must not overflow the stack.
 */

/** Returns the line and the column (from 1) of the first wrong character, and the expected text. */
export function describeJsonError(text: string): string {
  const checker = new JsonChecker(text);
  const problem = checker.check() ?? "it is nested too deeply";
  const { line, start } = lineAt(text, checker.at);
  return `line ${line}, column ${checker.at - start + 1}: ${problem}`;
}

/** Returns the number of the line that contains an offset, and the offset of its start. */
function lineAt(text: string, at: number): { readonly line: number; readonly start: number } {
  let [line, start] = [1, 0];
  for (let end = text.indexOf("\n"); end !== -1 && end < at; end = text.indexOf("\n", start)) {
    line += 1;
    start = end + 1;
  }
  return { line, start };
}

class JsonChecker {
  /** The present offset; after an error that of the error. */
  at = 0;
  readonly #text: string;
  /** The brackets that close the open objects and lists. */
  readonly #ends: ("]" | "}")[] = [];
  #done = false;

  constructor(text: string) {
    this.#text = text;
  }

  /** Returns the error, or `undefined` if the text is JSON. */
  check(): string | undefined {
    while (!this.#done) {
      const problem = this.#value() ?? this.#afterValue();
      if (problem !== undefined) return problem;
    }
    return undefined;
  }

  /** Reads a scalar or an empty object or list, and any number of opening brackets before it. */
  #value(): string | undefined {
    for (;;) {
      const next = this.#next();
      if (next !== "{" && next !== "[") return this.#scalar(next);
      this.at += 1;
      const end = next === "{" ? "}" : "]";
      if (this.#next() === end) {
        this.at += 1;
        return undefined;
      }
      this.#ends.push(end);
      const problem = end === "}" ? this.#name() : undefined;
      if (problem !== undefined) return problem;
    }
  }

  /** Reads closing brackets, then the comma (and the name) before the next value. */
  #afterValue(): string | undefined {
    for (;;) {
      const end = this.#ends.at(-1);
      const next = this.#next();
      if (end === undefined) {
        this.#done = next === "";
        return this.#done ? undefined : "expected the end of the text";
      }
      if (next !== end && next !== ",") {
        return next === "" ? `the text ends, expected \`${end}\`` : `expected \`,\` or \`${end}\``;
      }
      this.at += 1;
      if (next === ",") return end === "}" ? this.#name() : undefined;
      this.#ends.pop();
    }
  }

  #scalar(next: string): string | undefined {
    if (next === '"') return this.#string();
    if (next === "") return "the text ends, expected a value";
    scalar.lastIndex = this.at;
    if (!scalar.test(this.#text)) return "expected a value (texts need double quotes)";
    this.at = scalar.lastIndex;
    return undefined;
  }

  /** Reads the name of a property and its colon. */
  #name(): string | undefined {
    if (this.#next() !== '"') return "expected a name in double quotes";
    const problem = this.#string();
    if (problem !== undefined) return problem;
    if (this.#next() !== ":") return "expected `:`";
    this.at += 1;
    return undefined;
  }

  #string(): string | undefined {
    for (let from = this.at + 1; ;) {
      plain.lastIndex = from;
      plain.test(this.#text);
      const at = plain.lastIndex;
      const found = this.#text.charAt(at);
      if (found === "") return "this text has no end";
      if (found === '"') {
        this.at = at + 1;
        return undefined;
      }
      escape.lastIndex = at;
      if (!escape.test(this.#text)) {
        this.at = at;
        return found === "\\" ? "there is no such escape" : "expected an escape for this control character";
      }
      from = escape.lastIndex;
    }
  }

  /** Returns the next character that is no white space; empty at the end. */
  #next(): string {
    space.lastIndex = this.at;
    space.test(this.#text);
    this.at = space.lastIndex;
    return this.#text.charAt(this.at);
  }
}

// Sticky patterns, so that no part of the text has to be copied.
const space = /[ \t\r\n]*/y;
const scalar = /(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.+-])/y;
/** The part of a string before its end, an escape, or a character that needs an escape. */
const plain = /[^"\\\u0000-\u001f]*/y;
const escape = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
