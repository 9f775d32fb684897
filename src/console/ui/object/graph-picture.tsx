/** The picture of a graph: its lines with arrows and labels, and the nodes that the caller draws. */
import type { ComponentChildren, Ref } from "preact";
import type { PlacedEdge } from "./layout.ts";

export interface GraphPictureProps {
  /** For screen readers. */
  readonly label: string;
  readonly width: number;
  readonly height: number;
  /** How large a pixel of the layout is shown; default 1. */
  readonly scale?: number;
  readonly edges: readonly PlacedEdge[];
  /** The class of a line beside `edge`. */
  readonly edgeClass?: (key: string) => string;
  readonly element: Ref<SVGSVGElement>;
  /** What is drawn below the lines. */
  readonly ground?: ComponentChildren;
  readonly children: ComponentChildren;
}

export function GraphPicture(props: GraphPictureProps) {
  const { label, width, height, scale = 1, edges, edgeClass, element, ground, children } = props;
  return (
    <svg
      ref={element}
      width={width * scale}
      height={height * scale}
      viewBox={`0 0 ${width} ${height}`}
      role="group"
      aria-label={label}
    >
      <defs>
        <marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">
          <path d="M0 0L8 4L0 8z" class="arrow" />
        </marker>
      </defs>
      {ground}
      {edges.map(({ key, path, label: text, x, y }) => (
        <g key={key} class={`edge ${edgeClass?.(key) ?? ""}`} aria-hidden="true">
          <path d={path} marker-end="url(#arrow)" />
          {text !== "" && (
            <text x={x} y={y}>
              {text}
            </text>
          )}
        </g>
      ))}
      {children}
    </svg>
  );
}
