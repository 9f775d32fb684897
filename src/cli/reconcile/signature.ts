/**
 * Signatures of facts that come from a query: `has_role(User:_, String:_, Organization:acme)`. Each `_` takes the value
 * of one column, in order; everything else is fixed. A type can be left out for strings: `has_role(User:_, member, Team:_)`.
 */
import type { Fact, Value } from "../../store/facts/fact.ts";
import { must } from "../../util/assert.ts";

export interface Signature {
  /** As it is written in the file. */
  readonly text: string;
  readonly predicate: string;
  /** The id is null for `_`. */
  readonly args: readonly { readonly type: string; readonly id: string | null }[];
}

const name = "[A-Za-z_][A-Za-z0-9_]*(?:::[A-Za-z_][A-Za-z0-9_]*)*\\??";
const argument = new RegExp(`\\s*(?:(${name})\\s*:\\s*)?("(?:[^"\\\\]|\\\\.)*"|[^\\s",()]+)\\s*([,)])`, "y");

/** Returns undefined if the text is not a signature. */
export function parseSignature(text: string): Signature | undefined {
  const [head, predicate] = new RegExp(`^\\s*(${name})\\s*\\(`).exec(text) ?? [];
  if (head === undefined || predicate === undefined) return undefined;
  const args: { type: string; id: string | null }[] = [];
  argument.lastIndex = head.length;
  for (;;) {
    const [, type, written = "", end] = argument.exec(text) ?? [];
    // A colon without a type before it is a mistake, unless it is in quotes.
    if (end === undefined || (type === undefined && /^[^"].*:/.test(written))) return undefined;
    const id = written.startsWith('"') ? unquoted(written) : written;
    if (id === undefined) return undefined;
    args.push({ type: type ?? "String", id: written === "_" ? null : id });
    if (end === ")") break;
  }
  return /^\s*;?\s*$/.test(text.slice(argument.lastIndex)) ? { text, predicate, args } : undefined;
}

/** Returns undefined for an invalid escape. */
function unquoted(text: string): string | undefined {
  try {
    return JSON.parse(text) as string;
  } catch {
    return undefined;
  }
}

export function columnsOf({ args }: Signature): number {
  return args.filter(({ id }) => id === null).length;
}

/**
 * The fact for the columns of a row, one for each `_`. Returns a text if a column cannot be a value: it continues
 * "column 2".
 */
export function factOf({ predicate, args }: Signature, row: readonly (string | null)[]): Fact | string {
  let column = 0;
  const values: Value[] = [];
  for (const { type, id } of args) {
    if (id !== null) {
      values.push({ type, id });
      continue;
    }
    const text = row[column];
    column += 1;
    if (text === null || text === undefined) return `${column} is NULL: leave such rows out of the query`;
    const value = valueOf(type, text);
    if (value === undefined) return `${column} is \`${text}\`, which is no ${type}`;
    if (value === "" || value === "*") return `${column} is \`${text}\`, which is no id`;
    values.push({ type, id: value });
  }
  return { predicate, args: values };
}

/** The id of a value as the API has it; undefined if the text is no value of the type. */
function valueOf(type: string, text: string): string | undefined {
  if (type === "Integer") return /^[+-]?\d{1,19}$/.test(text) ? String(BigInt(text)) : undefined;
  return type === "Boolean" ? booleans[text.toLowerCase()] : text;
}

const booleans: Readonly<Record<string, string>> = {
  ...{ true: "true", t: "true", "1": "true", yes: "true" },
  ...{ false: "false", f: "false", "0": "false", no: "false" },
};

/** A key that two facts share only if they are equal. */
export function factKey({ predicate, args }: Fact): string {
  return JSON.stringify([predicate, ...args.flatMap(({ type, id }) => [type, id])]);
}

export function factOfKey(key: string): Fact {
  const [predicate, ...parts] = JSON.parse(key) as string[];
  const args = Array.from({ length: parts.length / 2 }, (_, index) => ({
    type: must(parts[2 * index]),
    id: must(parts[2 * index + 1]),
  }));
  return { predicate: must(predicate), args };
}
