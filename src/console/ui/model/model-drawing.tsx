/** The drawing of the model. The arrow keys move between its nodes, which are selected with the focus. */
import { useMemo, useRef, useState } from "preact/hooks";
import { Remote } from "../components/remote.tsx";
import { useCode } from "../state/code.ts";
import { GraphPicture } from "../object/graph-picture.tsx";
import { nodeInDirection, shortText } from "../object/graph.ts";
import { modelTexts } from "../texts/model.ts";
import type { ModelLayout } from "./layout.ts";
import { type ModelEdge, type ModelGraph } from "./model.ts";

const words = modelTexts;
const zooms = [0.5, 0.65, 0.8, 1, 1.25, 1.5] as const;
const zoomAtFirst = 3;

interface DrawingProps {
  readonly graph: ModelGraph;
  readonly selected: string;
  /** What leads to the selected name. */
  readonly highlighted: ReadonlySet<string>;
  readonly onSelect: (key: string) => void;
}

export function ModelDrawing({ graph, selected, highlighted, onSelect }: DrawingProps) {
  const { layout, code } = useLayout(graph);
  const [zoom, setZoom] = useState<number>(zoomAtFirst);
  if (layout === undefined) return <Remote of={code}>{() => null}</Remote>;
  const types = [...graph.nodes.values()].filter(({ kind }) => kind === "type").length;
  return (
    <>
      <div class="toolbar">
        <button type="button" disabled={zoom === 0} onClick={() => setZoom(zoom - 1)}>
          {words.zoomOut}
        </button>
        <button type="button" disabled={zoom === zooms.length - 1} onClick={() => setZoom(zoom + 1)}>
          {words.zoomIn}
        </button>
      </div>
      <div class="graph model-graph" tabIndex={0} role="region" aria-label={words.drawing}>
        <Picture
          {...{ graph, layout, selected, highlighted, onSelect }}
          scale={zooms[zoom] ?? 1}
          label={words.label(types, graph.nodes.size - types)}
        />
      </div>
    </>
  );
}

interface PictureProps extends DrawingProps {
  readonly layout: ModelLayout;
  readonly scale: number;
  readonly label: string;
}

function Picture({ graph, layout, selected, highlighted, onSelect, scale, label }: PictureProps) {
  const element = useRef<SVGSVGElement>(null);
  const focus = (key: string): void => {
    onSelect(key);
    const nodes = [...(element.current?.querySelectorAll<SVGGElement>("[data-key]") ?? [])];
    nodes.find(({ dataset }) => dataset["key"] === key)?.focus();
  };
  const press = (event: KeyboardEvent, key: string): void => {
    const from = layout.nodes.find((node) => node.key === key);
    const next = from && nodeInDirection(layout.nodes, from, event.key);
    if (next === undefined) return;
    focus(next.key);
    event.preventDefault();
  };
  const tabStop = graph.nodes.has(selected) ? selected : layout.nodes[0]?.key;
  const edges = new Map(graph.edges.map((edge) => [edge.key, edge]));
  return (
    <GraphPicture
      {...layout}
      {...{ element, label, scale }}
      edgeClass={(key) => {
        const edge = edges.get(key);
        return edge === undefined ? "" : edgeClass(edge, highlighted);
      }}
      ground={layout.boxes.map(({ key, x, y, width, height }) => (
        <rect key={key} class="type" x={x - width / 2} y={y - height / 2} width={width} height={height} rx="8" />
      ))}
    >
      {layout.nodes.map(({ key, x, y, width, height }) => {
        const node = graph.nodes.get(key);
        return (
          node && (
            <g
              key={key}
              class={`node is-${node.kind} ${highlighted.has(key) ? "is-leading" : ""} ${key === selected ? "is-selected" : ""}`}
              data-key={key}
              role="button"
              tabIndex={key === tabStop ? 0 : -1}
              aria-pressed={key === selected}
              aria-label={words.node(node.name, node.kind, node.type)}
              transform={`translate(${x - width / 2} ${y - height / 2})`}
              onFocus={() => onSelect(key)}
              onClick={() => onSelect(key)}
              onKeyDown={(event) => press(event, key)}
            >
              <rect width={width} height={height} rx="6" />
              <text x={width / 2} y={height / 2} aria-hidden="true">
                {shortText(node.name)}
              </text>
            </g>
          )
        );
      })}
    </GraphPicture>
  );
}

function edgeClass({ kind, from, to, isConditional }: ModelEdge, highlighted: ReadonlySet<string>): string {
  const isLeading = kind === "implies" && highlighted.has(from) && highlighted.has(to);
  return `is-${kind} ${isConditional ? "is-conditional" : ""} ${isLeading ? "is-leading" : ""}`;
}

function labelOf({ kind, through }: ModelEdge): string {
  if (kind === "extends") return words.extends;
  return through === undefined ? "" : words.on(through);
}

/** A new layout when there are other nodes: a selection alone moves nothing. */
function useLayout(graph: ModelGraph) {
  const code = useCode("model layout", () => import("./layout.ts"));
  const content = [...graph.nodes.keys(), ...graph.edges.map(({ key }) => key)].join(" ");
  const layout = useMemo(() => code.data?.layoutOf(graph, labelOf), [content, code.data]);
  return { layout, code };
}
