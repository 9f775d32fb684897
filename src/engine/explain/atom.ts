/**
 * Atoms: statements about values such as `has_role(User{"ann"}, "member", Org{"acme"})`, which explanations are about,
 * and their text form.
 */
import {
  type Constant,
  type ProgramCall,
  type ProgramLiteral,
  type ProgramTerm,
  splitKey,
  type VariableTypes,
} from "../../datalog/ir/program.ts";
import { stringLiteral } from "../../polar/string-literal.ts";
import type { Value } from "../../store/facts/fact.ts";
import { unreachable } from "../../util/assert.ts";

export interface GroundAtom {
  /** Predicate key: `has_role/3`. */
  readonly predicate: string;
  readonly args: readonly Value[];
}

/** An atom with arguments that may be any value. */
export interface OpenAtom {
  readonly predicate: string;
  readonly args: readonly (Value | undefined)[];
}

/** The values of variables, by variable. */
export type Substitution = readonly (Value | undefined)[];

/** The id that stands for every value of a type: as no fact or policy can contain it, no answer depends on it. */
export const anyId = "*";

/**
 * During a proof search, the id of a variable that a wildcard answer left open: a later condition may choose a value. It
 * is longer than any id may be. It cannot be empty, because an actor may have an empty id.
 */
export const openId = anyId.repeat(4096);

export function isClosed(atom: OpenAtom): atom is GroundAtom {
  return !atom.args.includes(undefined);
}

/** The value of a term; `undefined` for a variable without a value. */
export function valueOf(term: ProgramTerm, bindings: Substitution, now: Value): Value | undefined {
  if (term.kind === "var") return bindings[term.index];
  return term.kind === "const" ? term.value : now;
}

/** The atom that the call asks for. */
export function atomOf({ predicate, args }: ProgramCall, bindings: Substitution, now: Value): OpenAtom {
  const values = args.map((arg) => valueOf(arg, bindings, now));
  return { predicate, args: values.map((value) => (value?.id === openId ? undefined : value)) };
}

/** In Polar syntax. */
export function formatAtom({ predicate, args }: OpenAtom): string {
  return `${splitKey(predicate)[0]}(${args.map((arg) => (arg ? formatValue(arg) : "_")).join(", ")})`;
}

export function formatValue({ type, id }: Constant): string {
  if (id === anyId || id === openId) return `_: ${type}`;
  if (type === "String") return stringLiteral(id);
  return type === "Integer" || type === "Boolean" ? id : `${type}{${stringLiteral(id)}}`;
}

/**
 * A condition with its known values. Unknown values are `_`, with their type if there is only one. The clock is printed
 * as in the policy, so that the explanation of one state does not change every second.
 */
export function formatLiteral(
  literal: ProgramLiteral,
  bindings: Substitution,
  now: Value,
  types: VariableTypes,
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
