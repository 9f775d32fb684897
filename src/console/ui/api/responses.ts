/** What the node answers, as `/openapi.json` describes it; only the members that the console uses. */

export type Role = "read" | "write" | "admin";

export interface Whoami {
  readonly kind: "key" | "person";
  readonly id: string;
  readonly name: string | null;
  readonly role: Role;
  readonly environment: string;
  readonly expires?: string;
  /** If the key may change only some facts: their predicates, and the types of what they are about. */
  readonly only_predicates?: readonly string[];
  readonly only_types?: readonly string[];
}

export interface IssuerOfNode {
  readonly issuer: string;
  readonly client_id: string | null;
  readonly scopes: string;
  /** Null while the issuer does not answer. */
  readonly authorization_endpoint: string | null;
}

export interface Health {
  readonly status: "ok" | "not ready";
  readonly degraded?: string;
  readonly role: "primary" | "edge" | "fallback";
  readonly node: string;
  readonly state: string;
  readonly following?: string;
  readonly epoch: string | null;
  readonly term: number | null;
  readonly offset: number | null;
  readonly age_ms: number | null;
  readonly commit_to_visible_ms?: number | null;
  readonly feed_connected: boolean;
  readonly brokers: readonly { readonly broker: string; readonly connected: boolean }[];
  readonly pledged_to?: string;
  readonly unreplicated_events?: number;
}

export interface Environment {
  readonly id: string;
  readonly name: string;
  readonly state: "active" | "deleted";
  readonly is_default?: true;
  readonly final?: string;
  readonly role?: Health["role"];
  readonly offset?: number | null;
  readonly ready?: boolean;
  readonly failure?: string;
}

export type HistorySeries =
  | "requests_per_second"
  | "errors_per_second"
  | "decisions_per_second"
  | "allowed_share"
  | "decision_p50_ms"
  | "decision_p99_ms"
  | "cache_hit_share"
  | "commit_to_visible_p50_ms"
  | "commit_to_visible_p99_ms";

export interface MetricsHistory {
  readonly interval_ms: number;
  /** Milliseconds since 1970. */
  readonly times: readonly number[];
  readonly series: Readonly<Record<HistorySeries, readonly (number | null)[]>>;
}
