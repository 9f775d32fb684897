/**
 * The grammar of values in texts that people write, on the command line and in the web console: `User:ann`, `User:"a b"`
 * or, as in a policy, `User{"ann"}`; a string in quotes, an integer, a boolean, and `_` for anything. Pure.
 */
import { printable } from "./printable.ts";

/** `null` matches every type or id. */
export interface ValuePattern {
  readonly type: string | null;
  readonly id: string | null;
}

const segment = String.raw`[\p{L}_][\p{L}\p{N}_]*`;
/** Regular expressions for the flag `u`: the name of a type or a predicate, and a string in quotes. */
export const nameSource = `${segment}(?:::${segment})*`;
export const quotedSource = String.raw`"(?:[^"\\]|\\.)*"`;
const unquotedId = String.raw`[^\s",(){}]+`;
const valueText = new RegExp(
  String.raw`(${nameSource})\s*\{\s*(${quotedSource}|-?\d+|true|false)\s*\}|(${nameSource}):(${quotedSource}|${unquotedId})|(${quotedSource})|(-?\d+|true\b|false\b)|_`,
  "yu",
);
/** After a type, a colon at the beginning would continue the name of the type. */
const wholeUnquotedId = new RegExp(`^(?!_$|:)${unquotedId}$`, "u");

/** A value in a text. */
export interface WrittenValue {
  /** Undefined if the string in quotes has an invalid escape. */
  readonly value: ValuePattern | undefined;
  /** The position behind it. */
  readonly end: number;
  readonly form: "typed" | "string" | "word" | "any";
}

/** The value that begins at a position of the text; undefined if none does. */
export function valueAt(text: string, position: number): WrittenValue | undefined {
  valueText.lastIndex = position;
  const found = valueText.exec(text);
  if (found === null) return undefined;
  const [whole, policyType, policyId, colonType, colonId, string, word] = found;
  const end = position + whole.length;
  const [type, id] = policyType === undefined ? [colonType, colonId] : [policyType, policyId];
  if (type !== undefined && id !== undefined) {
    const isAny = type === colonType && id === "_";
    return { value: patternOf(type === "_" ? null : type, isAny ? null : unquote(id)), end, form: "typed" };
  }
  if (string !== undefined) return { value: patternOf("String", unquote(string)), end, form: "string" };
  if (word === undefined) return { value: { type: null, id: null }, end, form: "any" };
  return { value: { type: word === "true" || word === "false" ? "Boolean" : "Integer", id: word }, end, form: "word" };
}

/** The id as it stands behind `User:`, in quotes if it would be read as something else, or cannot be seen. */
export function idText(id: string): string {
  return wholeUnquotedId.test(id) && printable(id) === id ? id : quotedText(id);
}

/** The text as a string in quotes. Characters that cannot be seen are escapes, which are read back. */
export function quotedText(text: string): string {
  return printable(JSON.stringify(text));
}

function patternOf(type: string | null, id: string | null | undefined): ValuePattern | undefined {
  return id === undefined ? undefined : { type, id };
}

/** Escapes are those of JSON, and the `\0` of policies. */
function unquote(id: string): string | undefined {
  if (!id.startsWith('"')) return id;
  try {
    return JSON.parse(id.replace(/\\./gsu, (escape) => (escape === "\\0" ? "\\u0000" : escape))) as string;
  } catch {
    return undefined;
  }
}
