/** What the node answers about nodes, events and traces, as the endpoints declare it. */
import type { nodeEndpoints } from "../../../features/nodes/endpoints.ts";
import type { traceEndpoints } from "../../../features/traces/endpoints.ts";
import type { Answer } from "./answer.ts";

export type Nodes = Answer<typeof nodeEndpoints.getNodes>;
export type ListedNode = Nodes["nodes"][number];
export type EventApplied = Answer<typeof nodeEndpoints.getEventApplied>;
export type Traces = Answer<typeof traceEndpoints.getTraces>;
export type TraceSummary = Traces["traces"][number];
export type Segment = Traces["segments"][number];
export type Trace = Answer<typeof traceEndpoints.getTrace>;
export type TraceSpan = Trace["spans"][number];
