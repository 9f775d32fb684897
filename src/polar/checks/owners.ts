/**
 * The owners of names: a type, or a set of types that a rule can ask for (all actors, all resources, any), with the
 * types of its values and the declared names. They are computed once per policy and without recursion, because a chain
 * of `extends` may be as long as the text allows.
 */
import type { NameKind, TypeEntry } from "../declarations.ts";
import { quote } from "../report.ts";
import { type Context, primitiveTypes } from "./context.ts";

export interface Owner {
  /** The beginning of a message, `` `Doc` declares no ``; the kind of the name follows. */
  readonly declaresNo: string;
  readonly types: ReadonlySet<string>;
  /** `undefined` if some names are unknown. */
  readonly names: Names | undefined;
}

type Names = Readonly<Record<NameKind, ReadonlySet<string>>>;

/** A type that a rule requires of a variable. `exact` excludes its subtypes. */
export interface SaidType {
  readonly type: string;
  readonly exact: boolean;
}

/** A bound on the types and names that are copied to supertypes: more than policies need, and fast enough. */
const passedOnMax = 1_000_000;

export class Owners {
  readonly global: Owner;
  readonly #any: Owner;
  readonly #subtree: ReadonlyMap<string, Owner>;
  readonly #exact = new Map<string, Owner>();
  readonly #declarations: Context["declarations"];

  /** `undefined` if inheritance is unknown because of errors, or too large. */
  static of({ declarations, limits }: Context): Owners | undefined {
    const types = [...declarations.types.values()];
    const isKnown = !declarations.tooMany && declarations.cyclic.size === 0;
    if (!isKnown || types.some(({ height }) => height > limits.depthMax)) return undefined;
    const subtree = subtrees(types);
    return subtree && new Owners(declarations, subtree);
  }

  private constructor(declarations: Context["declarations"], subtree: ReadonlyMap<string, Owner>) {
    const types = [...declarations.types.values()];
    this.#declarations = declarations;
    this.#any = union("no block declares a", types);
    const actors = union(
      "no actor declares a",
      types.filter(({ kind }) => kind === "actor"),
    );
    this.#subtree = new Map([...subtree, ["Actor", actors], ["Resource", this.#any]]);
    const names = namesOf([...declarations.global.values()]);
    this.global = {
      declaresNo: "the `global` block declares no",
      types: new Set(["global"]),
      names: declarations.globalIncomplete ? undefined : names,
    };
  }

  /** The owner with the fewest types, for a value that has all of these; `undefined` if no type with names fits all. */
  narrowest(said: readonly SaidType[]): Owner | undefined {
    if (said.some(({ type }) => primitiveTypes.has(type))) return undefined;
    const [first = this.#any, ...others] = said.map((one) => this.#of(one));
    const found = others.reduce((best, one) => (one.types.size < best.types.size ? one : best), first);
    return [first, ...others].every((one) => one === found || !one.types.isDisjointFrom(found.types))
      ? found
      : undefined;
  }

  /** Whether a value may belong to both owners. */
  overlap(one: Owner, other: Owner): boolean {
    // A type without a block belongs to no owner except the one for any type.
    return one === this.#any || other === this.#any || !one.types.isDisjointFrom(other.types);
  }

  #of({ type, exact }: SaidType): Owner {
    const entry = this.#declarations.types.get(type);
    const known = exact && entry ? undefined : this.#subtree.get(type);
    return known ?? this.#exact.getOrInsertComputed(type, () => single(type, entry));
  }
}

function single(type: string, entry: TypeEntry | undefined): Owner {
  const names = entry && !entry.incomplete ? namesOf([...entry.names.values()]) : undefined;
  return { declaresNo: `${quote(type)} declares no`, types: new Set([type]), names };
}

function union(declaresNo: string, types: readonly TypeEntry[]): Owner {
  const names = namesOf(types.flatMap(({ own }) => [...own.values()]));
  return {
    declaresNo,
    types: new Set(types.map(({ name }) => name)),
    names: types.some(({ incomplete }) => incomplete) ? undefined : names,
  };
}

/** The owner of each type with its subtypes, or `undefined` if that is too much work. */
function subtrees(types: readonly TypeEntry[]): ReadonlyMap<string, Owner> | undefined {
  const open = new Map(
    types.map(({ name, names, incomplete }) => {
      const known: Subtree = { types: new Set([name]), names: namesOf([...names.values()]), incomplete };
      return [name, known];
    }),
  );
  let passedOn = 0;
  // A subtype always has a greater height than its supertypes.
  for (const { name, supertypes } of types.toSorted((one, other) => other.height - one.height)) {
    const from = open.get(name);
    for (const { text } of supertypes) {
      const to = open.get(text);
      if (!from || !to) continue;
      passedOn += from.types.size + kinds.reduce((sum, kind) => sum + from.names[kind].size, 0);
      if (passedOn > passedOnMax) return undefined;
      for (const type of from.types) to.types.add(type);
      for (const kind of kinds) for (const declared of from.names[kind]) to.names[kind].add(declared);
      to.incomplete ||= from.incomplete;
    }
  }
  return new Map(
    [...open].map(([name, { types: found, names, incomplete }]) => [
      name,
      { declaresNo: `${quote(name)} declares no`, types: found, names: incomplete ? undefined : names },
    ]),
  );
}

interface Subtree {
  readonly types: Set<string>;
  readonly names: Readonly<Record<NameKind, Set<string>>>;
  incomplete: boolean;
}

export const kinds: readonly NameKind[] = ["role", "permission", "relation"];

function namesOf(declared: readonly { readonly name: string; readonly kind: NameKind }[]) {
  const ofKind = (wanted: NameKind) => new Set(declared.flatMap(({ name, kind }) => (kind === wanted ? [name] : [])));
  return { role: ofKind("role"), permission: ofKind("permission"), relation: ofKind("relation") };
}
