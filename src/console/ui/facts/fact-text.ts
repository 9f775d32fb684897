/**
 * Facts as text that people read and write: `has_role(User:ann, "reader", Repository:x)`. Strings are in quotes, integers
 * and booleans are not, and ids with special characters are in quotes. In a pattern `_` matches everything, and `User:_`
 * every user. The other form is that of policies, `User{"ann"}`.
 */
import { printable } from "../../../util/printable.ts";

export interface Value {
  readonly type: string;
  readonly id: string;
}

export interface Fact {
  readonly predicate: string;
  readonly args: readonly Value[];
}

/** `null` matches every type or id. */
export interface ValuePattern {
  readonly type: string | null;
  readonly id: string | null;
}

export interface FactPattern {
  readonly predicate: string | null;
  readonly args: readonly ValuePattern[];
}

const segment = String.raw`[\p{L}_][\p{L}\p{N}_]*`;
const name = `${segment}(?:::${segment})*`;
const quoted = String.raw`"(?:[^"\\]|\\.)*"`;
const unquotedId = String.raw`[^\s",(){}]+`;
const callStart = new RegExp(String.raw`^\s*(${name})\s*\(`, "u");
/** `User{"ann"}`, `User:ann` or `User:"a b"`, a string, an integer or a boolean, or `_`. */
const valueText = new RegExp(
  String.raw`\s*(?:(${name})\s*\{\s*(${quoted}|-?\d+|true|false)\s*\}|(${name}):(${quoted}|${unquotedId})|(${quoted})|(-?\d+|true\b|false\b)|_)\s*`,
  "uy",
);
const valueName = new RegExp(`^(${name}):(.+)$`, "su");
const wholeQuoted = new RegExp(`^${quoted}$`, "su");
/** After a type, a colon at the beginning would continue the name of the type. */
const wholeUnquotedId = new RegExp(`^(?!_$|:)${unquotedId}$`, "u");

/** The types whose values are not objects. */
const primitives: ReadonlySet<string> = new Set(["String", "Integer", "Boolean"]);

export function isObject({ type }: Pick<Value, "type">): boolean {
  return !primitives.has(type);
}

/** `User:ann`, `"reader"`, `5`. Characters that cannot be seen are escapes in quotes, which are read back. */
export function formatValue({ type, id }: ValuePattern): string {
  if (type === null) return "_";
  if (id === null) return `${type}:_`;
  if (type === "String") return quotedText(id);
  if (type === "Boolean" || type === "Integer") return id;
  return `${type}:${wholeUnquotedId.test(id) && printable(id) === id ? id : quotedText(id)}`;
}

function quotedText(text: string): string {
  return printable(JSON.stringify(text));
}

export function formatFact({ predicate, args }: FactPattern): string {
  return `${predicate ?? "_"}(${args.map(formatValue).join(", ")})`;
}

/** Equal only for equal facts. */
export function factKey({ predicate, args }: Fact): string {
  return JSON.stringify([predicate, args.map(({ type, id }) => [type, id])]);
}

export function isSameValue(one: ValuePattern, other: ValuePattern): boolean {
  return one.type === other.type && one.id === other.id;
}

/** Parses a fact; undefined if the text is none. */
export function parseFact(text: string): Fact | undefined {
  const pattern = parsePattern(text);
  if (pattern === undefined || pattern.predicate === null) return undefined;
  const args = pattern.args.filter(isConcrete);
  return args.length === pattern.args.length ? { predicate: pattern.predicate, args } : undefined;
}

/** Parses a fact with wildcards. */
export function parsePattern(text: string): FactPattern | undefined {
  const start = callStart.exec(text);
  const args = start === null ? undefined : parseArguments(text.slice(start[0].length).replace(/\)\s*;?\s*$/, ""));
  if (start === null || args === undefined || !/\)\s*;?\s*$/.test(text)) return undefined;
  const predicate = start[1] ?? "";
  return { predicate: predicate === "_" ? null : predicate, args };
}

/** Parses values with wildcards, separated by commas. */
export function parseArguments(text: string): ValuePattern[] | undefined {
  const args: ValuePattern[] = [];
  for (let position = 0; ; position++) {
    valueText.lastIndex = position;
    const found = valueText.exec(text);
    const arg = found === null ? undefined : patternOf(found);
    if (arg === undefined) return undefined;
    args.push(arg);
    position = valueText.lastIndex;
    if (position === text.length) return args;
    if (text[position] !== ",") return undefined;
  }
}

/** Parses an actor, a resource or another object: `User:ann`. The id is everything after the colon. */
export function parseValue(text: string): Value | undefined {
  const [, type, id] = valueName.exec(text) ?? [];
  if (type !== undefined && id !== undefined && !wholeQuoted.test(id)) return { type, id };
  const [value, ...others] = parseArguments(text) ?? [];
  return value !== undefined && isConcrete(value) && others.length === 0 && isObject(value) ? value : undefined;
}

/** What a field shows of a value in an address: the text itself, unless it has characters that cannot be seen. */
export function fieldText(text: string): string {
  const value = printable(text) === text ? undefined : parseValue(text);
  return value === undefined ? text : formatValue(value);
}

/** `Type:id`, which `parseValue` reads, for addresses and for fields with one object. */
export function valueParameter({ type, id }: Value): string {
  if (printable(id) !== id) return formatValue({ type, id });
  return `${type}:${wholeQuoted.test(id) || id.startsWith(":") ? JSON.stringify(id) : id}`;
}

/** A value of a policy: `User{"ann"}`. */
export function polarValue({ type, id }: Value): string {
  if (type === "String") return polarString(id);
  return type === "Integer" || type === "Boolean" ? id : `${type}{${polarString(id)}}`;
}

export function polarFact({ predicate, args }: Fact): string {
  return `${predicate}(${args.map(polarValue).join(", ")})`;
}

export function polarString(text: string): string {
  return `"${text.replaceAll(/["\\\n\r\t\0]/g, (found) => polarEscapes[found] ?? found)}"`;
}

const polarEscapes: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\0": "\\0",
};

function isConcrete(pattern: ValuePattern): pattern is Value {
  return pattern.type !== null && pattern.id !== null;
}

function patternOf([, policyType, policyId, type, id, string, word]: RegExpExecArray): ValuePattern | undefined {
  if (policyType !== undefined && policyId !== undefined) return unquoted(policyType, policyId);
  if (type !== undefined && id !== undefined)
    return type === "_" ? undefined : id === "_" ? { type, id: null } : unquoted(type, id);
  if (string !== undefined) return unquoted("String", string);
  if (word === undefined) return { type: null, id: null };
  return { type: word === "true" || word === "false" ? "Boolean" : "Integer", id: word };
}

function unquoted(type: string, id: string): ValuePattern | undefined {
  if (!id.startsWith('"')) return { type, id };
  try {
    return { type, id: JSON.parse(id.replaceAll("\\0", "\\u0000")) as string };
  } catch {
    return undefined;
  }
}
