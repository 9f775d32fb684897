/**
 * Names in a question that the policy does not have, each with the most similar name that it has. Otherwise a typing
 * mistake looks like a denial.
 */
import { predicateKey } from "../datalog/ir/program.ts";
import { isTypeVariable } from "../datalog/ir/signature.ts";
import { quote } from "../polar/report.ts";
import type { ActivePolicy } from "./active-policy.ts";
import { isDeclared, type KnownNames, knownNames, nameKind, type NameSet, ownerOf } from "./known-names.ts";

export interface AskedCall {
  readonly predicate: string;
  /** `id` is absent if the question does not give the value. */
  readonly args: readonly AskedArgument[];
}

/** `type` is absent if the question means values of any type, and `id` if it does not give the value. */
interface AskedArgument {
  readonly type?: string | undefined;
  readonly id?: string | undefined;
}

/** A name that the policy does not have. */
export interface UnknownName {
  /** What is unknown, without a similar name. */
  readonly text: string;
  /** The whole sentence; undefined if the name is not worth one. It searches a similar name, which is slow. */
  readonly sentence: () => string | undefined;
}

/** One sentence for each unknown name. */
export function unknownNames(call: AskedCall, active: ActivePolicy): string[] {
  const sentences = findUnknownNames(call, active).flatMap(({ sentence }) => sentence() ?? []);
  return [...new Set(sentences)];
}

/** The unknown names of the call, before a similar name is searched for any of them. */
export function findUnknownNames(call: AskedCall, active: ActivePolicy): UnknownName[] {
  const known = knownNames(active);
  const hasUnknownType = call.args.some(({ type }) => type !== undefined && !known.types.names.has(type));
  const types = hasUnknownType ? call.args.flatMap((_, position) => unknownType(call, position, active, known)) : [];
  return [...unknownPredicate(call, known), ...types, findUnknownName(call, active) ?? []].flat();
}

function unknownPredicate({ predicate, args }: AskedCall, known: KnownNames): UnknownName[] {
  const arities = known.arities.get(predicate);
  if (arities?.includes(args.length)) return [];
  if (arities === undefined)
    return [unknown(`the policy has no predicate ${quote(predicate)}`, predicate, known.predicates, known)];
  const sorted = arities.toSorted((one, other) => one - other).join(" or ");
  return [alwaysSaid(`${quote(predicate)} has another number of arguments in the policy: ${sorted}`)];
}

/** If the rules accept any type, an unknown type is reported only if it is similar to a known one. */
function unknownType(call: AskedCall, position: number, active: ActivePolicy, known: KnownNames): UnknownName[] {
  const type = call.args[position]?.type;
  if (type === undefined || known.types.names.has(type)) return [];
  if (type === "Actor" || type === "Resource")
    return [alwaysSaid(`no value has the type ${quote(type)} itself: use a concrete type`)];
  const found = unknown(`the policy has no type ${quote(type)}`, type, known.types, known);
  const isData = (): boolean => known.mostSimilar(type, known.types) === undefined && takesAny(call, position, active);
  return [{ ...found, sentence: () => (isData() ? undefined : found.sentence()) }];
}

function takesAny({ predicate, args }: AskedCall, position: number, { signatures }: ActivePolicy): boolean {
  const anything = args.map(() => ({ types: undefined, id: undefined }));
  const found = signatures.get(predicateKey(predicate, args.length))?.candidates(() => anything) ?? [];
  return found.some((types) => types[position] === undefined || isTypeVariable(types[position]));
}

/** An action, a role or a relation that neither the block of the type declares nor a rule mentions. */
export function findUnknownName({ predicate, args }: AskedCall, active: ActivePolicy): UnknownName | undefined {
  const kind = nameKind(predicate);
  const name = args[1];
  if (kind === undefined || name?.type !== "String" || name.id === undefined || args.length > 3) return undefined;
  const asked = args[ownerOf(predicate)]?.type;
  const owner = asked !== undefined && active.types.has(asked) ? asked : undefined;
  if (owner !== undefined && isDeclared(kind, name.id, owner, args.length, active)) return undefined;
  const known = knownNames(active);
  const set = known.namesOf(kind, predicate, args.length, owner);
  // If the policy mentions no such name, all of them are data.
  if (set.names.size === 0 || set.names.has(name.id)) return undefined;
  const where = owner === undefined ? "" : ` of ${quote(owner)}`;
  return unknown(`the policy has no ${kind} ${quote(name.id)}${where}`, name.id, set, known);
}

function unknown(text: string, name: string, set: NameSet, known: KnownNames): UnknownName {
  const sentence = (): string => {
    const similar = known.mostSimilar(name, set);
    return similar === undefined ? text : `${text}: did you mean ${quote(similar)}?`;
  };
  return { text, sentence };
}

function alwaysSaid(text: string): UnknownName {
  return { text, sentence: () => text };
}
