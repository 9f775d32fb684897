/**
 * Conditions of OpenFGA and caveats of SpiceDB have no equivalent in Polar. A relationship with one is left out, so that
 * nobody gets access by it. Where a relation only takes access away, it is kept without its condition, for the same
 * reason. An exclusion that depends on what is left out admits nobody.
 */
import {
  directSubjects,
  type Expression,
  expressionsIn,
  relationKey,
  type RelationModel,
  type RelationSource,
  type Untranslated,
} from "./relation-model.ts";

/** Each place where a relation admits a subject only under a condition, and what becomes of its relationships. */
export function conditionsOf({ model, conditionWord: word }: RelationSource): Untranslated[] {
  const kept = onlySubtracted(model);
  const effectOn = (key: string): string =>
    kept.has(key)
      ? "since only exclusions ask for the relation, its relationships count always, also if an application asks for it"
      : "its relationships are left out";
  return model.types.flatMap((type) =>
    type.relations.flatMap(({ name, expression }) =>
      directSubjects(expression).flatMap(({ condition, place }) =>
        condition === undefined
          ? []
          : [
              {
                place,
                message: `${word} \`${condition}\` of \`${name}\` of \`${type.name}\`: ${effectOn(relationKey(type.name, name))}`,
              },
            ],
      ),
    ),
  );
}

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

/** The keys of relations that nothing but exclusions ask for. */
export function onlySubtracted(model: RelationModel): Set<string> {
  const subtracted = subtractedKeys(model);
  const keysIn = keyReader(model);
  const otherwise = new Set<string>();
  const visit = (type: string, owner: string, expression: Expression, isSubtracted: boolean): void => {
    if (expression.kind === "exclusion") {
      visit(type, owner, expression.base, isSubtracted);
      visit(type, owner, expression.subtracted, !isSubtracted);
    } else if ("operands" in expression) {
      for (const operand of expression.operands) visit(type, owner, operand, isSubtracted);
    } else if (!isSubtracted || subtracted.has(owner) || expression.kind === "arrow") {
      for (const key of keysIn(type, expression)) otherwise.add(key);
    }
  };
  for (const { name: type, relations } of model.types) {
    for (const { name, expression } of relations) {
      const owner = relationKey(type, name);
      visit(type, owner, expression, false);
      // The relation itself may be asked for, and its own relationships are the exception there.
      if (hasSubtractedSubjects(expression)) otherwise.add(owner);
    }
  }
  return new Set([...subtracted].filter((key) => !otherwise.has(key)));
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
