/**
 * Checks that a model refers only to what it declares, and that its expressions have a bounded size. OpenFGA and SpiceDB
 * refuse what is wrong here too. OpenFGA's own library is not used for it: its time grows exponentially with the model.
 */
import {
  directSubjects,
  type Expression,
  expressionsIn,
  ImportError,
  type ObjectType,
  type Place,
  relationKey,
  type RelationModel,
  type SubjectType,
} from "./relation-model.ts";

/** Parts of the expression of one relation. */
const partsMax = 1000;

export interface ModelRules {
  /** An arrow leads to objects themselves, not to their relations, and at least one of their types has its relation. */
  readonly strictArrows: boolean;
}

/** Throws ImportError with the place of the first problem. */
export function checkModel({ types, conditions }: RelationModel, rules: ModelRules): void {
  const check = new ModelCheck(types, new Set(conditions.map(({ name }) => name)), rules);
  for (const type of types) for (const relation of type.relations) check.relation(type.name, relation);
}

class ModelCheck {
  readonly #rules: ModelRules;
  readonly #types = new Set<string>();
  readonly #conditions: ReadonlySet<string>;
  readonly #expressions = new Map<string, Expression>();

  constructor(types: readonly ObjectType[], conditions: ReadonlySet<string>, rules: ModelRules) {
    this.#rules = rules;
    this.#conditions = conditions;
    for (const { name: type, place: typePlace, relations } of types) {
      if (this.#types.has(type)) throw new ImportError(typePlace, `\`${type}\` is defined twice`);
      this.#types.add(type);
      for (const { name, expression, place } of relations) {
        const key = relationKey(type, name);
        if (this.#expressions.has(key)) throw new ImportError(place, `\`${type}\` declares \`${name}\` twice`);
        this.#expressions.set(key, expression);
      }
    }
  }

  relation(type: string, { expression, place }: { readonly expression: Expression; readonly place: Place }): void {
    const parts = expressionsIn(expression);
    if (parts.length > partsMax)
      throw new ImportError(place, `the expression has more than ${partsMax} parts: split it into several relations`);
    for (const part of parts) {
      if (part.kind === "computed") this.#refer(type, part.relation, place);
      if (part.kind === "arrow") this.#arrow(type, part, place);
      if (part.kind === "direct") for (const subject of part.subjects) this.#subject(subject);
    }
  }

  #refer(type: string, relation: string, place: Place): Expression {
    const found = this.#expressions.get(relationKey(type, relation));
    if (found === undefined) throw new ImportError(place, `\`${type}\` has no relation \`${relation}\``);
    return found;
  }

  #arrow(type: string, { through, relation }: Expression & { kind: "arrow" }, place: Place): void {
    const expression = this.#refer(type, through, place);
    const subjects = directSubjects(expression);
    const problem =
      expression.kind !== "direct"
        ? "it is computed"
        : subjects.some(({ everyone }) => everyone)
          ? "it admits everyone"
          : this.#rules.strictArrows && subjects.some((subject) => subject.relation !== undefined)
            ? "it admits relations of objects"
            : undefined;
    if (problem !== undefined)
      throw new ImportError(place, `\`${through}\` of \`${type}\` cannot lead to other objects: ${problem}`);
    const isKnown = subjects.some((subject) => this.#expressions.has(relationKey(subject.type, relation)));
    if (this.#rules.strictArrows && !isKnown)
      throw new ImportError(
        place,
        `\`${through}\` of \`${type}\` leads to nothing that has a relation \`${relation}\``,
      );
  }

  #subject({ type, relation, everyone, condition, place }: SubjectType): void {
    if (!this.#types.has(type)) throw new ImportError(place, `there is no type \`${type}\``);
    if (condition !== undefined && !this.#conditions.has(condition))
      throw new ImportError(place, `there is no condition \`${condition}\``);
    if (relation === undefined) return;
    if (everyone) throw new ImportError(place, `\`${type}:*\` cannot have the relation \`${relation}\` too`);
    this.#refer(type, relation, place);
  }
}
