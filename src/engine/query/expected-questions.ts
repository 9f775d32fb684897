/**
 * The questions that will probably be asked next, so that their plans can be made before: those that were asked lately,
 * and those that the policy declares, for each of its actor types, resource types and permissions.
 */
import type { TypeDeclaration } from "../../polar/policy.ts";
import { expectedQuestionsMax } from "../../util/tuning.ts";
import type { Planner } from "./planner.ts";
import { type KeyedShape, keyed } from "./shapes.ts";

/** What the planner expects, and then what its policy declares: decisions first, then lists of actions and resources. */
export function expectedQuestions(planner: Planner): readonly KeyedShape[] {
  const found = new Map<string, KeyedShape>();
  const add = (shape: KeyedShape): void => void (found.size < expectedQuestionsMax && found.set(shape.key, shape));
  for (const shape of planner.expected) if (planner.knows(shape)) add(keyed(shape));
  const types = [...planner.active.policy.types.values()];
  const actors = types.filter(({ kind }) => kind === "actor");
  const pairs = types.flatMap((resource) => actors.map(({ name }) => ({ actor: name, resource })));
  const { allowShapes } = planner;
  const addEach = (kind: "authorize" | "list", actor: string, { name, permissions }: TypeDeclaration): void => {
    for (const permission of permissions)
      if (found.size < expectedQuestionsMax && planner.isConstant(permission))
        add(allowShapes.of(kind, actor, permission, name, []));
  };
  for (const { actor, resource } of pairs) addEach("authorize", actor, resource);
  for (const { actor, resource } of pairs)
    if (found.size < expectedQuestionsMax && resource.permissions.length > 0)
      add(allowShapes.of("actions", actor, undefined, resource.name, []));
  for (const { actor, resource } of pairs) addEach("list", actor, resource);
  return [...found.values()];
}
