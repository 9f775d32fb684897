/**
 * Inference of typings, and from them of signatures. A typing has types of the variables of a conjunction for which
 * every positive call is possible.
 *
 * A typing has a concrete type for each variable, or `undefined` for any type. Meanwhile, variables of one unknown type
 * share a type variable (`?3`): after `alike(x, x)`, inferring the type of one argument infers that of the other.
 */
import { must } from "../../util/assert.ts";
import type { ArgumentPattern } from "../ir/argument-index.ts";
import { typeListKey } from "../ir/key.ts";
import {
  argumentPattern,
  type DatalogProgram,
  type ProgramCall,
  type ProgramLiteral,
  type ProgramTerm,
  termVariables,
  untilStable,
  type VariableTypes,
} from "../ir/program.ts";
import {
  isTypeVariable,
  type Signature,
  SignatureList,
  type Signatures,
  termType,
  type TypeName,
  typeVariable,
} from "../ir/signature.ts";
import type { FactType } from "./fact-types.ts";
import { budget } from "./too-large.ts";

/**
 * `known` fixes the types of some variables. `spend` receives the number of intermediate typings, and may throw. The
 * result may contain type variables: see `withoutTypeVariables`.
 */
export function inferTypings(
  allowed: VariableTypes,
  body: readonly ProgramLiteral[],
  signatures: Signatures,
  spend: (typings: number) => void,
  known: readonly TypeName[] = [],
): (readonly TypeName[])[] {
  const start = allowed.map((_, variable) => known[variable]);
  if (start.some((type, variable) => type !== undefined && !permits(allowed[variable], type))) return [];
  let partial: TypeName[][] = [start];
  const pending = body.filter((literal) => literal.kind === "call");
  while (pending.length > 0) {
    const typed = pending.map((call) => typedArguments(call, partial[0] ?? []));
    const call = must(pending.splice(typed.indexOf(Math.max(...typed)), 1)[0]);
    const next: TypeName[][] = [];
    for (const typing of partial) {
      const extended = extendByCall(typing, call, allowed, signatures);
      spend(extended.length);
      next.push(...extended);
    }
    partial = distinct(next);
    if (partial.length === 0) return [];
  }
  return distinct(partial.flatMap((typing) => enumerateRest(typing, allowed, spend)));
}

/** The typings with `undefined`, which means any type, instead of type variables. */
export function withoutTypeVariables(found: readonly (readonly TypeName[])[]): readonly (readonly TypeName[])[] {
  if (!found.some((typing) => typing.some(isTypeVariable))) return found;
  return distinct(found.map((typing) => typing.map((type) => (isTypeVariable(type) ? undefined : type))));
}

/** The types of a head's arguments. Arguments of one unknown type share a type variable. */
export function headSignature(head: readonly ProgramTerm[], typing: readonly TypeName[]): Signature {
  const types = head.map((term) =>
    term.kind === "var" ? (typing[term.index] ?? typeVariable(term.index)) : termType(term),
  );
  return types.map((type) => {
    if (!isTypeVariable(type)) return type;
    const first = types.indexOf(type);
    return types.lastIndexOf(type) === first ? undefined : typeVariable(first);
  });
}

/** How many arguments of the call have a known type. */
function typedArguments({ args }: ProgramCall, typing: readonly TypeName[]): number {
  return args.filter((arg) => arg.kind !== "var" || typing[arg.index] !== undefined).length;
}

function extendByCall(
  typing: readonly TypeName[],
  call: ProgramCall,
  allowed: VariableTypes,
  signatures: Signatures,
): TypeName[][] {
  const found: TypeName[][] = [];
  const known = (): ArgumentPattern[] =>
    call.args.map((arg) => {
      const type = arg.kind === "var" ? typing[arg.index] : undefined;
      return type === undefined || isTypeVariable(type)
        ? argumentPattern(arg, allowed)
        : { types: new Set([type]), id: undefined };
    });
  for (const signature of signatures.get(call.predicate)?.candidates(known) ?? []) {
    const next = [...typing];
    const fits = call.args.every((arg, position) => {
      const type = signature[position];
      if (type === undefined) return true;
      if (isTypeVariable(type)) return unify(arg, must(call.args[Number(type.slice(1))]), next, allowed);
      return arg.kind === "var" ? assign(arg.index, type, next, allowed) : type === termType(arg);
    });
    if (fits) found.push(next);
  }
  return found;
}

/** Gives the type to the variable and to all that share its type variable. False if one of them can't have it. */
function assign(variable: number, type: string, typing: TypeName[], allowed: VariableTypes): boolean {
  const present = typing[variable];
  if (present !== undefined && !isTypeVariable(present)) return present === type;
  const members = present === undefined ? [variable] : linked(present, typing);
  if (!members.every((member) => permits(allowed[member], type))) return false;
  for (const member of members) typing[member] = type;
  return true;
}

