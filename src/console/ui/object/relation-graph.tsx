/**
 * The graph of an object's relations as SVG. Objects are buttons: the arrow keys move between them, Enter expands one.
 * The same relations follow as text.
 */
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { Aging, Loading } from "../components/remote.tsx";
import type { FactsPage } from "../facts/fact-pager.ts";
import { type Fact, formatValue, type Value } from "../facts/fact-text.ts";
import { objectRoute, ValueView } from "../facts/fact-view.tsx";
import { objectPath } from "../facts/filter.ts";
import { useCode } from "../state/code.ts";
import { useRecovery } from "../state/recovery.ts";
import { call } from "../state/session.ts";
import { objectTexts } from "../texts/object.ts";
import {
  expandedBy,
  type GraphNode,
  graphOf,
  groupedBy,
  groupText,
  keyOf,
  nodeInDirection,
  type NodeGroup,
  nodesMax,
  type RelationGraph,
  shortText,
  type ShownGraph,
  shownKey,
} from "./graph.ts";
import { GraphPicture } from "./graph-picture.tsx";
import type { GraphLayout, PlacedNode } from "./layout.ts";

const words = objectTexts.graph;
/** So many facts of an object are read when it is expanded. */
const factsMax = 100;
/** The node may answer with empty pages while it searches. */
const pagesMax = 5;

export function RelationGraphView({ value }: { readonly value: Value }) {
  const { graph, drawn, atMs, error, expand, toggle, again } = useGraph(value);
  return (
    <Aging atMs={atMs} error={error} onRetry={again}>
      {drawn === undefined ? (
        <Loading />
      ) : (
        <DrawnGraph value={value} graph={graph} drawn={drawn} expand={expand} toggle={toggle} />
      )}
    </Aging>
  );
}

interface DrawnGraphProps {
  readonly value: Value;
  readonly graph: RelationGraph;
  readonly drawn: Drawn;
  readonly expand: (node: GraphNode) => void;
  readonly toggle: (key: string) => void;
}

