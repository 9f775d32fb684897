/**
 * Parses expressions of CEL, in which OpenFGA and SpiceDB write conditions. Maps and messages in braces are not supported.
 * Source: https://github.com/google/cel-spec/blob/master/doc/langdef.md.
 */
import { boolean, type CelValue, integer, text as textValue } from "./cel-value.ts";

/** `text` is the part of the source that the node stands for. */
export type Cel = { readonly text: string } & (
  | { readonly kind: "literal"; readonly value: CelValue }
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "list"; readonly items: readonly Cel[] }
  | { readonly kind: "select"; readonly target: Cel; readonly field: string }
  /** A function or a method, or an operator: `!_`, `-_`, `_?_:_`, `_[_]`, or `&&`, `<`, `in` and so on. */
  | { readonly kind: "call"; readonly name: string; readonly target?: Cel; readonly args: readonly Cel[] }
);

/** Thrown for what this parser or the evaluator does not know. The message is a part of a sentence. */
export class UnsupportedError extends Error {}

/** The time for an expression grows with the square of its length. */
const lengthMax = 4096;

/** Throws UnsupportedError. */
export function parseCel(source: string): Cel {
  if (source.length > lengthMax) throw new UnsupportedError(`it has more than ${lengthMax} characters`);
  return new CelParser(source).parse();
}

/** The names of parameters in the expression, without the variables of its own. */
export function namesIn(cel: Cel): ReadonlySet<string> {
  switch (cel.kind) {
    case "literal":
      return new Set();
    case "name":
      return new Set([cel.name]);
    case "list":
      return new Set(cel.items.flatMap((item) => [...namesIn(item)]));
    case "select":
      return namesIn(cel.target);
    case "call": {
      const found = new Set(
        [...(cel.target === undefined ? [] : [cel.target]), ...cel.args].flatMap((each) => [...namesIn(each)]),
      );
      const [variable] = cel.args;
      if (isQuantifier(cel) && variable?.kind === "name") {
        found.delete(variable.name);
        for (const name of namesIn(cel.target)) found.add(name);
      }
      return found;
    }
  }
}

/** `list.all(x, x > 3)`: the first argument is a variable. */
export function isQuantifier(cel: Cel): cel is Cel & { readonly kind: "call"; readonly target: Cel } {
  return (
    cel.kind === "call" &&
    cel.target !== undefined &&
    cel.args.length === 2 &&
    ["all", "exists", "exists_one"].includes(cel.name)
  );
}

const binaries: readonly (readonly string[])[] = [
  ["||"],
  ["&&"],
  ["<", "<=", ">", ">=", "==", "!=", "in"],
  ["+", "-"],
  ["*", "/", "%"],
];

