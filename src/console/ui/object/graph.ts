/** The graph of an object's relations: objects, and the facts that connect them. It grows by one object at a time. */
import { type Fact, formatValue, isObject, type Value } from "../facts/fact-text.ts";

export interface GraphNode {
  readonly key: string;
  readonly value: Value;
  /** The number of its facts that were read; undefined if it is not expanded. */
  readonly facts?: number;
  /** Whether it has more facts than were read. */
  readonly isPartial: boolean;
}

export interface GraphEdge {
  readonly from: string;
  readonly to: string;
  readonly label: string;
}

export interface RelationGraph {
  readonly nodes: ReadonlyMap<string, GraphNode>;
  readonly edges: ReadonlyMap<string, GraphEdge>;
  /** Whether objects were left out because there are too many. */
  readonly isFull: boolean;
}

/** More objects are hard to read, and take long to lay out. */
export const nodesMax = 120;

export function graphOf(value: Value): RelationGraph {
  const node = nodeOf(value);
  return { nodes: new Map([[node.key, node]]), edges: new Map(), isFull: false };
}

/** The graph with the facts of one of its objects. */
export function expandedBy(
  graph: RelationGraph,
  value: Value,
  facts: readonly Fact[],
  isPartial: boolean,
): RelationGraph {
  const nodes = new Map(graph.nodes);
  const edges = new Map(graph.edges);
  let { isFull } = graph;
  nodes.set(keyOf(value), { ...nodeOf(value), facts: facts.length, isPartial });
  for (const fact of facts) {
    for (const edge of edgesOf(fact)) {
      const isNew = [edge.from, edge.to].filter((end) => !nodes.has(keyOf(end)));
      if (nodes.size + isNew.length > nodesMax) {
        isFull = true;
        continue;
      }
      for (const end of isNew) nodes.set(keyOf(end), nodeOf(end));
      const [from, to] = [keyOf(edge.from), keyOf(edge.to)];
      edges.set(JSON.stringify([from, to, edge.label]), { from, to, label: edge.label });
    }
  }
  return { nodes, edges, isFull };
}

/** From the first object of a fact to each of the others. */
function edgesOf({ predicate, args }: Fact): { readonly from: Value; readonly to: Value; readonly label: string }[] {
  const [from, ...others] = args.filter(isObject);
  if (from === undefined) return [];
  const names = args.filter((arg) => arg.type === "String").map(({ id }) => id);
  const isNamed = predicate === "has_relation" || predicate === "has_role";
  const label = isNamed && names.length > 0 ? names.join(" ") : [predicate, ...names].join(" ");
  return others.map((to) => ({ from, to, label }));
}

export function keyOf(value: Value): string {
  return formatValue(value);
}

function nodeOf(value: Value): GraphNode {
  return { key: keyOf(value), value, isPartial: false };
}

const labelCharactersMax = 30;

/** A text that fits into a node. */
export function shortText(text: string): string {
  const characters = [...text];
  return characters.length <= labelCharactersMax ? text : `${characters.slice(0, labelCharactersMax - 1).join("")}…`;
}

/** Boxes for the layout, in pixels. Fonts differ between systems, so the widths are generous. */
export function boxOf(text: string): { readonly width: number; readonly height: number } {
  return { width: [...shortText(text)].length * 9 + 24, height: 36 };
}

export interface Placed {
  readonly key: string;
  readonly x: number;
  readonly y: number;
}

const directions: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/** The nearest node in the direction of an arrow key; undefined for another key, or if there is none. */
export function nodeInDirection(nodes: readonly Placed[], from: Placed, arrow: string): Placed | undefined {
  const direction = directions[arrow];
  if (direction === undefined) return undefined;
  const [dx, dy] = direction;
  let [best, shortest]: [Placed | undefined, number] = [undefined, Infinity];
  for (const node of nodes) {
    const [x, y] = [node.x - from.x, node.y - from.y];
    const along = x * dx + y * dy;
    // What is beside the direction counts more than what is far away.
    const distance = along + 2 * Math.abs(x * dy + y * dx);
    if (along > 0.5 && distance < shortest) [best, shortest] = [node, distance];
  }
  return best;
}
