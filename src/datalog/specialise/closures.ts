/**
 * Closures: recursion that only walks stored relations, made into a table of its own. `reader on folder if reader on
 * its parent` asks for all folders above; which those are is the transitive closure of `parent`, and no question has to
 * walk it where the store keeps it. A node of the graph is rewritten from "its base, or a step and then itself" to "its
 * base, or the closure of the step and then its base", which is no recursion any more. That is exact where each step
 * moves one argument along stored facts and leaves the others as they are: steps of different arguments then don't see
 * each other, and their closures multiply. Nodes that ask for each other (folders in drives in folders) share the
 * closure of all their steps, and it leads to the base of any of them. Everything else is walked when it is asked.
 */
import { must } from "../../util/assert.ts";
import type { Closure } from "../ir/closure.ts";
import type { ProgramTerm } from "../ir/program.ts";
import type { TypeName } from "../ir/signature.ts";
import type { NodeClause, PredicateNode } from "../ir/specialised.ts";
import { type Component, componentOf, type MovedArgument, nodeStepOf, openTypes } from "./closure-components.ts";

/** Says of a closure whether the store keeps it. */
export type ClosureChoice = (closure: Closure) => boolean;

/** Rewrites the nodes whose closures are kept. `component` as in `Node`. True where any was. */
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
    node.clauses = [...must(component.members.get(node)).base, ...beyond(node, component)];
  for (const node of nodes) node.clauses = throughClosures(node, rewritten);
  return rewritten.size > 0;
}

/** What contains a rewritten node has its clauses, the step among them: a step and then the closure are the closure. */
function throughClosures(node: PredicateNode, rewritten: ReadonlyMap<PredicateNode, Component>): NodeClause[] {
  const contained = [...node.copies].filter((copied) => copied !== node && rewritten.has(copied));
  if (contained.length === 0) return [...node.clauses];
  const leapsOf = new Map(contained.map((copied) => [copied, rewritten.get(copied)?.members.get(copied)?.steps ?? []]));
  const targets = new Set([...leapsOf.values()].flatMap((leaps) => leaps.map(({ target }) => target)));
  const taken = new Set<PredicateNode>();
  const clauses = node.clauses.filter((clause) => {
    const leap = nodeStepOf(clause, (target) => targets.has(target));
    const source = contained.find((copied) =>
      leapsOf.get(copied)?.some(({ key, target }) => key === leap?.key && target === leap.target),
    );
    if (source) taken.add(source);
    return !source;
  });
  return [...clauses, ...[...taken].flatMap((source) => beyond(source, must(rewritten.get(source))))];
}

/**
 * The bases behind the closures of any of the arguments that move, and facts of their nodes' predicates as well, of
 * each node whose other arguments are of the same types.
 */
function beyond(node: PredicateNode, { moving, members }: Component): NodeClause[] {
  const types = openTypes(node);
  return choices(moving).flatMap((chosen) => {
    const moved = new Set(chosen.map(({ position }) => position));
    const reached = [...members].filter(([other]) =>
      openTypes(other).every((type, position) => moved.has(position) || type === types[position]),
    );
    return reached.flatMap(([, { base, facts }]) => [...base, ...facts].map((clause) => behind(types, clause, chosen)));
  });
}

/** All but none. */
function choices(moving: readonly MovedArgument[]): (readonly MovedArgument[])[] {
  return moving.reduce<(readonly MovedArgument[])[]>(
    (chosen, next) => [...chosen, [next], ...chosen.map((present) => [...present, next])],
    [],
  );
}

/**
 * The clause for whoever is one or more steps away from it, in each of the arguments `chosen`. `open` are the types of
 * who that is.
 */
function behind(open: readonly TypeName[], clause: NodeClause, chosen: readonly MovedArgument[]): NodeClause {
  const head = [...clause.head];
  const types = [...clause.body.types];
  const literals = [...clause.body.literals];
  for (const { position, closure, isReverse } of chosen) {
    const to = must(head[position]);
    const from: ProgramTerm = { kind: "var", index: types.length };
    types.push(open[position]);
    literals.push({
      kind: "call",
      predicate: closure.name,
      args: isReverse ? [to, from] : [from, to],
      fact: true,
      context: false,
      node: undefined,
    });
    head[position] = from;
  }
  return { ...clause, head, body: { types, literals } };
}
