/**
 * The names that a policy has, for the search of the most similar one. They are collected once for each policy: one
 * with thousands of types has thousands of rules, and each type has its own names.
 */
import { LRUCache } from "lru-cache";
import { ArgumentIndex } from "../datalog/ir/argument-index.ts";
import { argumentPattern, predicateKey, programCalls, splitKey } from "../datalog/ir/program.ts";
import type { DeclaredName } from "../polar/policy.ts";
import { suggestion } from "../util/suggestion.ts";
import type { ActivePolicy } from "./active-policy.ts";

/** Names of one kind, among which a similar one is searched. */
export interface NameSet {
  /** Identifies the set within its policy. */
  readonly key: string;
  readonly names: ReadonlySet<string>;
}

/** A call of a rule, or its head, that has a name. `types` are those of the value that has it; undefined for any. */
interface NameInRule {
  readonly name: string;
  readonly types: ReadonlySet<string> | undefined;
}

type NameKind = DeclaredName["kind"];

const kinds: ReadonlyMap<string, NameKind> = new Map([
  ["allow", "permission"],
  ["has_permission", "permission"],
  ["has_role", "role"],
  ["has_relation", "relation"],
]);

/** What the second argument of a predicate names; undefined if it is no name. */
export function nameKind(predicate: string): NameKind | undefined {
  return kinds.get(predicate);
}

/**
 * The position of the argument whose type declares the name: the first one in `has_relation`, otherwise the third one,
 * which global roles and permissions lack.
 */
export function ownerOf(predicate: string): number {
  return predicate === "has_relation" ? 0 : 2;
}

const knownOf = new WeakMap<ActivePolicy, KnownNames>();

export function knownNames(active: ActivePolicy): KnownNames {
  return knownOf.getOrInsertComputed(active, () => new KnownNames(active));
}

const builtIn: readonly string[] = ["String", "Integer", "Boolean"];

/** Applications repeat their mistakes, and a search can take much longer than the answer. */
const searchesKept = 100;

export class KnownNames {
  /** The numbers of arguments of each predicate. */
  readonly arities: ReadonlyMap<string, readonly number[]>;
  readonly predicates: NameSet;
  readonly types: NameSet;
  readonly #active: ActivePolicy;
  readonly #sets = new Map<string, NameSet>();
  readonly #similar = new LRUCache<string, { readonly name: string | undefined }>({ max: searchesKept });
  #inRules: ReadonlyMap<string, ArgumentIndex<NameInRule>> | undefined;

  constructor(active: ActivePolicy) {
    const { program, factTypes, policy, types } = active;
    this.#active = active;
    const keys = new Set([...program.heads.keys(), ...factTypes.map((fact) => fact.predicate)]);
    const arities = new Map<string, number[]>();
    for (const [name, arity] of [...keys].map(splitKey)) arities.getOrInsertComputed(name, () => []).push(arity);
    this.arities = arities;
    this.predicates = { key: "predicate", names: new Set(arities.keys()) };
    this.types = { key: "type", names: new Set([...policy.types.keys(), ...types, ...builtIn]) };
  }

  /** The actions, roles or relations that a predicate may name with values of a type, or of all types. */
  namesOf(kind: NameKind, predicate: string, arity: number, owner: string | undefined): NameSet {
    const key = `${predicateKey(predicate, arity)} ${owner ?? ""}`;
    return this.#sets.getOrInsertComputed(key, () => {
      const all = predicate === "allow" && takesAnyAction(this.#active, arity) ? new Set(kinds.values()) : [kind];
      const names = [...all].flatMap((each) => [
        ...declaredNames(each, owner, arity, this.#active),
        ...this.#namesInRules(each, owner, arity),
      ]);
      return { key, names: new Set(names) };
    });
  }

  /** The known name that is most similar; undefined if none is similar enough. */
  mostSimilar(name: string, { key, names }: NameSet): string | undefined {
    const searched = `${key} ${name}`;
    const earlier = this.#similar.get(searched);
    if (earlier !== undefined) return earlier.name;
    const found = suggestion(name, names);
    this.#similar.set(searched, { name: found });
    return found;
  }

  #namesInRules(kind: NameKind, owner: string | undefined, arity: number): string[] {
    this.#inRules ??= indexNames(this.#active);
    const index = this.#inRules.get(indexKey(kind, arity));
    const types = owner === undefined ? undefined : new Set([owner]);
    return (index?.candidates([{ types, id: undefined }]) ?? []).flatMap((found) =>
      owner === undefined || !found.types || found.types.has(owner) ? [found.name] : [],
    );
  }
}

/** The names in rules by their kind and number of arguments, then by the type of the value that has them. */
function indexNames({ program }: ActivePolicy): ReadonlyMap<string, ArgumentIndex<NameInRule>> {
  const indexes = new Map<string, ArgumentIndex<NameInRule>>();
  for (const { predicate, head, body, types } of program.rules) {
    const calls = [{ predicate, args: head }, ...programCalls(body).map(({ call }) => call)];
    for (const { predicate: key, args } of calls) {
      const [called, arity] = splitKey(key);
      const [kind, name, owned] = [kinds.get(called), args[1], args[ownerOf(called)]];
      if (kind === undefined || name?.kind !== "const") continue;
      const found = { name: name.value.id, types: owned && argumentPattern(owned, types).types };
      const index = indexes.getOrInsertComputed(indexKey(kind, arity), () => new ArgumentIndex());
      index.add(found, [{ types: found.types, id: undefined }]);
    }
  }
  return indexes;
}

function indexKey(kind: NameKind, arity: number): string {
  return `${kind}/${arity}`;
}

/** Whether an own `allow` rule may ask for roles and relations with the name of the action, as imported policies do. */
function takesAnyAction({ program }: ActivePolicy, arity: number): boolean {
  const allow = predicateKey("allow", arity);
  return program.rules.some(
    ({ predicate, head, implicit }) => predicate === allow && !implicit && head[1]?.kind !== "const",
  );
}

/** Whether the type has the name. Most questions name what is declared, which needs no search. */
export function isDeclared(kind: NameKind, name: string, owner: string, arity: number, active: ActivePolicy): boolean {
  return declaredNames(kind, owner, arity, active).includes(name);
}

/** The names of one type, or of all types if `owner` is undefined. */
function declaredNames(
  kind: NameKind,
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
