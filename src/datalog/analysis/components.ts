/** Strongly connected components (Tarjan 1972), without recursion: a long chain of rules would exhaust the stack. */
import { must } from "../../util/assert.ts";

/** The component number of each node. It is greater than the numbers of all components that the node reaches. */
export function stronglyConnected<N>(nodes: Iterable<N>, successors: (node: N) => readonly N[]): Map<N, number> {
  const index = new Map<N, number>();
  const low = new Map<N, number>();
  const component = new Map<N, number>();
  const stack: N[] = [];
  let components = 0;
  const open = (node: N): { node: N; next: number; targets: readonly N[] } => {
    index.set(node, index.size);
    low.set(node, index.size - 1);
    stack.push(node);
    return { node, next: 0, targets: successors(node) };
  };
  const lower = (node: N, bound: number): void => {
    low.set(node, Math.min(low.get(node) ?? bound, bound));
  };
  for (const root of nodes) {
    if (index.has(root)) continue;
    const frames = [open(root)];
    for (let frame = frames.at(-1); frame; frame = frames.at(-1)) {
      const target = frame.targets[frame.next++];
      if (frame.next <= frame.targets.length && target !== undefined) {
        const seen = index.get(target);
        if (seen === undefined) frames.push(open(target));
        else if (!component.has(target)) lower(frame.node, seen);
        continue;
      }
      frames.pop();
      const parent = frames.at(-1);
      if (parent) lower(parent.node, low.get(frame.node) ?? 0);
      if (low.get(frame.node) !== index.get(frame.node)) continue;
      for (let member = stack.pop(); member !== undefined; member = stack.pop()) {
        component.set(member, components);
        if (member === frame.node) break;
      }
      components++;
    }
  }
  return component;
}

/** The component of each node, and the nodes that reach themselves. */
export function findCycles<N>(
  nodes: readonly N[],
  successors: (node: N) => readonly N[],
): { readonly components: ReadonlyMap<N, number>; readonly cyclic: ReadonlySet<N> } {
  const components = stronglyConnected(nodes, successors);
  const members = Map.groupBy(nodes, (node) => components.get(node));
  const isCyclic = (node: N): boolean =>
    must(members.get(components.get(node))).length > 1 || successors(node).includes(node);
  return { components, cyclic: new Set(nodes.filter(isCyclic)) };
}
