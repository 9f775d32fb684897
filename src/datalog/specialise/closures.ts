/**
 * Replaces recursion over stored facts by closures. `reader on folder if reader on its parent` needs all folders above
 * a folder: the transitive closure of `parent`, which the store keeps. A node "base, or a step and then the node"
 * becomes "base, or the closure of the step and then the base", which is not recursive.
 *
 * This is exact, because each step changes one argument along stored facts and keeps the others, so closures of
 * different arguments can be combined. Nodes that call each other (folders in drives in folders) share one closure of
 * all their steps, which leads to the base of any of them. Other recursion is walked when it is queried.
 */
import { must } from "../../util/assert.ts";
import type { Closure } from "../ir/closure.ts";
import type { ProgramTerm } from "../ir/program.ts";
import type { TypeName } from "../ir/signature.ts";
import { factCall, type NodeClause, openTypes, type PredicateNode } from "../ir/specialised.ts";
import { type Component, componentOf, type MovedArgument, nodeStepOf } from "./closure-components.ts";

/** Whether the store keeps a closure. */
export type ClosureChoice = (closure: Closure) => boolean;

/** Rewrites the nodes whose closures are kept. Returns whether there are any. */
export function useClosures(nodes: readonly PredicateNode[], choose: ClosureChoice): boolean {
  const recursive = nodes.filter((node) => node.recursive);
  const rewritten = new Map<PredicateNode, Component>();
  for (const members of Map.groupBy(recursive, (node) => node.component).values()) {
    const component = componentOf(members);
    const kept = component?.moving.map(({ closure }) => choose(closure));
    if (component && !kept?.includes(false))
      for (const node of component.members.keys()) rewritten.set(node, component);
  }
  for (const [node, component] of rewritten)
    node.clauses = [...must(component.members.get(node)).base, ...closureClauses(node, component)];
  for (const node of nodes) node.clauses = replaceSteps(node, rewritten);
  return rewritten.size > 0;
}

/** A node that copies a rewritten node has its step. The closure contains the step, so it replaces the step. */
function replaceSteps(node: PredicateNode, rewritten: ReadonlyMap<PredicateNode, Component>): NodeClause[] {
  const contained = [...node.copies].filter((copied) => copied !== node && rewritten.has(copied));
  if (contained.length === 0) return [...node.clauses];
  const stepsOf = new Map(contained.map((copied) => [copied, rewritten.get(copied)?.members.get(copied)?.steps ?? []]));
  const targets = new Set([...stepsOf.values()].flatMap((steps) => steps.map(({ target }) => target)));
  const taken = new Set<PredicateNode>();
  const clauses = node.clauses.filter((clause) => {
    const nodeStep = nodeStepOf(clause, (target) => targets.has(target));
    const source = contained.find((copied) =>
      stepsOf.get(copied)?.some(({ key, target }) => key === nodeStep?.key && target === nodeStep.target),
    );
    if (source) taken.add(source);
    return !source;
  });
  return [...clauses, ...[...taken].flatMap((source) => closureClauses(source, must(rewritten.get(source))))];
}

/** The bases and facts that closures of changed arguments lead to, of nodes with equal types in other arguments. */
function closureClauses(node: PredicateNode, { moving, members }: Component): NodeClause[] {
  const types = openTypes(node);
  return choices(moving).flatMap((chosen) => {
    const moved = new Set(chosen.map(({ position }) => position));
    const reached = [...members].filter(([other]) =>
      openTypes(other).every((type, position) => moved.has(position) || type === types[position]),
    );
    return reached.flatMap(([, { base, facts }]) =>
      [...base, ...facts].map((clause) => prependClosures(types, clause, chosen)),
    );
  });
}

/** All non-empty subsets. */
function choices(moving: readonly MovedArgument[]): (readonly MovedArgument[])[] {
  return moving.reduce<(readonly MovedArgument[])[]>(
    (chosen, next) => [...chosen, [next], ...chosen.map((present) => [...present, next])],
    [],
  );
}

/** The clause with a closure before it for each `chosen` argument. `open` are the types of the resulting head. */
function prependClosures(open: readonly TypeName[], clause: NodeClause, chosen: readonly MovedArgument[]): NodeClause {
  const head = [...clause.head];
  const types = [...clause.body.types];
  const literals = [...clause.body.literals];
  for (const { position, closure, isReverse } of chosen) {
    const to = must(head[position]);
    const from: ProgramTerm = { kind: "var", index: types.length };
    types.push(open[position]);
    literals.push(factCall(closure.name, isReverse ? [to, from] : [from, to]));
    head[position] = from;
  }
  return { ...clause, head, body: { types, literals } };
}
