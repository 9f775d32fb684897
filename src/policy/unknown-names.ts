/**
 * Names in a question that the policy does not have, each with the most similar name that it has. Otherwise a typing
 * mistake looks like a denial.
 */
import { typeListKey } from "../datalog/ir/key.ts";
import {
  argumentPattern,
  literalVariables,
  predicateKey,
  type ProgramCall,
  programCalls,
  type ProgramRule,
  splitKey,
} from "../datalog/ir/program.ts";
import { isTypeVariable } from "../datalog/ir/signature.ts";
import type { DeclaredName } from "../polar/policy.ts";
import { quote } from "../polar/report.ts";
import { suggestion } from "../util/suggestion.ts";
import type { ActivePolicy } from "./active-policy.ts";

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

/** One sentence for each unknown name. */
export function unknownNames(call: AskedCall, active: ActivePolicy): string[] {
  const known = knownNames(active);
  const hasUnknownType = call.args.some(({ type }) => type !== undefined && !known.types.has(type));
  const types = hasUnknownType ? call.args.flatMap((_, position) => unknownType(call, position, active, known)) : [];
  return [...unknownPredicate(call, known), ...new Set(types), ...unknownName(call, active, known)];
}

/** Facts of a write beyond these are not looked at, so that a bulk load costs nothing. */
const factsMax = 1000;
const factHintsMax = 5;

/** One sentence for each name in stored facts that no rule can mean: such a fact has no effect. */
export function unknownNamesInFacts(facts: readonly AskedCall[], active: ActivePolicy): readonly string[] {
  const found = new Set<string>();
  const uses = new Map<string, NameUse>();
  for (const fact of facts.slice(0, factsMax)) {
    const names = unknownNames(fact, active);
    if (names.length === 0) continue;
    const types = `${fact.predicate} ${typeListKey(fact.args.map(({ type }) => type))}`;
    const use = uses.getOrInsertComputed(types, () => nameUse(fact, active));
    if (use === "taken" || (use === "passed" && isNameOfOtherType(fact, active))) continue;
    for (const name of names) found.add(name);
    if (found.size >= factHintsMax) break;
  }
  return [...found];
}

/**
 * What rules do with the name of a fact where they have a variable: `taken` means anything, as where roles are data;
 * `passed` that it only gets to another value, as by `role if role on "parent"`.
 */
type NameUse = "none" | "passed" | "taken";

function nameUse({ predicate, args }: AskedCall, { program }: ActivePolicy): NameUse {
  const key = predicateKey(predicate, args.length);
  let use: NameUse = "none";
  for (const rule of program.rules)
    for (const { call } of programCalls(rule.body)) {
      const name = call.args[1];
      if (call.predicate !== key || name === undefined || name.kind === "const") continue;
      const fits = call.args.every((term, position) => {
        const allowed = argumentPattern(term, rule.types).types;
        const type = args[position]?.type;
        return allowed === undefined || type === undefined || allowed.has(type);
      });
      if (fits && !passesOn(rule, call)) return "taken";
      if (fits) use = "passed";
    }
  return use;
}

/** Whether the name of the call is that of the head, and has no other use. */
function passesOn({ predicate, head, body }: ProgramRule, call: ProgramCall): boolean {
  const [name, given] = [call.args[1], head[1]];
  if (predicate !== call.predicate || name?.kind !== "var" || given?.kind !== "var") return false;
  const uses = body.filter(({ kind }) => kind !== "type").flatMap(literalVariables);
  return given.index === name.index && uses.filter((index) => index === name.index).length === 1;
}

/** Whether a rule means the name with values of another type. */
function isNameOfOtherType({ predicate, args }: AskedCall, active: ActivePolicy): boolean {
  const owner = ownerOf(predicate);
  const ofAny = args.map(({ id, type }, position) => (position === owner ? { id } : { id, type }));
  return unknownName({ predicate, args: ofAny }, active, knownNames(active)).length === 0;
}

/** Most questions have only known names: for them there is little work if these sets are made once for each policy. */
interface KnownNames {
  /** Keys, such as `has_role/3`. */
  readonly predicates: ReadonlySet<string>;
  readonly types: ReadonlySet<string>;
  /** The actions, roles or relations by their kind, the type that has them and the number of arguments; filled on demand. */
  readonly names: Map<string, ReadonlySet<string>>;
}

const knownOf = new WeakMap<ActivePolicy, KnownNames>();

function knownNames(active: ActivePolicy): KnownNames {
  return knownOf.getOrInsertComputed(active, ({ program, factTypes, policy, types }) => ({
    predicates: new Set([...program.heads.keys(), ...factTypes.map((fact) => fact.predicate)]),
    types: new Set([...policy.types.keys(), ...types, ...builtIn]),
    names: new Map(),
  }));
}

