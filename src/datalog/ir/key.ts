/**
 * Canonical keys: two terms have the same key exactly if they are equal, so a key can stand for its term in a `Map` or
 * a `Set`. `JSON.stringify` can't: its result depends on the order of members, and it confuses `undefined` with `null`,
 * and sets with each other.
 *
 * Keys are injective because every part delimits itself: a string has its length in front, a number ends with `;`, a
 * list or tuple with its bracket, and the first character tells them apart. So parts can be concatenated, and callers
 * may replace the keys of arguments, such as by keys that ignore the names of variables.
 */
import { unreachable } from "../../util/assert.ts";
import type { ArgumentPattern } from "./argument-index.ts";
import type { ClosureStep } from "./closure.ts";
import type { FlatArgument, FlatAtom, FlatClause, FlatCondition } from "./flat.ts";
import type { Condition, Constant, ProgramLiteral, ProgramTerm } from "./program.ts";
import type { Relation, Select } from "./select.ts";
import type { TypeName } from "./signature.ts";
import type { NodeArgument } from "./specialised.ts";

/** Must be self-delimiting, as all keys of this file are. */
export type ArgumentKey = (argument: FlatArgument, position: number) => string;

export function stringKey(value: string): string {
  return `${value.length}:${value}`;
}

export function numberKey(value: number): string {
  return `#${value};`;
}

/** `keys` must be self-delimiting. Appending takes less time than `join`; large policies make millions of keys. */
export function listKey(keys: readonly string[]): string {
  let key = "[";
  for (const part of keys) key += part;
  return `${key}]`;
}

function tagged(tag: string, first: string, second = "", third = "", fourth = ""): string {
  return `${tag}(${first}${second}${third}${fourth})`;
}

const none = "-";

export function typeKey(type: TypeName): string {
  return type === undefined ? none : stringKey(type);
}

export function typeListKey(types: readonly TypeName[]): string {
  let key = "[";
  for (const type of types) key += typeKey(type);
  return `${key}]`;
}

const setKeys = new WeakMap<ReadonlySet<string>, string>();

/**
 * The key of a set is kept, because thousands of rules share sets of thousands of types (all actors). Sets of one type
 * are made for each constant, so their keys are not.
 */
export function typeSetKey(types: ReadonlySet<string> | undefined): string {
  if (types === undefined) return none;
  if (types.size === 1) return typeListKey([...types]);
  return setKeys.getOrInsertComputed(types, () => listKey([...types].sort().map(stringKey)));
}

export function constantKey({ type, id }: Constant): string {
  return tagged("const", stringKey(type), stringKey(id));
}

export function argumentPatternKey({ types, id }: ArgumentPattern): string {
  return tagged("pattern", typeSetKey(types), id === undefined ? none : stringKey(id));
}

export function programTermKey(term: ProgramTerm): string {
  switch (term.kind) {
    case "var":
      return tagged("var", numberKey(term.index));
    case "const":
      return constantKey(term.value);
    case "now":
      return "now()";
    default:
      return unreachable(term);
  }
}

export function programLiteralKey(literal: ProgramLiteral): string {
  switch (literal.kind) {
    case "call":
      return tagged("call", stringKey(literal.predicate), listKey(literal.args.map(programTermKey)));
    case "not":
      return tagged("not", listKey(literal.body.map(programLiteralKey)));
    default:
      return conditionKey(literal, programTermKey, typeSetKey);
  }
}

function conditionKey<Term, Types>(
  condition: Condition<Term, Types>,
  termKey: (term: Term, position: number) => string,
  typesKey: (types: Types) => string,
): string {
  if (condition.kind === "type") return tagged("type", termKey(condition.term, 0), typesKey(condition.types));
  const operator = condition.kind === "compare" ? stringKey(condition.operator) : "";
  return tagged(condition.kind, operator, termKey(condition.left, 0), termKey(condition.right, 1));
}

export function nodeArgumentKey(argument: NodeArgument): string {
  return argument.kind === "const" ? constantKey(argument.value) : tagged("open", typeKey(argument.type));
}

export function closureStepKey({ atoms, types }: ClosureStep): string {
  const keys = atoms.map(({ predicate, args }) =>
    tagged("fact", stringKey(predicate), listKey(args.map(programTermKey))),
  );
  return tagged("step", listKey(keys), typeListKey(types));
}

export function flatArgumentKey(argument: FlatArgument): string {
  switch (argument.kind) {
    case "var":
      return tagged("var", numberKey(argument.id), typeKey(argument.type));
    case "const":
      return constantKey(argument.value);
    case "param":
      return tagged("param", stringKey(argument.name), typeKey(argument.type));
    case "now":
      return "now()";
    case "fresh":
      return tagged("fresh", typeKey(argument.type));
    case "oneOf":
      return tagged("oneOf", listKey(argument.values.map(constantKey)));
    default:
      return unreachable(argument);
  }
}

/** A recursive atom is known by its node's number, so keys of different graphs must not be compared. */
export function flatAtomKey(atom: FlatAtom, argumentKey: ArgumentKey = flatArgumentKey): string {
  const args = listKey(atom.args.map((arg: FlatArgument, position) => argumentKey(arg, position)));
  switch (atom.kind) {
    case "fact":
    case "context":
      return tagged(atom.kind, stringKey(atom.predicate), args, atom.orFact === true ? "+" : "");
    case "recursive":
      return tagged(atom.kind, numberKey(atom.node.id), args);
    case "ids":
      return tagged(atom.kind, stringKey(atom.param), args);
    default:
      return unreachable(atom);
  }
}

export function flatConditionKey(condition: FlatCondition, argumentKey: ArgumentKey = flatArgumentKey): string {
  return conditionKey(condition, argumentKey, typeListKey);
}

export function flatClauseKey(clause: FlatClause, argumentKey: ArgumentKey = flatArgumentKey): string {
  const { head, atoms, conditions, negations } = clause;
  return tagged(
    "clause",
    listKey(head.map(argumentKey)),
    listKey(atoms.map((atom) => flatAtomKey(atom, argumentKey))),
    listKey(conditions.map((condition) => flatConditionKey(condition, argumentKey))),
    listKey(negations.map((bodies) => listKey(bodies.map((body) => flatClauseKey(body, argumentKey))))),
  );
}

/** Which rows a source has. How it is read (`computed`, `leads`, `filtered`) is not part of its key. */
export function relationKey(
  { table, args, isReflexive }: Relation,
  argumentKey: ArgumentKey = flatArgumentKey,
): string {
  const keys = listKey(args.map(argumentKey));
  return tagged(isReflexive === true ? "reflexive" : "relation", tableKey(table), keys);
}

function tableKey(table: Relation["table"]): string {
  switch (table.kind) {
    case "fact":
    case "context":
      return tagged(table.kind, stringKey(table.predicate));
    case "ids":
      return tagged(table.kind, stringKey(table.param));
    case "named":
      return tagged(table.kind, stringKey(table.name));
    case "tagged":
      return tagged(table.kind, stringKey(table.name), numberKey(table.tag), listKey(table.columns.map(numberKey)));
    default:
      return unreachable(table);
  }
}

export function selectKey(select: Select, argumentKey: ArgumentKey = flatArgumentKey): string {
  const { head, relations, conditions, negations } = select;
  return tagged(
    "select",
    listKey(head.map(argumentKey)),
    listKey(relations.map((relation) => relationKey(relation, argumentKey))),
    listKey(conditions.map((condition) => flatConditionKey(condition, argumentKey))),
    listKey(negations.map((bodies) => listKey(bodies.map((body) => selectKey(body, argumentKey))))),
  );
}