function DrawnGraph({ value, graph, drawn: { shown, layout }, expand, toggle }: DrawnGraphProps) {
  const [wanted, setWanted] = useState(keyOf(value));
  const selected = shownKey(shown, wanted) ?? keyOf(value);
  const group = shown.nodes.get(selected)?.group;
  const node = graph.nodes.get(selected);
  const press = (key: string): void => {
    setWanted(key);
    const pressed = graph.nodes.get(key);
    if (pressed === undefined) toggle(key);
    else expand(pressed);
  };
  return (
    <>
      {graph.edges.size === 0 ? (
        <p>{words.none}</p>
      ) : (
        <>
          <p class="help">{words.help}</p>
          <Drawing
            graph={graph}
            shown={shown}
            layout={layout}
            selected={selected}
            onSelect={setWanted}
            onPress={press}
          />
          <p role="status">
            {words.selected}: {group && <GroupText graph={graph} group={group} />}
            {node && (
              <>
                <a href={objectRoute(node.value)}>{formatValue(node.value)}</a> ({stateOf(node)})
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

/** The group, and the objects in it as links. */
function GroupText({ graph, group }: { readonly graph: RelationGraph; readonly group: NodeGroup }) {
  const values = group.members.flatMap((key) => graph.nodes.get(key)?.value ?? []);
  return (
    <>
      {groupName(group)} ({group.isOpen ? words.open : words.closed}):{" "}
      {values.map((value, index) => (
        <span key={keyOf(value)} class="fact">
          {index > 0 && ", "}
          <ValueView value={value} />
        </span>
      ))}
    </>
  );
}

function groupName({ members, label, center }: NodeGroup): string {
  return words.group(groupText(members.length, label), center);
}

interface DrawingProps {
  readonly graph: RelationGraph;
  readonly shown: ShownGraph;
  readonly layout: GraphLayout;
  readonly selected: string;
  readonly onSelect: (key: string) => void;
  /** Expands an object, opens or closes a group. */
  readonly onPress: (key: string) => void;
}

function Drawing({ graph, shown, layout, selected, onSelect, onPress }: DrawingProps) {
  const element = useRef<SVGSVGElement>(null);
  const hasFocus = useRef(false);
  const view = useStillView(layout, selected);
  const elementOf = (key: string): SVGGElement | undefined =>
    [...(element.current?.querySelectorAll<SVGGElement>("[data-key]") ?? [])].find(
      ({ dataset }) => dataset["key"] === key,
    );
  useLayoutEffect(() => {
    // An element that moved among its siblings, or whose group was closed, has lost the focus.
    if (hasFocus.current) elementOf(selected)?.focus({ preventScroll: true });
  }, [layout]);
  const press = (event: KeyboardEvent, placed: PlacedNode): void => {
    const next = nodeInDirection(layout.nodes, placed, event.key);
    if (next !== undefined) {
      onSelect(next.key);
      elementOf(next.key)?.focus();
    } else if (event.key === "Enter" || event.key === " ") onPress(placed.key);
    else return;
    event.preventDefault();
  };
  return (
    <div class="graph" ref={view} tabIndex={0} role="region" aria-label={words.drawing}>
      <GraphPicture {...layout} element={element} label={words.label(graph.nodes.size, graph.edges.size)}>
        {layout.nodes.map((placed) => (
          <g
            key={placed.key}
            class={classOf(graph, shown, placed.key, selected)}
            data-key={placed.key}
            role="button"
            tabIndex={placed.key === selected ? 0 : -1}
            aria-label={nameOf(graph, shown, placed.key)}
            transform={`translate(${placed.x - placed.width / 2} ${placed.y - placed.height / 2})`}
            onFocus={() => {
              hasFocus.current = true;
              onSelect(placed.key);
            }}
            onBlur={({ relatedTarget }) => {
              // Without another target the element was removed, or the window has lost the focus.
              if (relatedTarget !== null) hasFocus.current = false;
            }}
            onClick={() => onPress(placed.key)}
            onKeyDown={(event) => press(event, placed)}
          >
            <title>{shown.nodes.get(placed.key)?.text}</title>
            <rect width={placed.width} height={placed.height} rx="6" />
            <text x={placed.width / 2} y={placed.height / 2} aria-hidden="true">
              {shortText(shown.nodes.get(placed.key)?.text ?? "")}
            </text>
          </g>
        ))}
      </GraphPicture>
    </div>
  );
}

/** The scrolled element: it begins with the selected node in its middle, which stays where it is when the graph grows. */
function useStillView(layout: GraphLayout, selected: string) {
  const view = useRef<HTMLDivElement>(null);
  const before = useRef<PlacedNode | undefined>(undefined);
  useLayoutEffect(() => {
    const placed = layout.nodes.find(({ key }) => key === selected);
    const { current } = view;
    if (current === null || placed === undefined) return;
    const old = before.current;
    if (old === undefined) current.scrollTo(placed.x - current.clientWidth / 2, placed.y - current.clientHeight / 2);
    else current.scrollBy(placed.x - old.x, placed.y - old.y);
  }, [layout]);
  useLayoutEffect(() => {
    before.current = layout.nodes.find(({ key }) => key === selected);
  }, [layout, selected]);
  return view;
}

function nameOf(graph: RelationGraph, { nodes }: ShownGraph, key: string): string {
  const group = nodes.get(key)?.group;
  if (group !== undefined) return words.node(groupName(group), group.isOpen ? words.open : words.closed);
  const node = graph.nodes.get(key);
  return words.node(key, node === undefined ? words.collapsed : stateOf(node));
}

function classOf(graph: RelationGraph, { nodes }: ShownGraph, key: string, selected: string): string {
  const group = nodes.get(key)?.group;
  const isExpanded = group?.isOpen ?? graph.nodes.get(key)?.facts !== undefined;
  return ["node", group && "group", isExpanded && "expanded", key === selected && "selected"]
    .filter((name) => typeof name === "string")
    .join(" ");
}

function stateOf({ facts, isPartial }: GraphNode): string {
  if (facts === undefined) return words.collapsed;
  return isPartial ? words.partly(facts) : words.expanded;
}

interface Drawn {
  readonly shown: ShownGraph;
  readonly layout: GraphLayout;
}

function useGraph(value: Value) {
  const [graph, setGraph] = useState(graphOf(value));
  const [opened, setOpened] = useState<ReadonlySet<string>>(new Set());
  const [atMs, setAtMs] = useState<number | undefined>(undefined);
  const [error, setError] = useState<unknown>(undefined);
  const controller = useRef(new AbortController());
  /** The objects whose facts are wanted and not there. */
  const wanted = useRef(new Map<string, Value>());
  const code = useCode("layout", () => import("./layout.ts"));
  const read = async (object: Value): Promise<void> => {
    const { signal } = controller.current;
    wanted.current.set(keyOf(object), object);
    setError(undefined);
    try {
      const { facts, isPartial } = await factsOf(object, signal);
      if (signal.aborted) return;
      wanted.current.delete(keyOf(object));
      setAtMs(Date.now());
      setGraph((before) => expandedBy(before, object, facts, isPartial));
    } catch (thrown) {
      if (!signal.aborted) setError(thrown);
    }
  };
  const again = (): void => {
    controller.current.abort();
    controller.current = new AbortController();
    for (const object of wanted.current.values()) void read(object);
    if (code.error !== undefined) code.reload();
  };
  useEffect(() => {
    void read(value);
    return () => controller.current.abort();
  }, []);
  useRecovery(error, again);
  const drawn = useMemo(() => {
    // Before the first facts there is nothing to lay out.
    const hasFacts = [...graph.nodes.values()].some(({ facts }) => facts !== undefined);
    if (!hasFacts || code.data === undefined) return undefined;
    const shown = groupedBy(graph, opened);
    return { shown, layout: code.data.layoutOf(shown) };
  }, [graph, opened, code.data]);
  const expand = (node: GraphNode): void => {
    if (node.facts === undefined) void read(node.value);
  };
  const toggle = (key: string): void => setOpened((keys) => keys.symmetricDifference(new Set([key])));
  return { graph, drawn, atMs, error: error ?? code.error, expand, toggle, again };
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
