/**
 * Facts as text that people read and write: `has_role(User:ann, "reader", Repository:x)`. Strings are in quotes, integers
 * and booleans are not, and ids with special characters are in quotes. In a pattern `_` matches everything, and `User:_`
 * every user. The other form is that of policies, `User{"ann"}`.
 */
import { printable } from "../../../util/printable.ts";
import { idText, nameSource, quotedSource, quotedText, valueAt, type ValuePattern } from "../../../util/value-text.ts";

export interface Value {
  readonly type: string;
  readonly id: string;
}

export interface Fact {
  readonly predicate: string;
  readonly args: readonly Value[];
}

export interface FactPattern {
  readonly predicate: string | null;
  readonly args: readonly ValuePattern[];
}

const callStart = new RegExp(String.raw`^\s*(${nameSource})\s*\(`, "u");
const blank = /\s*/uy;
const valueName = new RegExp(`^(${nameSource}):(.+)$`, "su");
const wholeQuoted = new RegExp(`^${quotedSource}$`, "su");
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
  return `${type}:${idText(id)}`;
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
    const found = valueAt(text, blankEnd(text, position));
    if (found?.value === undefined || (found.form === "typed" && found.value.type === null)) return undefined;
    args.push(found.value);
    position = blankEnd(text, found.end);
    if (position === text.length) return args;
    if (text[position] !== ",") return undefined;
  }
}

function blankEnd(text: string, position: number): number {
  blank.lastIndex = position;
  return position + (blank.exec(text)?.[0].length ?? 0);
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