/** Makes two arguments have the same type, which may be unknown. False if they can't. */
function unify(one: ProgramTerm, other: ProgramTerm, typing: TypeName[], allowed: VariableTypes): boolean {
  const [type, otherType] = [concreteType(one, typing), concreteType(other, typing)];
  if (type !== undefined && otherType !== undefined) return type === otherType;
  if (other.kind === "var" && type !== undefined) return assign(other.index, type, typing, allowed);
  if (one.kind !== "var") return true;
  if (otherType !== undefined) return assign(one.index, otherType, typing, allowed);
  if (other.kind !== "var" || one.index === other.index) return true;
  const members = [one, other].flatMap(({ index }) => {
    const present = typing[index];
    return present === undefined ? [index] : linked(present, typing);
  });
  const link = typeVariable(Math.min(...members));
  for (const member of members) typing[member] = link;
  return true;
}

function concreteType(term: ProgramTerm, typing: readonly TypeName[]): TypeName {
  const type = term.kind === "var" ? typing[term.index] : termType(term);
  return isTypeVariable(type) ? undefined : type;
}

function linked(link: string, typing: readonly TypeName[]): number[] {
  return typing.flatMap((type, variable) => (type === link ? [variable] : []));
}

/** Enumerates the types that the rule allows for variables without a type from a call. */
function enumerateRest(
  typing: readonly TypeName[],
  allowed: VariableTypes,
  spend: (typings: number) => void,
): TypeName[][] {
  let complete: TypeName[][] = [[...typing]];
  allowed.forEach((types, variable) => {
    const present = typing[variable];
    if ((present !== undefined && !isTypeVariable(present)) || types === undefined) return;
    spend(complete.length * types.size);
    complete = complete.flatMap((partial) => {
      if (partial[variable] !== undefined && !isTypeVariable(partial[variable])) return [partial];
      return [...types].flatMap((type) => {
        const next = [...partial];
        return assign(variable, type, next, allowed) ? [next] : [];
      });
    });
  });
  return complete;
}

function permits(allowed: ReadonlySet<string> | undefined, type: string): boolean {
  return allowed === undefined || allowed.has(type);
}

function distinct<Row extends readonly TypeName[]>(rows: readonly Row[]): Row[] {
  const seen = new Map<string, Row>();
  for (const row of rows) seen.set(typeListKey(row), row);
  return [...seen.values()];
}

/**
 * The typings, and those with the types that the body requires inside an even number of negations. In `not not x
 * matches User`, the unknown value that represents all other values of any type has no named type, so it can't be a
 * `User`; the required types are tried too. `scope` are the body's own variables. `spend` receives the number of added
 * typings, and may throw.
 */
export function withDemandedTypes(
  found: readonly (readonly TypeName[])[],
  body: readonly ProgramLiteral[],
  scope: ReadonlySet<number>,
  spend: (typings: number) => void,
): readonly (readonly TypeName[])[] {
  const demanded = demandedTypes(body, 0).filter(([variable]) => scope.has(variable));
  return demanded.reduce((typings, [variable, types]) => {
    const isOpen = ({ [variable]: present }: readonly TypeName[]) => present === undefined || isTypeVariable(present);
    spend(typings.filter(isOpen).length * types.size);
    return typings.flatMap((typing) =>
      isOpen(typing) ? [typing, ...[...types].map((type) => withType(typing, variable, type))] : [typing],
    );
  }, found);
}

function demandedTypes(
  body: readonly ProgramLiteral[],
  depth: number,
): (readonly [variable: number, types: ReadonlySet<string>])[] {
  return body.flatMap((literal) => {
    if (literal.kind === "not") return demandedTypes(literal.body, depth + 1);
    if (literal.kind !== "type" || depth === 0 || depth % 2 === 1) return [];
    return termVariables(literal.term).map((variable) => [variable, literal.types] as const);
  });
}

/** Sets the type of the variable, and of all that share its type variable. */
function withType(typing: readonly TypeName[], variable: number, type: string): readonly TypeName[] {
  const link = typing[variable];
  const changed = typing.map((present) => (present !== undefined && present === link ? type : present));
  changed[variable] = type;
  return changed;
}

/**
 * The combinations of argument types that each predicate can hold: the least fixpoint over types, from those of storable
 * facts. Later passes never compile a rule for other types.
 */
export function inferSignatures(program: DatalogProgram, facts: readonly FactType[], typingsMax: number): Signatures {
  const spend = budget(typingsMax, "types");
  const signatures = new Map<string, SignatureList>();
  const seen = new Set<string>();
  const add = (predicate: string, signature: Signature): boolean => {
    const key = `${predicate} ${typeListKey(signature)}`;
    if (seen.has(key)) return false;
    seen.add(key);
    signatures.getOrInsertComputed(predicate, () => new SignatureList()).add(signature);
    return true;
  };
  for (const { predicate, types } of facts) add(predicate, types);
  untilStable(program, (rule) => {
    const typings = inferTypings(rule.types, rule.body, signatures, (count) => spend(count, rule.span));
    const added = typings.filter((typing) => add(rule.predicate, headSignature(rule.head, typing)));
    return added.length > 0;
  });
  return signatures;
}
