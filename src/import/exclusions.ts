/** What exclusions take away: the relations that they depend on, and those that may be incomplete. */
import { directSubjects, type Expression, expressionsIn, relationKey, type RelationModel } from "./relation-model.ts";

/**
 * Relations that may lack subjects. Exclusions that depend on them would exclude too few, so they admit nobody, and
 * their relations lack subjects too.
 */
export class Incomplete {
  readonly #lacking: ReadonlySet<string>;
  readonly #keys: Set<string>;
  readonly #keysIn: (type: string, part: Expression) => string[];

  /** `lacking` has the keys of relations whose own relationships or rules are left out. */
  constructor(model: RelationModel, lacking: ReadonlySet<string>) {
    this.#lacking = lacking;
    this.#keysIn = keyReader(model);
    const readers = new Map<string, string[]>();
    for (const { name: type, relations } of model.types)
      for (const { name, expression } of relations)
        for (const key of expressionsIn(expression).flatMap((part) => this.#keysIn(type, part)))
          readers.getOrInsertComputed(key, () => []).push(relationKey(type, name));
    this.#keys = new Set(lacking);
    // A set visits what is added meanwhile.
    for (const key of this.#keys) for (const reader of readers.get(key) ?? []) this.#keys.add(reader);
  }

  has(type: string, relation: string): boolean {
    return this.#keys.has(relationKey(type, relation));
  }

  /** Whether the part of a relation's expression admits nobody because what it takes away may be too little. */
  closes(type: string, relation: string, part: Expression): boolean {
    if (part.kind === "arrow") return part.all && this.#keys.has(relationKey(type, part.through));
    if (part.kind !== "exclusion") return false;
    const ownLacks = this.#lacking.has(relationKey(type, relation));
    return expressionsIn(part.subtracted).some(
      (each) => (each.kind === "direct" && ownLacks) || this.#keysIn(type, each).some((key) => this.#keys.has(key)),
    );
  }
}

/** The keys of relations that an exclusion takes away, or counts on, directly or through others. */
export function subtractedKeys(model: RelationModel): Set<string> {
  const keysIn = keyReader(model);
  const relations = new Map(
    model.types.flatMap(({ name: type, relations: all }) =>
      all.map(({ name, expression }) => [relationKey(type, name), { type, expression }] as const),
    ),
  );
  const keys = new Set<string>();
  const add = (type: string, expression: Expression): void => {
    for (const key of expressionsIn(expression).flatMap((part) => keysIn(type, part))) keys.add(key);
  };
  for (const [owner, { type, expression }] of relations) {
    if (hasSubtractedSubjects(expression)) keys.add(owner);
    for (const part of expressionsIn(expression)) {
      if (part.kind === "exclusion") add(type, part.subtracted);
      // "For all objects": an object that is left out does not count any more.
      if (part.kind === "arrow" && part.all) keys.add(relationKey(type, part.through));
    }
  }
  // A set visits what is added meanwhile.
  for (const key of keys) {
    const found = relations.get(key);
    if (found !== undefined) add(found.type, found.expression);
  }
  return keys;
}

/** Whether an exclusion takes away relationships of the relation itself, as `viewer but not [user]` does. */
function hasSubtractedSubjects(expression: Expression): boolean {
  return expressionsIn(expression).some(
    (part) => part.kind === "exclusion" && directSubjects(part.subtracted).length > 0,
  );
}

/** Returns a function that tells which relations a part of an expression asks for. */
function keyReader({ types }: RelationModel): (type: string, part: Expression) => string[] {
  const subjects = new Map(
    types.flatMap(({ name: type, relations }) =>
      relations.map(({ name, expression }) => [relationKey(type, name), directSubjects(expression)] as const),
    ),
  );
  return (type, part) => {
    if (part.kind === "computed") return [relationKey(type, part.relation)];
    if (part.kind === "direct")
      return part.subjects.flatMap(({ type: other, relation }) =>
        relation === undefined ? [] : [relationKey(other, relation)],
      );
    if (part.kind !== "arrow") return [];
    const through = relationKey(type, part.through);
    return [through, ...(subjects.get(through) ?? []).map((each) => relationKey(each.type, part.relation))];
  };
}
