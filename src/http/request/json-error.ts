/**
 * Where a text stops being JSON. `JSON.parse` is fast but its errors name no place, so a text that it refused is walked once more by this
 * small checker of RFC 8259, which keeps nothing but the open brackets. They are a list, not recursion: a million `[` must not overflow.
 */

/** Line and column (from 1) of the first character that can't be there, and what was expected instead. */
export function describeJsonError(text: string): string {
  const checker = new JsonChecker(text);
  const problem = checker.check() ?? "it is too deeply nested";
  const { line, start } = lineAt(text, checker.at);
  return `line ${line}, column ${checker.at - start + 1}: ${problem}`;
}

/** The number of the line with this place, and where it starts. */
function lineAt(text: string, at: number): { readonly line: number; readonly start: number } {
  let [line, start] = [1, 0];
  for (let end = text.indexOf("\n"); end !== -1 && end < at; end = text.indexOf("\n", start)) {
    line += 1;
    start = end + 1;
  }
  return { line, start };
}

class JsonChecker {
  /** How far it came: the place of the problem, once there is one. */
  at = 0;
  readonly #text: string;
  /** What closes the objects and lists that are open here. */
  readonly #ends: ("]" | "}")[] = [];
  #done = false;

  constructor(text: string) {
    this.#text = text;
  }

  /** What is wrong, or `undefined` where the text is JSON after all. */
  check(): string | undefined {
    while (!this.#done) {
      const problem = this.#value() ?? this.#afterValue();
      if (problem !== undefined) return problem;
    }
    return undefined;
  }

  /** A scalar or an empty container, after any number of opened ones. */
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

  /** Closes what ends here, then steps over the comma (and the name) before the next value. */
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
    if (!scalar.test(this.#text)) return "expected a value (texts stand in double quotes)";
    this.at = scalar.lastIndex;
    return undefined;
  }

  /** The name of a property, and its colon. */
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

  /** The next character that is no white space; empty at the end. */
  #next(): string {
    space.lastIndex = this.at;
    space.test(this.#text);
    this.at = space.lastIndex;
    return this.#text.charAt(this.at);
  }
}

// Each matches where it stands, so nothing of the text has to be copied.
const space = /[ \t\r\n]*/y;
const scalar = /(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.+-])/y;
/** What a string holds up to its end, an escape, or a character that has to be one. */
const plain = /[^"\\\u0000-\u001f]*/y;
const escape = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
