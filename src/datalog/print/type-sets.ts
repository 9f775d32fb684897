/** Sets of types by their content, each sorted once and known by a short key: rules about any Resource name the same large set over and over. */

export interface TypeSet {
  /** Sorted; `undefined` for any type. */
  readonly types: readonly string[] | undefined;
  /** The same for equal sets, and for no other. */
  readonly key: string;
}

export interface TypeSets {
  of(types: ReadonlySet<string> | undefined): TypeSet;
  /** The set, one type at a time. */
  singles(set: TypeSet): readonly TypeSet[];
}

export function createTypeSets(): TypeSets {
  const any: TypeSet = { types: undefined, key: "" };
  const byIdentity = new Map<ReadonlySet<string>, TypeSet>();
  const byContent = new Map<string, TypeSet>();
  const intern = (types: readonly string[]): TypeSet => {
    const content = types.join("\n");
    const known = byContent.get(content) ?? { types, key: `#${byContent.size}` };
    byContent.set(content, known);
    return known;
  };
  return {
    of(types) {
      if (types === undefined) return any;
      const known = byIdentity.get(types) ?? intern([...types].sort());
      byIdentity.set(types, known);
      return known;
    },
    singles: (set) => set.types?.map((type) => intern([type])) ?? [set],
  };
}
