/** What the node answers about nodes, events and traces, as `/openapi.json` describes it. */
import type { Health } from "./responses.ts";

export interface ListedNode {
  readonly node: string;
  readonly role: Health["role"];
  readonly version: string | null;
  readonly state: string | null;
  readonly ready: boolean | null;
  readonly degraded?: string;
  readonly term: number | null;
  readonly offset: number | null;
  readonly lag_events: number | null;
  readonly age_ms: number | null;
  readonly brokers: readonly { readonly broker: string; readonly connected: boolean }[];
  /** The ids of the node keys that it accepts; it uses the first one. */
  readonly node_keys?: readonly string[];
  readonly seen_ms_ago: number;
  readonly answered: boolean;
}

export interface Nodes {
  /** The node that answers. */
  readonly asked: string;
  readonly nodes: readonly ListedNode[];
}

export interface EventApplied {
  readonly committed: string | null;
  readonly nodes: readonly {
    readonly node: string;
    readonly role: Health["role"];
    readonly has_event: boolean | null;
    readonly applied: string | null;
    readonly after_ms: number | null;
  }[];
}

export interface TraceSummary {
  readonly id: string;
  readonly name: string;
  readonly start: string;
  readonly duration_ms: number;
  readonly failed: boolean;
  readonly status?: number;
  readonly spans: number;
}

export interface Segment {
  readonly name: string;
  readonly count: number;
  readonly p50_ms: number;
  readonly p90_ms: number;
  readonly p99_ms: number;
  readonly max_ms: number;
}

export interface Traces {
  readonly node: string;
  readonly traces: readonly TraceSummary[];
  readonly segments: readonly Segment[];
  readonly external_url?: string;
}

export interface TraceSpan {
  readonly node: string;
  readonly id: string;
  readonly parent: string | null;
  readonly name: string;
  readonly kind: string;
  readonly start_us: number;
  readonly duration_us: number;
  readonly failed: boolean;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
}

export interface Trace {
  readonly id: string;
  readonly nodes: readonly { readonly node: string; readonly answered: boolean }[];
  readonly spans: readonly TraceSpan[];
  readonly external_url?: string;
}