function unknownPredicate({ predicate, args }: AskedCall, { predicates }: KnownNames): string[] {
  if (predicates.has(predicateKey(predicate, args.length))) return [];
  const arities = Map.groupBy([...predicates].map(splitKey), ([name]) => name);
  const known = arities.get(predicate)?.map(([, arity]) => arity) ?? [];
  if (known.length === 0)
    return [`the policy has no predicate ${quote(predicate)}${didYouMean(predicate, arities.keys())}`];
  const sorted = known.toSorted((one, other) => one - other).join(" or ");
  return [`${quote(predicate)} has another number of arguments in the policy: ${sorted}`];
}

const builtIn: readonly string[] = ["String", "Integer", "Boolean"];

/** If the rules accept any type, an unknown type is reported only if it is similar to a known one. */
function unknownType(call: AskedCall, position: number, active: ActivePolicy, { types }: KnownNames): string[] {
  const type = call.args[position]?.type;
  if (type === undefined || types.has(type)) return [];
  if (type === "Actor" || type === "Resource")
    return [`no value has the type ${quote(type)} itself: use a concrete type`];
  const hint = didYouMean(type, types);
  return hint === "" && takesAny(call, position, active) ? [] : [`the policy has no type ${quote(type)}${hint}`];
}

function takesAny({ predicate, args }: AskedCall, position: number, { signatures }: ActivePolicy): boolean {
  const anything = args.map(() => ({ types: undefined, id: undefined }));
  const found = signatures.get(predicateKey(predicate, args.length))?.candidates(() => anything) ?? [];
  return found.some((types) => types[position] === undefined || isTypeVariable(types[position]));
}

const kinds: ReadonlyMap<string, DeclaredName["kind"]> = new Map([
  ["allow", "permission"],
  ["has_permission", "permission"],
  ["has_role", "role"],
  ["has_relation", "relation"],
]);

/** An action, a role or a relation that neither the block of the type declares nor a rule mentions. */
function unknownName({ predicate, args }: AskedCall, active: ActivePolicy, { names }: KnownNames): string[] {
  const kind = kinds.get(predicate);
  const name = args[1];
  if (kind === undefined || name?.type !== "String" || name.id === undefined || args.length > 3) return [];
  const asked = args[ownerOf(predicate)]?.type;
  const owner = asked !== undefined && active.types.has(asked) ? asked : undefined;
  const known = names.getOrInsertComputed(`${predicate}/${args.length} ${owner ?? ""}`, () => {
    const all = predicate === "allow" && takesAnyAction(active, args.length) ? new Set(kinds.values()) : [kind];
    return new Set(
      [...all].flatMap((each) => [
        ...declaredNames(each, owner, args.length, active),
        ...active.program.rules.flatMap((rule) => namesIn(rule, each, owner, args.length)),
      ]),
    );
  });
  // If the policy mentions no such name, all of them are data.
  if (known.size === 0 || known.has(name.id)) return [];
  const where = owner === undefined ? "" : ` of ${quote(owner)}`;
  return [`the policy has no ${kind} ${quote(name.id)}${where}${didYouMean(name.id, known)}`];
}

/** Whether an own `allow` rule may ask for roles and relations with the name of the action, as imported policies do. */
function takesAnyAction({ program }: ActivePolicy, arity: number): boolean {
  const allow = predicateKey("allow", arity);
  return program.rules.some(
    ({ predicate, head, implicit }) => predicate === allow && !implicit && head[1]?.kind !== "const",
  );
}

/**
 * The position of the argument whose type declares the name: the first one in `has_relation`, otherwise the third one,
 * which global roles and permissions lack.
 */
function ownerOf(predicate: string): number {
  return predicate === "has_relation" ? 0 : 2;
}

/** The names of one type, or of all types if `owner` is undefined. */
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
  const calls = [{ predicate, args: head }, ...programCalls(body).map(({ call }) => call)];
  return calls.flatMap(({ predicate: key, args }) => {
    const [called, count] = splitKey(key);
    const [, name] = args;
    if (kinds.get(called) !== kind || count !== arity || name?.kind !== "const") return [];
    const owned = args[ownerOf(called)];
    const allowed = owned && argumentPattern(owned, types).types;
    return owner === undefined || !allowed || allowed.has(owner) ? [name.value.id] : [];
  });
}

function didYouMean(name: string, known: Iterable<string>): string {
  const found = suggestion(name, known);
  return found === undefined ? "" : `: did you mean ${quote(found)}?`;
}
