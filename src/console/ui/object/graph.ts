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

/** More objects take long to lay out. */
export const nodesMax = 200;

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

/** Objects with the same relations to one object, and no others: shown as one node until it is opened. */
export interface NodeGroup {
  readonly key: string;
  /** The key of the object that they are related to. */
  readonly center: string;
  /** The names of the relations. */
  readonly label: string;
  /** The keys of the objects. */
  readonly members: readonly string[];
  readonly isOpen: boolean;
}

export interface ShownNode {
  readonly key: string;
  readonly text: string;
  /** Undefined for an object. */
  readonly group?: NodeGroup;
}

/** What is drawn of a graph. */
export interface ShownGraph {
  readonly nodes: ReadonlyMap<string, ShownNode>;
  /** An edge has no label if its group has it. */
  readonly edges: ReadonlyMap<string, GraphEdge>;
}

/** So many objects with the same relations are one group. */
const membersMin = 5;

/** The graph with its groups, of which `opened` are open: those are between their members and the object. */
export function groupedBy(graph: RelationGraph, opened: ReadonlySet<string>): ShownGraph {
  const groups = groupsIn(graph, opened);
  const groupOf = new Map(groups.flatMap((group) => group.members.map((member) => [member, group])));
  const nodes = new Map<string, ShownNode>();
  for (const key of graph.nodes.keys()) if (groupOf.get(key)?.isOpen !== false) nodes.set(key, { key, text: key });
  for (const group of groups)
    nodes.set(group.key, { key: group.key, text: groupText(group.members.length, group.label), group });
  const edges = new Map<string, GraphEdge>();
  for (const [key, edge] of graph.edges) {
    const group = groupOf.get(edge.from) ?? groupOf.get(edge.to);
    if (group === undefined) edges.set(key, edge);
    else for (const part of partsOf(edge, group)) edges.set(JSON.stringify([part.from, part.to]), part);
  }
  return { nodes, edges };
}

/** `50 × member`. */
export function groupText(count: number, label: string): string {
  return `${count} × ${label}`;
}

/** The node of an object or group in what is drawn: a group that is not open stands for its members. */
export function shownKey({ nodes }: ShownGraph, key: string): string | undefined {
  if (nodes.has(key)) return key;
  return [...nodes.values()].find(({ group }) => group?.members.includes(key))?.key ?? groupCenter(key);
}

function groupsIn(graph: RelationGraph, opened: ReadonlySet<string>): NodeGroup[] {
  const edgesAt = new Map<string, GraphEdge[]>();
  for (const edge of graph.edges.values())
    for (const end of new Set([edge.from, edge.to])) edgesAt.getOrInsertComputed(end, () => []).push(edge);
  const found = new Map<string, { readonly center: string; readonly label: string; readonly members: string[] }>();
  const [root] = graph.nodes.keys();
  for (const [key, { facts }] of graph.nodes) {
    const edges = edgesAt.get(key) ?? [];
    const others = new Set(edges.map(({ from, to }) => (from === key ? to : from)));
    const [center] = others;
    if (key === root || facts !== undefined || center === undefined || others.size > 1 || center === key) continue;
    const labels = edges.map(({ from, label }) => `${from === key ? "<" : ">"} ${label}`).toSorted();
    const label = [...new Set(labels.map((text) => text.slice(2)))].join(", ");
    found
      .getOrInsertComputed(JSON.stringify([center, ...labels]), () => ({ center, label, members: [] }))
      .members.push(key);
  }
  return [...found]
    .filter(([, { members }]) => members.length >= membersMin)
    .map(([key, group]) => ({ key, ...group, isOpen: opened.has(key) }));
}

/** The object of a group that is no group any more, by the key of the group. */
function groupCenter(key: string): string | undefined {
  return key.startsWith("[") ? (JSON.parse(key) as readonly string[])[0] : undefined;
}

/** From the object to the group and, if it is open, from there to the member; or in the other direction. */
function partsOf({ from, to }: GraphEdge, { key, center, isOpen }: NodeGroup): GraphEdge[] {
  const outside = from === center ? { from, to: key, label: "" } : { from: key, to, label: "" };
  const inside = from === center ? { from: key, to, label: "" } : { from, to: key, label: "" };
  return isOpen ? [outside, inside] : [outside];
}

const labelCharactersMax = 30;

/** A text that fits into a node. */
export function shortText(text: string): string {
  const characters = [...text];
  return characters.length <= labelCharactersMax ? text : `${characters.slice(0, labelCharactersMax - 1).join("")}…`;
}

/** Boxes for the layout, in pixels. Fonts differ between systems, so the widths are generous. */
export function boxOf(text: string): { readonly width: number; readonly height: number } {
  const characters = [...shortText(text)];
  // Ideographs and emoji are wider than letters.
  const width = characters.reduce((sum, character) => sum + (character > "\u10ff" ? 16 : 9), 0);
  return { width: width + 24, height: 36 };
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
