/**
 * Values, facts and patterns in command lines. A value is `User:ann` or, as in a policy, `User{"ann"}`. Inside of a fact
 * (`has_role(User:ann, "reader", Repository:x)`) strings are in quotes, integers and booleans are not. If each argument
 * is a separate word (`tell has_role User:ann reader Repository:x`), a text without a type is a string. In a pattern `_`
 * matches everything: a predicate, a type, an id, or both as `_` for `_:_`.
 */
import type { Fact, Value } from "../store/facts/fact.ts";
import { idText, nameSource, quotedSource, valueAt, type ValuePattern, type WrittenValue } from "../util/value-text.ts";
import { printWarning } from "./color.ts";
import { UsageError } from "./command.ts";

/** Facts with this predicate (`null`: any) and these arguments. */
export interface WrittenPattern {
  readonly predicate: string | null;
  readonly args: readonly ValuePattern[];
}

export const anyValue: ValuePattern = { type: null, id: null };

const entityPattern = new RegExp(`^(${nameSource}):(.+)$`, "su");
/** A word that is a call, such as `has_role(User:ann, _, _)`. */
const callStart = new RegExp(String.raw`\s*(${nameSource})\s*\(\s*`, "yu");

/** Parses an actor or a resource. The id is everything after the colon. */
export function parseEntity(written: string, what: string): Value {
  const found = wholeValue(written);
  const parsed = found?.form === "typed" ? readable(found, written) : splitEntity(written);
  if (parsed === undefined)
    throw new UsageError(`\`${written}\` is not a valid ${what}; write its type and its id, such as \`User:ann\``);
  return concrete(parsed, written);
}

export function parseFact(written: string): Fact {
  const { predicate, args } = parseCall(written);
  return { predicate, args: args.map((arg) => concrete(arg, written)) };
}

/** Parses `has_role User:ann reader Repository:x` as words, or a fact as one word. */
export function parseFactWords(words: readonly string[]): Fact {
  const [predicate = "", ...args] = words;
  if (isCall(words)) return parseFact(predicate);
  if (args.length === 0)
    throw new UsageError(
      `\`${predicate}\` has no arguments; write a fact like \`has_role User:ann reader Repository:x\``,
    );
  return { predicate: checkedPredicate(predicate), args: args.map(parseValueWord) };
}

/** The same with `_` for anything. Without words the pattern matches all facts. */
export function parsePatternWords(words: readonly string[]): WrittenPattern {
  const [predicate = "_", ...args] = words;
  if (isCall(words)) return parseCall(predicate);
  return { predicate: predicate === "_" ? null : checkedPredicate(predicate), args: args.map(parsePatternWord) };
}

/** Parses one value with wildcards: `User:ann`, `User:_`, `_:ann`, `_`, or a string without a type. */
export function parsePatternWord(word: string): ValuePattern {
  const found = wholeValue(word);
  if (found !== undefined) return found.form === "word" ? { type: "String", id: word } : readable(found, word);
  const typed = splitEntity(word);
  if (typed !== undefined) return typed;
  if (word === "" || word.includes(":"))
    throw new UsageError(
      `\`${word}\` is not an argument of a fact; write \`Type:id\`, a string without a colon, or \`String:${JSON.stringify(word)}\``,
    );
  return { type: "String", id: word };
}

/** Parses a fact in one text: `has_role User:ann reader Repository:"a b"`, or with parentheses. */
export function parseFactText(written: string): Fact {
  if (isCall([written])) return parseFact(written);
  const words = [...written.matchAll(new RegExp(`(?:${quotedSource}|[^\\s"]|")+`, "gu"))].map(([word]) => word);
  return parseFactWords(words);
}

/** The text of a fact or a pattern, which the functions above understand: `has_role(User:ann, String:reader, _)`. */
export function formatFact({ predicate, args }: WrittenPattern): string {
  return `${predicate ?? "_"}(${args.map(formatValuePattern).join(", ")})`;
}

/** `1 fact`, `2,650 facts`. */
export function countFacts(count: number): string {
  return count === 1 ? "1 fact" : `${count.toLocaleString("en")} facts`;
}

/** `User:ann`, with quotes around an id that would be ambiguous without them. */
export function formatValuePattern({ type, id }: ValuePattern): string {
  if (id === null) return type === null ? "_" : `${type}:_`;
  return `${type ?? "_"}:${idText(id)}`;
}

function parseValueWord(word: string): Value {
  return concrete(parsePatternWord(word), word);
}

function isCall(words: readonly string[]): boolean {
  return words.length === 1 && matchAt(callStart, words[0] ?? "", 0) !== null;
}

function checkedPredicate(predicate: string): string {
  if (predicate !== "_" && new RegExp(`^${nameSource}$`, "u").test(predicate)) return predicate;
  throw new UsageError(`\`${predicate}\` is not the name of a predicate, such as \`has_role\``);
}

function parseCall(written: string): WrittenPattern & { readonly predicate: string } {
  const refuse = (): never => {
    throw new UsageError(
      `\`${written}\` is not a fact; write it like \`has_role(User:ann, "reader", Repository:x)\`, with strings in quotes`,
    );
  };
  const head = matchAt(callStart, written, 0) ?? refuse();
  const args: ValuePattern[] = [];
  let position = head[0].length;
  for (;;) {
    const found = valueAt(written, position) ?? refuse();
    args.push(readable(found, written));
    const next = matchAt(/\s*(,|\))\s*/y, written, found.end) ?? refuse();
    position = found.end + next[0].length;
    if (next[1] === ")") break;
  }
  if (!/^;?\s*$/.test(written.slice(position))) refuse();
  return { predicate: checkedPredicate(head[1] ?? ""), args };
}

function concrete({ type, id }: ValuePattern, written: string): Value {
  if (type !== null && id !== null) return { type, id };
  throw new UsageError(
    `\`${written}\` has a wildcard, but this must be one value; write \`Type:"_"\` for the id \`_\``,
  );
}

/** A text that is one value from its beginning to its end. */
function wholeValue(written: string): WrittenValue | undefined {
  const found = valueAt(written, 0);
  return found?.end === written.length ? found : undefined;
}

function readable({ value }: WrittenValue, written: string): ValuePattern {
  if (value !== undefined) return value;
  throw new UsageError(`\`${written}\` has an invalid escape; write a backslash as \`\\\\\``);
}

/** `User:a b`: the id is everything after the colon. */
function splitEntity(written: string): ValuePattern | undefined {
  const [, type, id] = entityPattern.exec(written) ?? [];
  return type === undefined || id === undefined ? undefined : { type: type === "_" ? null : type, id };
}

function matchAt(pattern: RegExp, written: string, position: number): RegExpExecArray | null {
  pattern.lastIndex = position;
  return pattern.exec(written);
}

/** Explains that nothing matches: a text without a type is a string, but a user may mean all values of the type. */
export async function warnOfTypeAsString(args: readonly ValuePattern[]): Promise<void> {
  const name = args.find(({ type, id }) => type === "String" && /^\p{Lu}[\p{L}\p{N}_]*$/u.test(id ?? ""))?.id;
  if (name) await printWarning(`\`${name}\` is a string here; \`${name}:_\` is any value of the type \`${name}\``);
}
