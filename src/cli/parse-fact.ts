/**
 * Values and facts in command lines: `User:ann` or, as in a policy, `User{"ann"}`; strings in quotes, integers and
 * booleans without. A fact is a predicate with such arguments: `has_role(User:ann, "reader", Repository:x)`.
 */
import type { Fact, Value } from "../store/facts/fact.ts";
import { UsageError } from "./command.ts";

const name = "[A-Za-z_][A-Za-z0-9_]*";
const quoted = '"(?:[^"\\\\]|\\\\.)*"';
/** The forms of a value; the last one is for ids that need no quotes. */
const inPolicy = new RegExp(`(${name})\\s*\\{\\s*(${quoted}|-?\\d+|true|false)\\s*\\}`, "y");
const quotedId = new RegExp(`(${name}):(${quoted})`, "y");
const bareId = new RegExp(`(${name}):([^\\s",(){}]+)`, "y");
const text = new RegExp(quoted, "y");
const literal = /-?\d+|true\b|false\b/y;

/** Parses an actor or a resource. The id is everything after the colon. */
export function parseEntity(written: string, what: string): Value {
  const policyForm = matchAt(inPolicy, written, 0);
  if (policyForm?.[0].length === written.length) return entity(policyForm);
  const colon = written.indexOf(":");
  if (!new RegExp(`^${name}$`).test(written.slice(0, Math.max(0, colon))) || colon === written.length - 1)
    throw new UsageError(`\`${written}\` is not a valid ${what}; write its type and its id, such as \`User:ann\``);
  return { type: written.slice(0, colon), id: written.slice(colon + 1) };
}

export function parseFact(written: string): Fact {
  const refuse = (): never => {
    throw new UsageError(
      `\`${written}\` is not a fact; write it like \`has_role(User:ann, "reader", Repository:x)\`, with strings in quotes`,
    );
  };
  const head = matchAt(new RegExp(`\\s*(${name})\\s*\\(\\s*`, "y"), written, 0) ?? refuse();
  const args: Value[] = [];
  let position = head[0].length;
  for (;;) {
    const found = valueAt(written, position) ?? refuse();
    args.push(found.value);
    const next = matchAt(/\s*(,|\))\s*/y, written, found.end) ?? refuse();
    position = found.end + next[0].length;
    if (next[1] === ")") break;
  }
  if (!/^;?\s*$/.test(written.slice(position))) refuse();
  return { predicate: head[1] ?? "", args };
}

function valueAt(written: string, position: number): { readonly value: Value; readonly end: number } | undefined {
  for (const form of [inPolicy, quotedId, bareId]) {
    const found = matchAt(form, written, position);
    if (found) return { value: entity(found), end: position + found[0].length };
  }
  const [string] = matchAt(text, written, position) ?? [];
  if (string !== undefined) return { value: { type: "String", id: unquote(string) }, end: position + string.length };
  const [word] = matchAt(literal, written, position) ?? [];
  if (word === undefined) return undefined;
  const type = word === "true" || word === "false" ? "Boolean" : "Integer";
  return { value: { type, id: word }, end: position + word.length };
}

function entity([, type = "", id = ""]: RegExpExecArray): Value {
  return { type, id: id.startsWith('"') ? unquote(id) : id };
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
