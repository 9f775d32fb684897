/**
 * Conditions of OpenFGA and caveats of SpiceDB have no equivalent in Polar. A relationship with one is left out, so that
 * nobody gets access by it. Where a relation only takes access away, it is kept without its condition, for the same reason.
 */
import {
  directSubjects,
  type Expression,
  expressionsIn,
  type RelationModel,
  type RelationSource,
  type Untranslated,
} from "./relation-model.ts";

/** Each place where a relation admits a subject only under a condition, and what becomes of its relationships. */
export function conditionsOf({ model, conditionWord: word }: RelationSource): Untranslated[] {
  const kept = onlySubtracted(model);
  const subtracted = subtractedNames(model);
  const effectOn = (name: string): string => {
    if (kept.has(name)) return "since the relation only takes access away, its relationships count always";
    return subtracted.has(name)
      ? "its relationships are left out; since an exclusion depends on the relation, THE POLICY MAY ALLOW MORE"
      : "its relationships are left out";
  };
  return model.types.flatMap((type) =>
    type.relations.flatMap(({ name, expression }) =>
      directSubjects(expression).flatMap(({ condition, place }) =>
        condition === undefined
          ? []
          : [{ place, message: `${word} \`${condition}\` of \`${name}\` of \`${type.name}\`: ${effectOn(name)}` }],
      ),
    ),
  );
}

/** The names of relations that nothing but exclusions ask for. Types are not told apart, which can only miss some. */
export function onlySubtracted(model: RelationModel): Set<string> {
  const subtracted = subtractedNames(model);
  const otherwise = new Set<string>();
  const visit = (owner: string, expression: Expression, isSubtracted: boolean): void => {
    if (expression.kind === "exclusion") {
      visit(owner, expression.base, isSubtracted);
      visit(owner, expression.subtracted, !isSubtracted);
    } else if ("operands" in expression) {
      for (const operand of expression.operands) visit(owner, operand, isSubtracted);
    } else if (!isSubtracted || subtracted.has(owner) || expression.kind === "arrow") {
      for (const name of namesIn(expression)) otherwise.add(name);
      if (expression.kind === "direct" && isSubtracted) otherwise.add(owner);
    }
  };
  for (const { name, expression } of model.types.flatMap((type) => type.relations)) visit(name, expression, false);
  return new Set([...subtracted].filter((name) => !otherwise.has(name)));
}

/** The names of relations that an exclusion takes away, or counts on, directly or through others. */
function subtractedNames({ types }: RelationModel): Set<string> {
  const relations = types.flatMap((type) => type.relations);
  const names = new Set<string>();
  const add = (expression: Expression): void => {
    for (const name of expressionsIn(expression).flatMap(namesIn)) names.add(name);
  };
  for (const { name, expression } of relations) {
    for (const part of expressionsIn(expression)) {
      if (part.kind === "exclusion") {
        add(part.subtracted);
        if (directSubjects(part.subtracted).length > 0) names.add(name);
      }
      // "For all objects": an object that is left out does not count any more.
      if (part.kind === "arrow" && part.all) names.add(part.through);
    }
  }
  for (let before = -1; before < names.size;) {
    before = names.size;
    for (const { name, expression } of relations) if (names.has(name)) add(expression);
  }
  return names;
}

function namesIn(expression: Expression): string[] {
  if (expression.kind === "computed") return [expression.relation];
  if (expression.kind === "arrow") return [expression.through, expression.relation];
  if (expression.kind !== "direct") return [];
  return expression.subjects.flatMap(({ relation }) => (relation === undefined ? [] : [relation]));
}
