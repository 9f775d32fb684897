/**
 * The questions that will probably be asked next, so that their plans can be made before: those that were asked lately,
 * and those that the policy declares, for each of its actor types, resource types and permissions.
 */
import type { Planner } from "./planner.ts";
import type { KeyedShape } from "./shapes.ts";

/**
 * Those of the `max` most probable questions that have no plan yet, the most probable ones first. A plan may take a
 * tenth of a second. For a question that was asked before, that time is only moved, so those that the policy merely
 * declares are included while `isIdle()`.
 */
export function* unplannedQuestions(planner: Planner, max: number, isIdle: () => boolean): Generator<KeyedShape, void> {
  const found = new Set<string>();
  for (const shape of planner.expected.slice(0, max)) {
    found.add(shape.key);
    if (!planner.isSettled(shape)) yield shape;
  }
  for (const shape of declaredQuestions(planner)) {
    if (found.size >= max || !isIdle()) return;
    found.add(shape.key);
    if (!planner.isSettled(shape)) yield shape;
  }
}

/** What the policy declares: first decisions, then lists of actions, then of resources. */
function* declaredQuestions(planner: Planner): Generator<KeyedShape, void> {
  const { active, allowShapes } = planner;
  const types = [...active.policy.types.values()];
  const actors = types.filter(({ kind }) => kind === "actor");
  for (const kind of ["authorize", "actions", "list"] as const)
    for (const { name: resource, permissions } of types)
      for (const { name: actor } of actors)
        if (kind !== "actions")
          for (const permission of permissions)
            yield allowShapes.of(kind, actor, planner.isConstant(permission) ? permission : undefined, resource, []);
        else if (permissions.length > 0) yield allowShapes.of(kind, actor, undefined, resource, []);
}
