/** A statement about values, `has_role(User{"ann"}, "member", Org{"acme"})`: what explanations are about, and how they are written. */
import type { Constant, ProgramLiteral, ProgramTerm } from "../../datalog/ir/program.ts";
import { stringLiteral } from "../../polar/string-literal.ts";
import type { Value } from "../../store/facts/fact.ts";
import { unreachable } from "../../util/assert.ts";
import { splitKey } from "../../datalog/ir/program.ts";

export interface GroundAtom {
  /** Predicate key: `has_role/3`. */
  readonly predicate: string;
  readonly args: readonly Value[];
}

/** An atom of which some arguments may be anything. */
export interface OpenAtom {
  readonly predicate: string;
  readonly args: readonly (Value | undefined)[];
}

/** By variable. */
export type Substitution = readonly (Value | undefined)[];

/** The id of "every value of the type": no fact and no policy can hold it, so nothing that it satisfies depends on which value it is. */
export const anyId = "*";

/**
 * While a rule is being solved, the id of a variable that a wildcard answer left open: any value so far, and a later condition may still
 * choose one. No value has an empty id.
 */
export const openId = "";

export function isClosed(atom: OpenAtom): atom is GroundAtom {
  return !atom.args.includes(undefined);
}

/** The value of a term, `undefined` for a variable without one. */
export function valueOf(term: ProgramTerm, bindings: Substitution, now: Value): Value | undefined {
  switch (term.kind) {
    case "var":
      return bindings[term.index];
    case "const":
      return term.value;
    case "now":
      return now;
    default:
      return unreachable(term);
  }
}

/** As Polar would have it. */
export function formatAtom({ predicate, args }: OpenAtom): string {
  return `${splitKey(predicate)[0]}(${args.map((arg) => (arg ? formatValue(arg) : "_")).join(", ")})`;
}

export function formatValue({ type, id }: Constant): string {
  if (id === anyId || id === openId) return `_: ${type}`;
  if (type === "String") return stringLiteral(id);
  return type === "Integer" || type === "Boolean" ? id : `${type}{${stringLiteral(id)}}`;
}

/**
 * A condition with the values that are known; the others are `_`, with their type where there is only one. The clock stands as in the policy, so
 * that what is told of one state does not change with every second.
 */
export function formatLiteral(
  literal: ProgramLiteral,
  bindings: Substitution,
  now: Value,
  types: readonly (ReadonlySet<string> | undefined)[],
): string {
  const term = (written: ProgramTerm): string => {
    if (written.kind === "now") return "@current_unix_time";
    const value = valueOf(written, bindings, now);
    if (value) return formatValue(value);
    const allowed = written.kind === "var" ? types[written.index] : undefined;
    return allowed?.size === 1 ? `_: ${[...allowed].join()}` : "_";
  };
  switch (literal.kind) {
    case "call":
      return `${splitKey(literal.predicate)[0]}(${literal.args.map(term).join(", ")})`;
    case "not": {
      const inner = literal.body.map((part) => formatLiteral(part, bindings, now, types));
      return inner.length === 1 ? `not ${inner.join()}` : `not (${inner.join(" and ")})`;
    }
    case "equal":
      return `${term(literal.left)} = ${term(literal.right)}`;
    case "compare":
      return `${term(literal.left)} ${literal.operator} ${term(literal.right)}`;
    case "type":
      return `${term(literal.term)} matches ${[...literal.types].join(" or ")}`;
    default:
      return unreachable(literal);
  }
}