const pattern =
  /(?<blank>\s+|\/\/[^\n]*)|(?<number>0x[0-9A-Fa-f]+u?|(?:\d+\.\d+|\d+(?=[eE])|\.\d+)(?:[eE][+-]?\d+)?|\d+u?)|(?<string>[rR]?(?:"""[^]*?"""|'''[^]*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')(?![A-Za-z0-9_]))|(?<word>[A-Za-z_][A-Za-z0-9_]*)|(?<symbol>&&|\|\||[<>=!]=|[-+*/%<>!?:.,()[\]])/gy;

interface Token {
  readonly kind: "number" | "string" | "word" | "symbol" | "end";
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

const depthMax = 100;

class CelParser {
  readonly #source: string;
  readonly #tokens: readonly Token[];
  #position = 0;
  #depth = 0;

  constructor(source: string) {
    this.#source = source;
    this.#tokens = scan(source);
  }

  parse(): Cel {
    const cel = this.#expression();
    if (this.#token.kind !== "end") throw this.#unexpected();
    return cel;
  }

  #expression(): Cel {
    this.#depth += 1;
    if (this.#depth > depthMax) throw new UnsupportedError("it nests too deeply");
    const start = this.#token.start;
    const condition = this.#binary(0);
    this.#depth -= 1;
    if (!this.#take("?")) return condition;
    const yes = this.#binary(0);
    if (!this.#take(":")) throw this.#unexpected();
    const no = this.#expression();
    return this.#call(start, "_?_:_", [condition, yes, no]);
  }

  #binary(level: number): Cel {
    const operators = binaries[level];
    if (operators === undefined) return this.#unary();
    const start = this.#token.start;
    let left = this.#binary(level + 1);
    while (this.#token.kind !== "string" && operators.includes(this.#token.text)) {
      const name = this.#next().text;
      left = this.#call(start, name, [left, this.#binary(level + 1)]);
    }
    return left;
  }

  #unary(): Cel {
    const start = this.#token.start;
    const operators: string[] = [];
    while (this.#is("!") || this.#is("-")) operators.push(this.#next().text);
    if (operators.length > depthMax) throw new UnsupportedError("it nests too deeply");
    const minus = operators.at(-1) === "-" && this.#token.kind === "number";
    if (minus) operators.pop();
    let cel = this.#member(minus);
    for (const operator of operators.toReversed()) cel = this.#call(start, `${operator}_`, [cel]);
    return cel;
  }

  #member(minus: boolean): Cel {
    const start = this.#token.start;
    let cel = this.#primary(minus);
    for (;;) {
      if (this.#take("[")) {
        const index = this.#expression();
        if (!this.#take("]")) throw this.#unexpected();
        cel = this.#call(start, "_[_]", [cel, index]);
      } else if (this.#take(".")) {
        const { kind, text: field } = this.#next();
        if (kind !== "word") throw this.#unexpected();
        if (this.#take("("))
          cel = { ...this.#call(start, field, this.#list(")")), target: cel, text: this.#text(start) };
        else cel = { kind: "select", target: cel, field, text: this.#text(start) };
      } else {
        return cel;
      }
    }
  }

  #primary(minus: boolean): Cel {
    const { kind, text, start } = this.#next();
    if (kind === "number")
      return { kind: "literal", value: numberOf(minus ? `-${text}` : text), text: this.#text(start) };
    if (kind === "string") return { kind: "literal", value: textValue(unquote(text)), text };
    if (kind === "symbol" && text === "(") {
      const inner = this.#expression();
      if (!this.#take(")")) throw this.#unexpected();
      return inner;
    }
    if (kind === "symbol" && text === "[") return { kind: "list", items: this.#list("]"), text: this.#text(start) };
    if (kind !== "word") throw this.#unexpected(start);
    if (text === "true" || text === "false") return { kind: "literal", value: boolean(text === "true"), text };
    if (text === "null") return { kind: "literal", value: { type: "null" }, text };
    if (this.#take("(")) return this.#call(start, text, this.#list(")"));
    return { kind: "name", name: text, text };
  }

  #list(close: string): Cel[] {
    const items: Cel[] = [];
    while (!this.#take(close)) {
      if (items.length > 0 && !this.#take(",")) throw this.#unexpected();
      if (items.length > 0 && this.#take(close)) break;
      items.push(this.#expression());
    }
    return items;
  }

  #call(start: number, name: string, args: readonly Cel[]): Cel & { readonly kind: "call" } {
    return { kind: "call", name, args, text: this.#text(start) };
  }

  /** The source from `start` to the last token that was taken. */
  #text(start: number): string {
    return this.#source.slice(start, this.#tokens[this.#position - 1]?.end);
  }

  get #token(): Token {
    return (
      this.#tokens[this.#position] ?? { kind: "end", text: "", start: this.#source.length, end: this.#source.length }
    );
  }

  #next(): Token {
    const token = this.#token;
    this.#position += 1;
    return token;
  }

  #is(text: string): boolean {
    return this.#token.kind === "symbol" && this.#token.text === text;
  }

  #take(text: string): boolean {
    if (!this.#is(text)) return false;
    this.#position += 1;
    return true;
  }

  #unexpected(start = this.#token.start): UnsupportedError {
    const found = this.#source.slice(start, start + 20).trim();
    return new UnsupportedError(`\`${found === "" ? "the end" : found}\` is not understood`);
  }
}

function scan(source: string): Token[] {
  const tokens: Token[] = [];
  let end = 0;
  for (const { groups = {}, 0: text, index: start } of source.matchAll(pattern)) {
    end = start + text.length;
    for (const kind of ["number", "string", "word", "symbol"] as const)
      if (groups[kind] !== undefined) tokens.push({ kind, text, start, end });
  }
  if (end < source.length) throw new UnsupportedError(`\`${source.slice(end, end + 20).trim()}\` is not understood`);
  return tokens;
}

function numberOf(text: string): CelValue {
  if (/^-?\d*\.|^-?\d+[eE]/.test(text)) return { type: "double", value: Number(text) };
  const isUnsigned = text.endsWith("u");
  const digits = text.replace("-", "").replace("u", "");
  const value = BigInt(digits) * (text.startsWith("-") ? -1n : 1n);
  return integer(value, isUnsigned ? "uint" : "int") ?? unsupported(`the number \`${text}\` is too large`);
}

function unsupported(message: string): never {
  throw new UnsupportedError(message);
}

const escapes: Readonly<Record<string, string>> = { a: "\x07", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", v: "\v" };

function unquote(written: string): string {
  const isRaw = /^[rR]/.test(written);
  const quoted = isRaw ? written.slice(1) : written;
  const quotes = quoted.startsWith('"""') || quoted.startsWith("'''") ? 3 : 1;
  const content = quoted.slice(quotes, -quotes);
  if (isRaw) return content;
  return content.replaceAll(
    /\\(?:x([0-9A-Fa-f]{2})|X([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([0-3][0-7]{2})|([^]))/g,
    (
      whole,
      x: string | undefined,
      X: string | undefined,
      u: string | undefined,
      U: string | undefined,
      octal: string | undefined,
      other = "",
    ) => {
      const hex = x ?? X ?? u ?? U;
      if (hex !== undefined || octal !== undefined) {
        const point = hex === undefined ? Number.parseInt(octal ?? "", 8) : Number.parseInt(hex, 16);
        if (point > 0x10_ff_ff || (point >= 0xd8_00 && point <= 0xdf_ff))
          throw new UnsupportedError(`\`${whole}\` is no character`);
        return String.fromCodePoint(point);
      }
      if (/[\\?"'`]/.test(other)) return other;
      return escapes[other] ?? unsupported(`\`${whole}\` is no character`);
    },
  );
}
