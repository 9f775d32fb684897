/** The layered layout of a graph, by dagre. It is loaded when a graph is shown. */
import { Graph, layout } from "@dagrejs/dagre";
import { boxOf, type Placed, shortText, type ShownGraph } from "./graph.ts";

export interface PlacedNode extends Placed {
  readonly width: number;
  readonly height: number;
}

export interface PlacedEdge {
  readonly key: string;
  readonly label: string;
  /** The way of the line, as the `d` of a path. */
  readonly path: string;
  /** The middle of the label. */
  readonly x: number;
  readonly y: number;
}

export interface GraphLayout {
  readonly width: number;
  readonly height: number;
  readonly nodes: readonly PlacedNode[];
  readonly edges: readonly PlacedEdge[];
}

const margin = 8;

/** The same graph gives the same layout. */
export function layoutOf({ nodes, edges }: ShownGraph): GraphLayout {
  const graph = new Graph({ multigraph: true });
  graph.setGraph({ rankdir: "LR", nodesep: 12, ranksep: 24, edgesep: 8, marginx: margin, marginy: margin });
  for (const { key, text } of nodes.values()) graph.setNode(key, { ...boxOf(text) });
  for (const [key, { from, to, label }] of edges) addEdge(graph, { key, from, to, label });
  layout(graph);
  return {
    ...sizeOf(graph),
    nodes: [...nodes.keys()].map((key) => placedNode(graph, key)),
    edges: [...edges].map(([key, { from, to, label }]) => placedEdge(graph, { key, from, to, label })),
  };
}

interface LaidEdge {
  readonly key: string;
  readonly from: string;
  readonly to: string;
  readonly label: string;
}

/** A label needs room of its own. */
export function addEdge(graph: Graph, { key, from, to, label }: LaidEdge): void {
  const box = label === "" ? { width: 0, height: 0 } : { width: boxOf(label).width, height: 20 };
  graph.setEdge(from, to, { ...box, labelpos: "c" }, key);
}

/** Of a graph that was laid out, as the following two. */
export function sizeOf(graph: Graph): { readonly width: number; readonly height: number } {
  const { width = 0, height = 0 } = graph.graph() as { readonly width?: number; readonly height?: number };
  return { width, height };
}

export function placedNode(graph: Graph, key: string): PlacedNode {
  return { key, ...(graph.node(key) as Omit<PlacedNode, "key">) };
}

export function placedEdge(graph: Graph, { key, from, to, label }: LaidEdge): PlacedEdge {
  const placed = graph.edge(from, to, key) as { points: { x: number; y: number }[]; x: number; y: number };
  const path = placed.points.map(({ x, y }, index) => `${index === 0 ? "M" : "L"}${round(x)} ${round(y)}`).join("");
  return { key, label: shortText(label), path, x: placed.x, y: placed.y };
}

export function round(value: number): number {
  return Math.round(value * 10) / 10;
}
