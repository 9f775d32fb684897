/**
 * The graph of an object's relations as SVG. Objects are buttons: the arrow keys move between them, Enter expands one.
 * The same relations follow as text.
 */
import { useEffect, useRef, useState } from "preact/hooks";
import { Failure } from "../components/failure.tsx";
import type { FactsPage } from "../facts/fact-pager.ts";
import { type Fact, formatValue, type Value } from "../facts/fact-text.ts";
import { objectRoute } from "../facts/fact-view.tsx";
import { objectPath } from "../facts/filter.ts";
import { call } from "../state/session.ts";
import { texts } from "../texts.ts";
import { objectTexts } from "../texts/object.ts";
import {
  expandedBy,
  type GraphNode,
  graphOf,
  keyOf,
  nodeInDirection,
  nodesMax,
  type RelationGraph,
  shortText,
} from "./graph.ts";
import type { GraphLayout, PlacedNode } from "./layout.ts";

const words = objectTexts.graph;
/** So many facts of an object are read when it is expanded. */
const factsMax = 40;
/** The node may answer with empty pages while it searches. */
const pagesMax = 5;

export function RelationGraphView({ value }: { readonly value: Value }) {
  const { graph, layout, error, expand } = useGraph(value);
  const [selected, setSelected] = useState(keyOf(value));
  const node = graph.nodes.get(selected);
  if (layout === undefined) return error === undefined ? <p>{texts.loading}</p> : <Failure error={error} />;
  return (
    <>
      <Failure error={error} />
      {graph.edges.size === 0 ? (
        <p>{words.none}</p>
      ) : (
        <>
          <p class="help">{words.help}</p>
          <Drawing graph={graph} layout={layout} selected={selected} onSelect={setSelected} onExpand={expand} />
          <p role="status">
            {node && (
              <>
                {words.selected}: <a href={objectRoute(node.value)}>{formatValue(node.value)}</a> ({stateOf(node)})
              </>
            )}
          </p>
          {graph.isFull && <p>{words.full(nodesMax)}</p>}
          <details>
            <summary>{words.text}</summary>
            <ul>
              {[...graph.edges.values()].map(({ from, label, to }) => (
                <li key={`${from} ${label} ${to}`}>{words.connects(from, label, to)}</li>
              ))}
            </ul>
          </details>
        </>
      )}
    </>
  );
}

interface DrawingProps {
  readonly graph: RelationGraph;
  readonly layout: GraphLayout;
  readonly selected: string;
  readonly onSelect: (key: string) => void;
  readonly onExpand: (node: GraphNode) => void;
}

function Drawing({ graph, layout, selected, onSelect, onExpand }: DrawingProps) {
  const element = useRef<SVGSVGElement>(null);
  const focus = (key: string): void => {
    onSelect(key);
    const nodes = [...(element.current?.querySelectorAll<SVGGElement>("[data-key]") ?? [])];
    nodes.find(({ dataset }) => dataset["key"] === key)?.focus();
  };
  const press = (event: KeyboardEvent, placed: PlacedNode, node: GraphNode): void => {
    const next = nodeInDirection(layout.nodes, placed, event.key);
    if (next !== undefined) focus(next.key);
    else if (event.key === "Enter" || event.key === " ") onExpand(node);
    else return;
    event.preventDefault();
  };
  return (
    <div class="graph">
      <svg
        ref={element}
        width={layout.width}
        height={layout.height}
        viewBox={`0 0 ${layout.width} ${layout.height}`}
        role="group"
        aria-label={words.label(graph.nodes.size, graph.edges.size)}
      >
        <defs>
          <marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">
            <path d="M0 0L8 4L0 8z" class="arrow" />
          </marker>
        </defs>
        {layout.edges.map(({ key, path, label, x, y }) => (
          <g key={key} class="edge" aria-hidden="true">
            <path d={path} marker-end="url(#arrow)" />
            <text x={x} y={y}>
              {label}
            </text>
          </g>
        ))}
        {layout.nodes.map((placed) => {
          const node = graph.nodes.get(placed.key);
          return (
            node && (
              <g
                key={placed.key}
                class={node.facts === undefined ? "node" : "node expanded"}
                data-key={placed.key}
                role="button"
                tabIndex={placed.key === selected ? 0 : -1}
                aria-label={words.node(placed.key, stateOf(node))}
                transform={`translate(${placed.x - placed.width / 2} ${placed.y - placed.height / 2})`}
                onFocus={() => onSelect(placed.key)}
                onClick={() => onExpand(node)}
                onKeyDown={(event) => press(event, placed, node)}
              >
                <rect width={placed.width} height={placed.height} rx="6" />
                <text x={placed.width / 2} y={placed.height / 2} aria-hidden="true">
                  {shortText(placed.key)}
                </text>
              </g>
            )
          );
        })}
      </svg>
    </div>
  );
}

function stateOf({ facts, isPartial }: GraphNode): string {
  if (facts === undefined) return words.collapsed;
  return isPartial ? words.partly(facts) : words.expanded;
}

function useGraph(value: Value) {
  const [graph, setGraph] = useState(graphOf(value));
  const [layout, setLayout] = useState<GraphLayout | undefined>(undefined);
  const [error, setError] = useState<unknown>(undefined);
  const controller = useRef(new AbortController());
  const expand = async (node: Pick<GraphNode, "value" | "facts">): Promise<void> => {
    if (node.facts !== undefined) return;
    const { signal } = controller.current;
    setError(undefined);
    try {
      const { facts, isPartial } = await factsOf(node.value, signal);
      if (!signal.aborted) setGraph((before) => expandedBy(before, node.value, facts, isPartial));
    } catch (thrown) {
      if (!signal.aborted) setError(thrown);
    }
  };
  useEffect(() => {
    void expand({ value });
    return () => controller.current.abort();
  }, []);
  useEffect(() => {
    // Before the first facts there is nothing to lay out.
    if ([...graph.nodes.values()].every(({ facts }) => facts === undefined)) return undefined;
    let isCurrent = true;
    import("./layout.ts").then(
      ({ layoutOf }) => isCurrent && setLayout(layoutOf(graph)),
      (thrown: unknown) => isCurrent && setError(thrown),
    );
    return () => {
      isCurrent = false;
    };
  }, [graph]);
  return { graph, layout, error, expand: (node: GraphNode) => void expand(node) };
}

async function factsOf(value: Value, signal: AbortSignal) {
  const facts: Fact[] = [];
  let token: string | null = null;
  for (let pages = 0; pages < pagesMax && facts.length < factsMax; pages++) {
    const page = { page_size: String(factsMax), ...(token !== null && { page_token: token }) };
    const { results, next_page_token: next } = (await call(objectPath(value, page), { signal })) as FactsPage;
    facts.push(...results);
    token = next;
    if (token === null) break;
  }
  return { facts: facts.slice(0, factsMax), isPartial: token !== null };
}
