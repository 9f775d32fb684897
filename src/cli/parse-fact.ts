/**
 * Values and facts in command lines: `User:ann` or, as in a policy, `User{"ann"}`; strings in quotes, integers and
 * booleans without. A fact is a predicate with such arguments: `has_role(User:ann, "reader", Repository:x)`.
 */
import type { Fact, Value } from "../store/facts/fact.ts";
import { UsageError } from "./command.ts";

const name = "[A-Za-z_][A-Za-z0-9_]*";
const quoted = '"(?:[^"\\\\]|\\\\.)*"';
/** `User{"ann"}` as in a policy, `User:"a b"` or `User:ann`, a string, an integer or a boolean. */
const valuePattern = new RegExp(
  `(${name})\\s*\\{\\s*(${quoted}|-?\\d+|true|false)\\s*\\}|(${name}):(${quoted}|[^\\s",(){}]+)|(${quoted})|(-?\\d+|true\\b|false\\b)`,
  "y",
);

/** Parses an actor or a resource. The id is everything after the colon. */
export function parseEntity(written: string, what: string): Value {
  const found = matchAt(valuePattern, written, 0);
  if (found?.[1] !== undefined && found[0].length === written.length) return valueOf(found);
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
    const found = matchAt(valuePattern, written, position) ?? refuse();
    args.push(valueOf(found));
    position += found[0].length;
    const next = matchAt(/\s*(,|\))\s*/y, written, position) ?? refuse();
    position += next[0].length;
    if (next[1] === ")") break;
  }
  if (!/^;?\s*$/.test(written.slice(position))) refuse();
  return { predicate: head[1] ?? "", args };
}

function valueOf([
  ,
  policyType,
  policyId,
  type = policyType,
  id = policyId,
  string,
  word = "",
]: RegExpExecArray): Value {
  if (type !== undefined && id !== undefined) return { type, id: id.startsWith('"') ? unquote(id) : id };
  if (string !== undefined) return { type: "String", id: unquote(string) };
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
