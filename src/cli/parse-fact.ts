/**
 * Values, facts and patterns in command lines. A value is `User:ann` or, as in a policy, `User{"ann"}`. Inside of a fact
 * (`has_role(User:ann, "reader", Repository:x)`) strings are in quotes, integers and booleans are not. If each argument
 * is a separate word (`tell has_role User:ann reader Repository:x`), a text without a type is a string. In a pattern `_`
 * matches everything: a predicate, a type, an id, or both as `_` for `_:_`.
 */
import type { Fact, Value } from "../store/facts/fact.ts";
import { printable } from "../util/printable.ts";
import { printWarning } from "./color.ts";
import { UsageError } from "./command.ts";

/** `null` matches every type or id. */
export interface ValuePattern {
  readonly type: string | null;
  readonly id: string | null;
}

/** Facts with this predicate (`null`: any) and these arguments. */
export interface WrittenPattern {
  readonly predicate: string | null;
  readonly args: readonly ValuePattern[];
}

export const anyValue: ValuePattern = { type: null, id: null };

const segment = String.raw`[\p{L}_][\p{L}\p{N}_]*`;
const name = `${segment}(?:::${segment})*`;
const quoted = '"(?:[^"\\\\]|\\\\.)*"';
const unquotedId = String.raw`[^\s",(){}]+`;
/** `User{"ann"}` as in a policy, `User:"a b"` or `User:ann`, a string, an integer or a boolean, or `_`. */
const valuePattern = new RegExp(
  String.raw`(${name})\s*\{\s*(${quoted}|-?\d+|true|false)\s*\}|(${name}):(${quoted}|${unquotedId})|(${quoted})|(-?\d+|true\b|false\b)|_`,
  "yu",
);
const entityPattern = new RegExp(`^(${name}):(.+)$`, "su");
/** After a type, a colon at the beginning would continue the name of the type. */
const wholeUnquotedId = new RegExp(`^(?!_$|:)${unquotedId}$`, "u");
/** A word that is a call, such as `has_role(User:ann, _, _)`. */
const callStart = new RegExp(String.raw`\s*(${name})\s*\(\s*`, "yu");

/** Parses an actor or a resource. The id is everything after the colon. */
export function parseEntity(written: string, what: string): Value {
  const found = wholeValue(written);
  const parsed = found !== undefined && isTyped(found) ? patternOf(found) : splitEntity(written);
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
  if (found !== undefined) return found[6] === undefined ? patternOf(found) : { type: "String", id: word };
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
  const words = [...written.matchAll(new RegExp(`(?:${quoted}|[^\\s"]|")+`, "gu"))].map(([word]) => word);
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
  const text = wholeUnquotedId.test(id) && printable(id) === id ? id : JSON.stringify(id);
  return `${type ?? "_"}:${text}`;
}

function parseValueWord(word: string): Value {
  return concrete(parsePatternWord(word), word);
}

function isCall(words: readonly string[]): boolean {
  return words.length === 1 && matchAt(callStart, words[0] ?? "", 0) !== null;
}

function checkedPredicate(predicate: string): string {
  if (predicate !== "_" && new RegExp(`^${name}$`, "u").test(predicate)) return predicate;
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
    const found = matchAt(valuePattern, written, position) ?? refuse();
    args.push(patternOf(found));
    position += found[0].length;
    const next = matchAt(/\s*(,|\))\s*/y, written, position) ?? refuse();
    position += next[0].length;
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

/** The match of a text that is one value from its beginning to its end. */
function wholeValue(written: string): RegExpExecArray | undefined {
  const found = matchAt(valuePattern, written, 0);
  return found?.[0].length === written.length && written !== "" ? found : undefined;
}

function isTyped([, policyType, , type]: RegExpExecArray): boolean {
  return policyType !== undefined || type !== undefined;
}

/** `User:a b`: the id is everything after the colon. */
function splitEntity(written: string): ValuePattern | undefined {
  const [, type, id] = entityPattern.exec(written) ?? [];
  return type === undefined || id === undefined ? undefined : { type: type === "_" ? null : type, id };
}

function patternOf([, policyType, policyId, type, id, string, word]: RegExpExecArray): ValuePattern {
  if (policyType !== undefined && policyId !== undefined)
    return { type: policyType, id: policyId.startsWith('"') ? unquote(policyId) : policyId };
  if (type !== undefined && id !== undefined)
    return { type: type === "_" ? null : type, id: id === "_" ? null : id.startsWith('"') ? unquote(id) : id };
  if (string !== undefined) return { type: "String", id: unquote(string) };
  if (word === undefined) return anyValue;
  return { type: word === "true" || word === "false" ? "Boolean" : "Integer", id: word };
}

function unquote(string: string): string {
  try {
    return JSON.parse(string) as string;
  } catch {
    throw new UsageError(`\`${string}\` has an invalid escape`);
  }
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
