/** Decides by a relation model itself, in the plainest way: the least fixpoint over all objects, relations and users. */
import {
  type Expression,
  type ObjectId,
  relationKey,
  type RelationModel,
  type Relationship,
  type SubjectType,
} from "../../src/import/relation-model.ts";

export interface Situation {
  readonly model: RelationModel;
  readonly relationships: readonly Relationship[];
  readonly objects: readonly ObjectId[];
  readonly now: number;
  /** Whether the condition of a relationship holds. */
  readonly conditionHolds: (relationship: Relationship) => boolean;
}

/** Tells whether a subject has a relation to an object. */
export type Holds = (subject: ObjectId, relation: string, object: ObjectId) => boolean;

/** Exclusions take away what is certain before: what holds in every round is certain in the end. */
export function decide(situation: Situation): Holds {
  for (let known = new Set<string>(); ;) {
    const certain = fixpoint(situation, fixpoint(situation, known));
    if (certain.size === known.size)
      return (subject, relation, object) => certain.has(keyOf(subject, relation, object));
    known = certain;
  }
}

/** `excluded` decides what exclusions take away. */
function fixpoint(situation: Situation, excluded: ReadonlySet<string>): Set<string> {
  const { model, objects } = situation;
  const types = new Map(model.types.map((type) => [type.name, type]));
  const found = new Set<string>();
  for (let before = -1; before < found.size;) {
    before = found.size;
    for (const object of objects)
      for (const { name, expression } of types.get(object.type)?.relations ?? [])
        for (const subject of objects)
          if (new Decision(situation, subject, object, name).holds(expression, found, excluded))
            found.add(keyOf(subject, name, object));
  }
  return found;
}

class Decision {
  readonly #situation: Situation;
  readonly #subject: ObjectId;
  readonly #object: ObjectId;
  readonly #name: string;

  constructor(situation: Situation, subject: ObjectId, object: ObjectId, name: string) {
    this.#situation = situation;
    this.#subject = subject;
    this.#object = object;
    this.#name = name;
  }

  /** What is taken away is looked up in `excluded`, and what that takes away in `found` again. */
  holds(expression: Expression, found: ReadonlySet<string>, excluded: ReadonlySet<string>): boolean {
    const each = (part: Expression): boolean => this.holds(part, found, excluded);
    switch (expression.kind) {
      case "nothing":
        return false;
      case "self":
        return this.#subject.type === this.#object.type && this.#subject.id === this.#object.id;
      case "union":
        return expression.operands.some(each);
      case "intersection":
        return expression.operands.every(each);
      case "exclusion":
        return each(expression.base) && !this.holds(expression.subtracted, excluded, found);
      case "computed":
        return found.has(keyOf(this.#subject, expression.relation, this.#object));
      case "direct":
        return this.#stored(this.#name).some(({ subject: by }) => {
          if (by.relation !== undefined) return found.has(keyOf(this.#subject, by.relation, by));
          return by.type === this.#subject.type && (by.id === "*" || by.id === this.#subject.id);
        });
      case "arrow": {
        const { conditionHolds } = this.#situation;
        const others = this.#admitted(expression.through);
        // As in SpiceDB, one whose condition does not hold is no reason for `all` to leave it out.
        const has = (one: Relationship): boolean =>
          (one.condition === undefined || conditionHolds(one)) &&
          found.has(keyOf(this.#subject, expression.relation, one.subject));
        return expression.all ? others.length > 0 && others.every(has) : others.some(has);
      }
    }
  }

  #stored(name: string): Relationship[] {
    const { conditionHolds } = this.#situation;
    return this.#admitted(name).filter((one) => one.condition === undefined || conditionHolds(one));
  }

  /** Whether or not their conditions hold. */
  #admitted(name: string): Relationship[] {
    const { model, relationships, now } = this.#situation;
    const admitted = subjectsOf(model, this.#object.type, name);
    return relationships.filter(
      (one) =>
        one.relation === name &&
        one.object.type === this.#object.type &&
        one.object.id === this.#object.id &&
        (one.end === undefined || now < one.end) &&
        admitted.some((each) => admits(each, one)),
    );
  }
}

function subjectsOf(model: RelationModel, type: string, relation: string): readonly SubjectType[] {
  const found = model.types.find(({ name }) => name === type)?.relations.find(({ name }) => name === relation);
  return found === undefined ? [] : directOf(found.expression);
}

function directOf(expression: Expression): readonly SubjectType[] {
  if (expression.kind === "direct") return expression.subjects;
  if (expression.kind === "exclusion") return [...directOf(expression.base), ...directOf(expression.subtracted)];
  return "operands" in expression ? expression.operands.flatMap(directOf) : [];
}

function admits(admitted: SubjectType, { subject, condition, end }: Relationship): boolean {
  return (
    admitted.type === subject.type &&
    admitted.relation === subject.relation &&
    (admitted.everyone ?? false) === (subject.id === "*") &&
    admitted.condition === condition &&
    (admitted.expires ?? false) === (end !== undefined)
  );
}

function keyOf(subject: ObjectId, relation: string, object: ObjectId): string {
  return `${subject.type}:${subject.id} ${relationKey(object.type, relation)} ${object.id}`;
}
