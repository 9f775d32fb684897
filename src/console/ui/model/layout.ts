/** The layered layout of the model, by dagre: a box for each type around its names. It is loaded with the drawing. */
import { Graph, layout } from "@dagrejs/dagre";
import { boxOf, shortText } from "../object/graph.ts";
import { addEdge, placedEdge, type PlacedEdge, placedNode, type PlacedNode, round, sizeOf } from "../object/layout.ts";
import type { ModelEdge, ModelGraph } from "./model.ts";

export interface ModelLayout {
  readonly width: number;
  readonly height: number;
  /** The boxes of the types. */
  readonly boxes: readonly PlacedNode[];
  readonly nodes: readonly PlacedNode[];
  readonly edges: readonly PlacedEdge[];
}

const margin = 12;

/** The same model gives the same layout. `labelOf` is the text of an edge. */
export function layoutOf({ nodes, edges }: ModelGraph, labelOf: (edge: ModelEdge) => string): ModelLayout {
  const graph = new Graph({ multigraph: true, compound: true });
  graph.setGraph({ rankdir: "LR", nodesep: 10, ranksep: 40, edgesep: 8, marginx: margin, marginy: margin });
  const boxKeys = [...new Set([...nodes.values()].map(({ type }) => type))].map((type) => boxKey(type));
  for (const key of boxKeys) graph.setNode(key, {});
  // An edge from a node to itself is drawn above it, because dagre draws it across other nodes.
  const loops = edges.filter(({ from, to }) => from === to);
  const others = edges.filter(({ from, to }) => from !== to);
  const loopsOf = (key: string): ModelEdge[] => loops.filter(({ from }) => from === key);
  for (const node of nodes.values()) {
    const texts = [node.name, ...loopsOf(node.key).map(labelOf)];
    const width = Math.max(...texts.map((text) => boxOf(text).width));
    graph.setNode(node.key, { width, height: nodeHeight + loopsOf(node.key).length * loopHeight });
    graph.setParent(node.key, boxKey(node.type));
  }
  for (const edge of others) addEdge(graph, { ...edge, label: labelOf(edge) });
  layout(graph);
  const placedNodes = [...nodes.keys()].map((key): PlacedNode => {
    const { x, y, width: nodeWidth, height: whole } = placedNode(graph, key);
    return { key, x, y: y + (whole - nodeHeight) / 2, width: nodeWidth, height: nodeHeight };
  });
  const byKey = new Map(placedNodes.map((node) => [node.key, node]));
  return {
    ...sizeOf(graph),
    boxes: boxKeys.map((key) => placedNode(graph, key)),
    nodes: placedNodes,
    edges: [
      ...others.map((edge) => placedEdge(graph, { ...edge, label: labelOf(edge) })),
      ...loops.flatMap((edge) => {
        const node = byKey.get(edge.from);
        return node === undefined ? [] : [loopEdge(edge, node, loopsOf(edge.from).indexOf(edge), labelOf(edge))];
      }),
    ],
  };
}

const nodeHeight = 30;
const loopHeight = 26;

/** The loops of a node are one above the other. */
function loopEdge({ key }: ModelEdge, { x, y, width }: PlacedNode, index: number, label: string): PlacedEdge {
  const top = y - nodeHeight / 2;
  const high = top - (index + 1) * loopHeight + 6;
  const side = width / 2 - 8;
  const path = `M${round(x - side)} ${round(top)}V${round(high)}H${round(x + side)}V${round(top)}`;
  return { key, label: shortText(label), path, x, y: high };
}

function boxKey(type: string): string {
  return `box ${type}`;
}
