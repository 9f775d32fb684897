/** Names in a question that the policy does not have, each with the nearest one that it has: nothing but a slip tells them apart from a denial. */
import { argumentOf } from "../datalog/fact-types.ts";
import { callsOf, predicateKey, type ProgramRule, splitKey } from "../datalog/program.ts";
import type { DeclaredName } from "../polar/policy.ts";
import { quote } from "../polar/report.ts";
import { suggestion } from "../polar/suggest.ts";
import type { ActivePolicy } from "./active-policy.ts";

export interface AskedCall {
  readonly predicate: string;
  /** `id` where the question says which value. */
  readonly args: readonly { readonly type: string; readonly id?: string }[];
}

/** A sentence for each of them. */
export function unknownNames(call: AskedCall, active: ActivePolicy): string[] {
  const types = [...new Set(call.args.map(({ type }) => type))];
  return [
    ...unknownPredicate(call, active),
    ...types.flatMap((type) => unknownType(type, active)),
    ...unknownName(call, active),
  ];
}

function unknownPredicate({ predicate, args }: AskedCall, { program, factTypes }: ActivePolicy): string[] {
  const keys = new Set([...program.heads.keys(), ...factTypes.map((fact) => fact.predicate)]);
  if (keys.has(predicateKey(predicate, args.length))) return [];
  const arities = Map.groupBy([...keys].map(splitKey), ([name]) => name);
  const known = arities.get(predicate)?.map(([, arity]) => arity) ?? [];
  if (known.length === 0)
    return [`the policy has no predicate ${quote(predicate)}${didYouMean(predicate, arities.keys())}`];
  return [
    `${quote(predicate)} has another number of arguments in the policy: ${known.toSorted((one, other) => one - other).join(" or ")}`,
  ];
}

const builtIn: readonly string[] = ["String", "Integer", "Boolean"];

function unknownType(type: string, { policy, types }: ActivePolicy): string[] {
  const known = new Set([...policy.types.keys(), ...types, ...builtIn]);
  if (known.has(type)) return [];
  if (type === "Actor" || type === "Resource")
    return [`no value is of the type ${quote(type)} itself: name one below it`];
  return [`the policy has no type ${quote(type)}${didYouMean(type, known)}`];
}

const kinds: ReadonlyMap<string, DeclaredName["kind"]> = new Map([
  ["allow", "permission"],
  ["has_permission", "permission"],
  ["has_role", "role"],
  ["has_relation", "relation"],
]);

/** An action, a role or a relation that neither the block of the type declares nor a rule names. */
function unknownName({ predicate, args }: AskedCall, active: ActivePolicy): string[] {
  const kind = kinds.get(predicate);
  const name = args[1];
  if (kind === undefined || name?.type !== "String" || name.id === undefined || args.length > 3) return [];
  const owner = args[ownerOf(predicate)]?.type;
  const isKnownType = owner !== undefined && active.types.has(owner);
  const known = new Set([
    ...declaredNames(kind, isKnownType ? owner : undefined, args.length, active),
    ...active.program.rules.flatMap((rule) => namesIn(rule, kind, isKnownType ? owner : undefined, args.length)),
  ]);
  if (known.has(name.id)) return [];
  const where = isKnownType ? ` of ${quote(owner)}` : "";
  return [`the policy has no ${kind} ${quote(name.id)}${where}${didYouMean(name.id, known)}`];
}

/** `has_relation` begins with what has it, the others end with what they are for, if it is not the whole system. */
function ownerOf(predicate: string): number {
  return predicate === "has_relation" ? 0 : 2;
}

/** Of all types where none is said. */
function declaredNames(
  kind: DeclaredName["kind"],
  owner: string | undefined,
  arity: number,
  { policy }: ActivePolicy,
): readonly string[] {
  if (arity === 2)
    return policy.names.flatMap((one) => (one.owner === "global" && one.kind === kind ? [one.name] : []));
  const types = owner === undefined ? [...policy.types.values()] : [policy.types.get(owner)];
  return types.flatMap((type) => {
    if (!type) return [];
    if (kind === "relation") return [...type.relations.keys()];
    return kind === "role" ? type.roles : type.permissions;
  });
}

function namesIn(
  { predicate, head, body, types }: ProgramRule,
  kind: DeclaredName["kind"],
  owner: string | undefined,
  arity: number,
): string[] {
  const calls = [{ predicate, args: head }, ...callsOf(body).map(({ call }) => call)];
  return calls.flatMap(({ predicate: key, args }) => {
    const [called, count] = splitKey(key);
    const [, name] = args;
    if (kinds.get(called) !== kind || count !== arity || name?.kind !== "const") return [];
    const owned = args[ownerOf(called)];
    const allowed = owned && owner !== undefined ? argumentOf(owned, types).types : undefined;
    return !allowed || owner === undefined || allowed.has(owner) ? [name.value.id] : [];
  });
}

function didYouMean(name: string, known: Iterable<string>): string {
  const found = suggestion(name, known);
  return found === undefined ? "" : `: did you mean ${quote(found)}?`;
}
